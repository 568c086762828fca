"""The requests written by hand, as samples: each pass of writing belongs to one split (LABELS.md, SPEC D6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from so8t.build.data.lexicon import policy_refs
from so8t.core.errors import LevelUnknown, RecordInvalid, SourceMissing
from so8t.core.files import read_jsonl
from so8t.core.types import Decision, Domain, Levels, Sample, Split

LICENSE = "CC0-1.0"
# What is not TRAIN is evaluation data: nobody who writes rules, words or prompts reads them.
PASS_SPLIT: Mapping[str, Split] = {
    "workday": Split.TRAIN,
    "pairs": Split.TRAIN,
    "night": Split.TRAIN,
    "desk": Split.TRAIN,
    "window": Split.TRAIN,
    "plant": Split.TRAIN,
    "board": Split.TRAIN,
    "chat": Split.TRAIN,
    "clinic": Split.TRAIN,
    "hangar": Split.TRAIN,
    "counter": Split.TRAIN,
    "dispatch": Split.TRAIN,
    "helpdesk": Split.TRAIN,
    "hq": Split.TRAIN,
    "pasted": Split.TRAIN,
    "twins": Split.TRAIN,
    "rookie": Split.TRAIN,
    "veteran": Split.TRAIN,
    "soc": Split.TRAIN,
    "treasury": Split.TRAIN,
    "drafts": Split.TRAIN,
    "lab": Split.TRAIN,
    "ministry": Split.TRAIN,
    "purpose": Split.TRAIN,
    "factory": Split.TRAIN,
    "home": Split.TRAIN,
    "levels": Split.TRAIN,
    "newsroom": Split.TRAIN,
    "port": Split.TRAIN,
    "academy": Split.TRAIN,
    "estate": Split.TRAIN,
    "short": Split.TRAIN,
    "shift": Split.TRAIN,
    "tower": Split.TRAIN,
    "market": Split.TRAIN,
    "bridge": Split.TRAIN,
    "cellar": Split.TRAIN,
    "delta": Split.TRAIN,
    "ember": Split.TRAIN,
    "frost": Split.TRAIN,
    "grain": Split.TRAIN,
    "helm": Split.TRAIN,
    "ivory": Split.TRAIN,
    "visitors": Split.VALIDATION,
    "inbox": Split.CALIBRATION,
    "canal": Split.CALIBRATION,
    "ridge": Split.CALIBRATION,
    "orchard": Split.CALIBRATION,
    "quay": Split.CALIBRATION,
    "lantern": Split.CALIBRATION,
    "cedar": Split.CALIBRATION,
    "meadow": Split.CALIBRATION,
    "harbor": Split.CALIBRATION,
    "field": Split.TEST,
    "street": Split.TEST,
}
_TEXTS = ("id", "query", "clearance", "classification", "response")
_OPTIONAL = ("register", "pair", "attack", "escalation_target")


def load_written(
    contracts: Mapping[Domain, Mapping[str, Any]], policy_state: Mapping[str, Any], folder: Path | None = None
) -> Iterator[Sample]:
    """Every pass that is there, in the order of PASS_SPLIT; `folder` None = the requests that ship with the package.

    Raises RecordInvalid with file:line for a row that breaks the format, SourceMissing when no pass is there at all.
    """
    folder = folder or Path(str(resources.files("so8t") / "resources" / "requests"))
    paths = [path for name in PASS_SPLIT if (path := folder / f"{name}.jsonl").is_file()]
    if not paths:
        raise SourceMissing(where=folder, detail=" ".join(f"{name}.jsonl" for name in PASS_SPLIT))
    for path in paths:
        for number, record in read_jsonl(path):
            yield _sample(record, path.stem, f"{path}:{number}", contracts, policy_state)


def _sample(
    record: Mapping[str, Any],
    name: str,
    where: str,
    contracts: Mapping[Domain, Mapping[str, Any]],
    policy_state: Mapping[str, Any],
) -> Sample:
    _check(record, name, where)
    try:
        domain, decision = Domain(record["domain"]), Decision(record["decision"])
        contract = contracts[domain]
    except (KeyError, ValueError) as error:
        raise RecordInvalid(where=where, detail=str(error)) from error
    target = record.get("escalation_target")
    if (decision is Decision.ESCALATE) != bool(target):
        raise RecordInvalid(where=where, detail=f"escalation_target: {decision} {target!r}")
    return Sample(
        id=record["id"],
        kind="request",
        text=record["query"],
        source=f"so8t written requests/{name}",
        license=LICENSE,
        domain=domain,
        split=PASS_SPLIT[name],
        family=record.get("pair") or record["id"],
        pair=record.get("pair"),
        decision=decision,
        response=record["response"],
        clearance=record["clearance"],
        classification=record["classification"],
        register=record.get("register"),
        attack=record.get("attack"),
        identity_contract=contract,
        policy_state=policy_state,
        policy_ref=policy_refs(domain)[decision],
        escalation_target=target,
    )


def _check(record: Mapping[str, Any], name: str, where: str) -> None:
    """Types, pass and levels of a row; the error names the key, never the text."""
    for key in _TEXTS:
        if not isinstance(record.get(key), str) or not record[key].strip():
            raise RecordInvalid(where=where, detail=f"{key}: text expected")
    for key in _OPTIONAL:
        if not isinstance(record.get(key), (str, type(None))):
            raise RecordInvalid(where=where, detail=f"{key}: text or null expected")
    if record.get("pass") != name:
        raise RecordInvalid(where=where, detail=f"pass: {record.get('pass')!r} in {name}.jsonl")
    try:
        gap = Levels().gap(record["clearance"], record["classification"])
    except LevelUnknown as error:
        raise RecordInvalid(where=where, detail=error.detail) from error
    if gap > 0 and record.get("decision") == Decision.ALLOW:
        raise RecordInvalid(where=where, detail="ALLOW above the clearance")
