"""A user's own labelled requests, one JSON object a line: {"id","query","decision"} and what else is known of them.

`text` stands for `query`, so that a split file of a run can be given as it is. Optional: clearance, classification,
domain, register, attack, family, pair. The file is read whole before anything is measured; the first line that is
wrong stops it, by its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from so8t.core.errors import LevelUnknown, RecordInvalid, SourceEmpty, SourceUnreadable
from so8t.core.files import read_jsonl
from so8t.core.types import DECISIONS, Decision, Domain, Sample, Split
from so8t.decide.policy import Policy

MAXIMUM_REQUESTS = 100_000
MAXIMUM_CHARACTERS = 100_000
OPTIONAL = ("clearance", "classification", "register", "attack", "family", "pair")


def read_evaluation(
    path: Path, policy: Policy, domain_of: Callable[[str], Domain], split: Split = Split.TEST
) -> list[Sample]:
    """Raises RecordInvalid, LevelUnknown (both with file:line), SourceEmpty, SourceMissing, SourceUnreadable.

    Without clearance: the policy's default. Without domain: the bundle's own domain model tells it. Without family
    (requests that are variants of one another): the pair, else each request is its own.
    """
    seen: dict[str, int] = {}
    samples: list[Sample] = []
    for number, record in _records(path):
        where = f"{path}:{number}"
        sample = _sample(record, where, policy, domain_of, split)
        if sample.id in seen:
            raise RecordInvalid(where=where, detail=f"id {sample.id!r} = {path.name}:{seen[sample.id]}")
        if len(samples) >= MAXIMUM_REQUESTS:
            raise SourceUnreadable(where=where, detail=f"> {MAXIMUM_REQUESTS} requests")
        seen[sample.id] = number
        samples.append(sample)
    if not samples:
        raise SourceEmpty(where=path)
    return samples


def read_texts(path: Path, most: int) -> list[str]:
    """Held-out texts for perplexity, {"text"} a line; at most `most`. Raises RecordInvalid, SourceEmpty."""
    texts: list[str] = []
    for number, record in _records(path):
        if len(texts) == most:
            break
        texts.append(_text(record, "text", f"{path}:{number}"))
    if not texts:
        raise SourceEmpty(where=path)
    return texts


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        yield from read_jsonl(path)
    except OSError as error:
        raise SourceUnreadable(where=path, detail=type(error).__name__) from error


def _sample(
    record: Mapping[str, Any], where: str, policy: Policy, domain_of: Callable[[str], Domain], split: Split
) -> Sample:
    text = _text(record, "query" if "query" in record else "text", where)
    known = {name: _optional(record, name, where) for name in OPTIONAL}
    identity = record.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
        raise RecordInvalid(where=where, detail="id")
    clearance = known["clearance"] or policy.default_clearance
    for level in filter(None, (clearance, known["classification"])):
        try:
            policy.levels.rank(level)
        except LevelUnknown as error:
            raise LevelUnknown(where=where, detail=error.detail) from None
    return Sample(
        id=str(identity),
        kind="request",
        text=text,
        source=Path(where).name.rpartition(":")[0],
        license="",
        domain=_domain(record, where) or domain_of(text),
        split=split,
        family=known["family"] or known["pair"] or str(identity),
        pair=known["pair"],
        decision=_decision(record, where),
        clearance=clearance,
        classification=known["classification"],
        register=known["register"],
        attack=known["attack"],
    )


def _text(record: Mapping[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RecordInvalid(where=where, detail=key)
    if len(value) > MAXIMUM_CHARACTERS:
        raise RecordInvalid(where=where, detail=f"{key} > {MAXIMUM_CHARACTERS} characters")
    return value


def _optional(record: Mapping[str, Any], key: str, where: str) -> str | None:
    value = record.get(key)
    if value is None or (isinstance(value, str) and len(value) <= MAXIMUM_CHARACTERS):
        return value or None
    raise RecordInvalid(where=where, detail=key)


def _decision(record: Mapping[str, Any], where: str) -> Decision:
    value = record.get("decision")
    try:
        return Decision(str(value))
    except ValueError as error:
        shown = "decision" if value is None else f"decision = {value!r}"
        raise RecordInvalid(where=where, detail=f"{shown} ({' | '.join(DECISIONS)})") from error


def _domain(record: Mapping[str, Any], where: str) -> Domain | None:
    try:
        return Domain(record["domain"]) if record.get("domain") else None
    except (ValueError, TypeError) as error:
        raise RecordInvalid(where=where, detail=f"domain = {record['domain']!r}") from error
