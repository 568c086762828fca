"""so8t decide, classify, score: JSON lines in, JSON lines out, a bad line is an error record."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from so8t.core.bundle import newest_bundle, open_bundle
from so8t.core.config import CollectConfig
from so8t.core.errors import BundleMissing, BundleUnproven, RecordInvalid, So8tError
from so8t.core.files import parse_json_line, read_lines, write_jsonl
from so8t.core.packaged import packaged, policy_text
from so8t.core.types import Domain, Request
from so8t.decide.domain import DomainModel
from so8t.decide.policy import parse_policy
from so8t.judge.triple import DOMAIN_MODEL

Record = dict[str, Any]
Work = Callable[[Record], Awaitable[Record]]
CONCURRENCY = 4


def decide(options: argparse.Namespace) -> int:
    """All three judges and every view, stateless: no ledger, frozen precedents, same input same output."""
    return asyncio.run(_decide(options))


async def _decide(options: argparse.Namespace) -> int:
    import dataclasses

    from so8t.operate.serving import running_judge

    folder = bundle_folder(options)
    async with running_judge(folder, trusted_key(options), allow_unproven=options.allow_unproven) as (_, judge, _):
        if options.policy is not None:
            policy = parse_policy(*policy_text(str(options.policy.resolve())))
            if policy.digest != judge.policy.digest and not options.allow_unproven:
                raise BundleUnproven(where=options.policy, detail="--policy")
            judge = dataclasses.replace(judge, policy=policy)
            note = "カードはこの方針を証明していません / the card was not made under this policy"
            print(f"{note}: {options.policy}", file=sys.stderr)
        levels, default = judge.policy.levels, judge.policy.default_clearance

        async def one(record: Record) -> Record:
            request = request_from(record, default)
            levels.rank(request.clearance)
            if request.classification is not None:
                levels.rank(request.classification)
            verdict = (await judge.judge(request)).to_json()
            for opinion in verdict["opinions"]:
                del opinion["ms"]  # the only thing that differs between two runs
            return verdict

        return await convert(options, one)


def request_from(record: Record, default_clearance: str) -> Request:
    """Raises RecordInvalid for a missing query or an unknown domain."""
    query = record.get("query")
    if not isinstance(query, str) or not query.strip():
        raise RecordInvalid(detail="query")
    try:
        domain = Domain(record["domain"]) if record.get("domain") else None
    except ValueError as error:
        raise RecordInvalid(detail=str(error)) from error
    clearance, classification = record.get("clearance") or default_clearance, record.get("classification") or None
    if not isinstance(clearance, str) or not isinstance(classification, str | None):
        raise RecordInvalid(detail="clearance, classification")
    return Request(str(record.get("id", "")), query, clearance, classification, domain)


def classify(options: argparse.Namespace) -> int:
    """Domain and confidence of texts, by the bundle's model or the one that ships with the package."""
    model = DomainModel.from_bytes(_domain_model(options).read_bytes())

    async def one(record: Record) -> Record:
        domain, confidence = model.classify(text_of(record))
        return {"domain": domain, "confidence": round(confidence, 6)}

    return asyncio.run(convert(options, one))


def score(options: argparse.Namespace) -> int:
    """Quality of texts with the reasons in words."""
    from so8t.build.data.quality import quality

    least = CollectConfig().minimum_quality

    async def one(record: Record) -> Record:
        found = quality(text_of(record), options.scorer)
        reasons = [ja if options.lang == "ja" else en for ja, en in found.reasons]
        return {"quality": found.value, "kept": found.value >= least, "reasons": reasons}

    return asyncio.run(convert(options, one))


def text_of(record: Record) -> str:
    text = record.get("text")
    if not isinstance(text, str):
        raise RecordInvalid(detail="text")
    return text


async def convert(options: argparse.Namespace, work: Work) -> int:
    """Every line through `work`, in order; the exit code is that of the last error, after all the rest is done."""
    gate = asyncio.Semaphore(CONCURRENCY)
    codes: list[int] = []

    async def one(number: int, line: str) -> Record:
        where = f"{options.source}:{number}"
        identity: Record = {}
        async with gate:
            try:
                record = parse_json_line(line, where)
                if isinstance(record.get("id"), (dict, list)):
                    raise RecordInvalid(detail="id")
                identity = {"id": record.get("id")}
                return identity | await work(record) | identity  # the id as it came, whatever its type
            except So8tError as error:
                codes.append(error.exit_code)
                error.where = error.where or where
                return identity | {"line": number} | error.to_json(options.lang)

    records = await asyncio.gather(*(one(n, line) for n, line in _lines(options.source)))
    write_jsonl(options.target, records)
    summary = {"records": len(records), "errors": len(codes), "out": str(options.target)}
    print(
        json.dumps(summary, ensure_ascii=False)
        if options.json
        else f"{options.target}: {len(records)} ({len(codes)} error)"
    )
    return codes[-1] if codes else 0


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in read_lines(path) if line.strip())


def bundle_folder(options: argparse.Namespace) -> Path:
    """The bundle named, or the newest one below --runs. Raises BundleMissing when there is none."""
    folder: Path | None = options.bundle or newest_bundle(options.runs)
    if folder is None:
        raise BundleMissing(where=options.runs)
    return folder


def trusted_key(options: argparse.Namespace) -> Path | None:
    """--key, or the key of this machine's own trainer; without either the signature stays unchecked, and it is said."""
    if options.key is not None:
        key: Path = options.key
        return key
    own: Path = options.runs / "keys" / "bundle.key.pub"
    if own.is_file():
        return own
    print("署名は確かめていません(--key) / signature not checked (--key)", file=sys.stderr)
    return None


def _domain_model(options: argparse.Namespace) -> Path:
    folder = options.bundle or newest_bundle(options.runs)
    if folder is None:
        return packaged("models", DOMAIN_MODEL)
    return open_bundle(folder, trusted_key(options)).folder / DOMAIN_MODEL
