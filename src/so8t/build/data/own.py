"""Labelled requests of the company's own, such as its reviewers' decisions (`so8t review export`): for training alone.

JSON lines {"id", "query", "decision", "domain", "clearance", "classification"?, "response"?, "escalation_target"?}.
They are never calibration or test data: who judges the model must not have taught it with the same requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from so8t.build.data.synth import split_of
from so8t.core.errors import LevelUnknown, RecordInvalid
from so8t.core.files import read_jsonl
from so8t.core.types import Decision, Domain, Sample
from so8t.decide.policy import Policy

LICENSE = "own"
OWN = "own/"  # how the source of a company's own request begins
MAX_QUERY = 20_000


def load_own(paths: Iterable[str], policy: Policy) -> Iterator[Sample]:
    """Raises SourceMissing, and RecordInvalid with file:line for a row that breaks the format."""
    seen: set[str] = set()
    for path in map(Path, paths):
        for number, record in read_jsonl(path):
            sample = _sample(record, path.stem, f"{path}:{number}", policy)
            if sample.id in seen:
                raise RecordInvalid(where=f"{path}:{number}", detail=f"id {sample.id!r} is taken")
            seen.add(sample.id)
            yield sample


def _sample(record: Mapping[str, Any], name: str, where: str, policy: Policy) -> Sample:
    for key in ("id", "query", "clearance"):
        if not isinstance(record.get(key), str) or not record[key].strip() or len(record[key]) > MAX_QUERY:
            raise RecordInvalid(where=where, detail=f"{key}: text of 1 to {MAX_QUERY} characters expected")
    try:
        domain, decision = Domain(record.get("domain") or Domain.GENERAL), Decision(record["decision"])
        classification = record.get("classification") or policy.levels.names[0]
        gap = policy.levels.gap(record["clearance"], classification)
    except (KeyError, ValueError, TypeError, LevelUnknown) as error:
        raise RecordInvalid(where=where, detail=str(error)) from error
    if gap > 0 and decision is Decision.ALLOW:
        raise RecordInvalid(where=where, detail="ALLOW above the clearance")
    place = policy.domain(domain)
    target = str(record.get("escalation_target") or place.escalation_target)
    own = record.get("response")
    return Sample(
        id=f"own-{record['id']}",
        kind="request",
        text=record["query"],
        source=f"{OWN}{name}",
        license=LICENSE,
        domain=domain,
        split=split_of(f"own/{record['id']}"),
        family=f"own/{record['id']}",
        decision=decision,
        response=own if isinstance(own, str) and own.strip() else _response(decision, target, place.policy_refs),
        clearance=record["clearance"],
        classification=classification,
        identity_contract=policy.contract(domain),
        policy_state=policy.state(),
        policy_ref=place.policy_refs[decision],
        escalation_target=target if decision is Decision.ESCALATE else None,
    )


def _response(decision: Decision, target: str, refs: Mapping[Decision, str]) -> str:
    """What the gateway itself would say; an allowed request without its answer teaches the decision alone."""
    if decision is Decision.DENY:
        return f"この依頼にはお応えできません。根拠: {refs[decision]}。"
    if decision is Decision.ESCALATE:
        return f"この依頼は {target} の判断が必要です。根拠: {refs[decision]}。"
    return "承知しました。"
