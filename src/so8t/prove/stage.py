"""Stage prove: calibrate and measure every quantisation through the real judges; the card holds it to the policy."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.core.bundle import payload_digest
from so8t.core.files import hash_folder, read_json, read_jsonl, write_json, write_text
from so8t.core.run import StageContext
from so8t.core.types import DECISIONS, Sample, Split
from so8t.decide.calibrate import Calibration
from so8t.decide.policy import Policy
from so8t.judge.triple import CALIBRATION, load_triple
from so8t.prove.safety import check_thresholds
from so8t.prove.suite import calibrate, evaluate, result
from so8t.report.card import card_html

SLOTS = 2
SPEED_TOKENS = 64


def evaluation_samples(folder: Path, split: Split, limit: int = 0) -> list[Sample]:
    """The written requests of one split; `limit` keeps the first so many of each decision (profile micro)."""
    path = folder / f"{split}.jsonl"
    samples = [Sample.from_json(r, f"{path}:{n}") for n, r in read_jsonl(path)]
    requests = [s for s in samples if s.decision is not None]
    if not limit:
        return requests
    return [s for d in DECISIONS for s in [r for r in requests if r.decision == d][: limit // 3]]


def run_prove(ctx: StageContext) -> dict[str, Any]:
    """Writes calibration.json, card.json and card.html; thresholds that fail are on the card, not an exception."""
    config, payload = ctx.config, ctx.input("export")
    splits = {
        s: evaluation_samples(ctx.input("validate"), s, config.prove.limit) for s in (Split.CALIBRATION, Split.TEST)
    }
    names = config.export.quantisations
    total = len(names) * (2 * len(splits[Split.CALIBRATION]) + len(splits[Split.TEST]))
    results, calibrations, speeds = {}, {}, {}
    with ctx.progress.task("proving", total, "request") as task:
        for name in names:
            model = payload / "gguf" / f"model-{name}.gguf"
            with serve(model, config.export.context, slots=SLOTS, threads=config.prove.threads) as address:
                work = _prove_one(payload, address, splits, config.prove.bootstrap, task.advance)
                results[name], calibrations[name], speeds[name] = asyncio.run(work)
    write_json(ctx.folder / CALIBRATION, {n: c.to_json() for n, c in calibrations.items()})
    card = _card(ctx, results, speeds)
    write_json(ctx.folder / "card.json", card)
    write_text(ctx.folder / "card.html", card_html(card))
    test = results[config.prove.deploy]["splits"]["test"]
    return {
        "accuracy": test["accuracy"]["value"], "macro_f1": test["f1"]["macro"]["value"],
        "refuse_recall": test["refuse_recall"]["value"], "danger_allowed": test["danger_allowed"]["value"],
        "passed": card["thresholds"]["passed"], "payload_digest": card["payload_digest"],
    }  # fmt: skip


async def _prove_one(
    payload: Path, address: str, splits: dict[Split, list[Sample]], draws: int, advance: Callable[[], None]
) -> tuple[dict[str, Any], Calibration, float]:
    """Results, calibration and tokens a second of one running quantisation."""
    backend = LlamaCpp(address)
    try:
        bare = load_triple(payload, backend, Calibration())
        calibration = await calibrate(bare, splits[Split.CALIBRATION], advance)
        judge = load_triple(payload, backend, calibration)
        measured = {}
        for split, samples in splits.items():
            outcomes = await evaluate(judge, samples, advance)
            measured[split.value] = result(outcomes, calibration, draws)
        made = await backend.generate("。", SPEED_TOKENS)
        speed = made.tokens / max(made.seconds, 1e-9)
    finally:
        await backend.close()
    return {"splits": measured, **calibration.to_json()}, calibration, speed


def _card(ctx: StageContext, results: dict[str, Any], speeds: dict[str, float]) -> dict[str, Any]:
    """Everything an auditor reads, from the manifests of the run and what was measured just now."""
    config, export = ctx.config, ctx.facts("export")
    policy = _policy(ctx.input("export"))
    listing = hash_folder(ctx.input("export")) | hash_folder(ctx.folder)
    data, base, train = ctx.facts("validate"), ctx.facts("base"), ctx.facts("train")
    demo = config.profile in ("tiny", "micro")
    return {
        "schema": 1,
        "name": ctx.run.folder.name,
        "profile": config.profile,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "payload_digest": payload_digest(listing),
        "policy": {"id": policy.id, "label": policy.label, "version": policy.version, "digest": policy.digest},
        "demo": demo,
        "machine": machine(),
        "model": base | {k: train[k] for k in ("lora_parameters", "gate_parameters") if k in train},
        "data": {
            "texts": data.get("texts"), "characters": data.get("characters"), "requests": data.get("requests"),
            "synthetic": ctx.facts("synth").get("generated"), "licenses": data.get("licenses"),
        },
        "training": train
        | {"seconds": _seconds(ctx, "train"), "history": _history(ctx.input("train") / "history.jsonl")},
        "burnin": ctx.facts("burnin"),
        "parity": export.get("parity"),
        "files": [f | {"tokens_per_second": round(speeds[f["quantisation"]], 1)} for f in export.get("files", [])],
        "deployed": config.prove.deploy,
        "results": results,
        "thresholds": _thresholds(results[config.prove.deploy], policy) | {"label": policy.label},
        "limits_ja": LIMITS_JA if demo else [],
        "limits_en": LIMITS_EN if demo else [],
        "data_warnings": [],
    }  # fmt: skip


LIMITS_JA = [
    "このモデルは数分で作られた見本です。工程がつながることを示すもので、世の中のことは何も知りません。",
    "判定の数値は規則・先例・モデルの三者を合わせたものです。実務の可否判断には使えません。",
    "答えの文は日本語として崩れることがあります。",
]
LIMITS_EN = [
    "This model was made in minutes as a sample. It proves that the chain works; it knows nothing of the world.",
    "The figures are those of rules, precedents and model together. Do not use it for real decisions.",
    "The wording of its answers may not be good Japanese.",
]


def _policy(payload: Path) -> Policy:
    from so8t.decide.policy import parse_policy
    from so8t.judge.triple import POLICY

    return parse_policy((payload / POLICY).read_text(encoding="utf-8"), str(payload / POLICY))


def _thresholds(measured: dict[str, Any], policy: Policy) -> dict[str, Any]:
    test = measured["splits"]["test"]
    values = {
        name: test[name]["value"]
        for name in ("refuse_recall", "danger_allowed", "false_allow", "over_refusal", "over_escalation")
    }
    values |= {f"{k.lower()}_f1": v["value"] for k, v in test["f1"].items()}
    return check_thresholds(values | {"ece": test["ece"]["after"]}, policy.thresholds)


def _seconds(ctx: StageContext, stage: str) -> float:
    manifest = ctx.run.manifest(stage)
    return manifest.seconds if manifest else 0.0


def _history(path: Path, most: int = 400) -> list[dict[str, Any]]:
    """The training curve, thinned to at most `most` points."""
    records = [record for _, record in read_jsonl(path)] if path.exists() else []
    stride = max(1, -(-len(records) // most))
    return records[::stride]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import os

    versions = {}
    for key, package in (("torch", "torch"), ("transformers", "transformers"), ("llama.cpp", "xllamacpp")):
        try:
            versions[key] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[key] = "-"
    return {
        "cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "os": platform.system(),
        "python": platform.python_version(), **versions,
    }  # fmt: skip


def card_of(run_folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = read_json(run_folder / "prove" / "card.json")
    return card
