"""Twelve requests listed in the repository went through the real gateway and are shown as they came out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from so8t.core import signing
from so8t.core.files import read_json
from so8t.core.ledger_read import count_by_decision, tail
from so8t.core.ledger_verify import verify
from so8t.core.types import DECISIONS, Decision
from so8t.operate.demo import demo_requests


def test_the_requests_are_listed_and_cover_the_three_decisions() -> None:
    found = demo_requests("demo")
    assert len(found) == 12 and set(Counter(label for _, label in found)) == set(DECISIONS)
    assert all(r.domain is None for r, _ in found)  # as the gateway would see them


def test_own_requests_by_path(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    record = {"id": "a", "query": "質問", "clearance": "公開", "classification": None, "decision": "DENY"}
    path.write_text(json.dumps(record), encoding="utf-8")
    ((request, label),) = demo_requests(str(path))
    assert request.query == "質問" and label is Decision.DENY


def test_what_came_out(micro_run: Path) -> None:
    shown = read_json(micro_run / "demo" / "demo.json")
    rows = shown["replies"]
    assert [r["id"] for r in rows] == [r.id for r, _ in demo_requests("demo")]
    assert shown["as_labelled"] == sum(r["decision"] == r["label"] for r in rows)
    assert shown["decisions"] == {d: sum(r["decision"] == d for r in rows) for d in DECISIONS}
    assert shown["allowed_by_model"] == sum(r["allowed_by_model"] for r in rows)
    for row in rows:
        assert {o["judge"] for o in row["opinions"]} == {"rule", "model", "precedent"} and row["reply"]
        if row["decision"] == "ESCALATE":
            assert "判断が必要" in row["reply"]
        if row["decision"] == "DENY":
            assert "お応えできません" in row["reply"]


def test_the_ledger_holds_just_these(micro_run: Path, micro_runs: Path) -> None:
    key = signing.load_public(micro_runs / "keys" / "ledger.key.pub")
    report = verify(micro_run / "ledger.db", public_key=key)
    assert report.ok and report.signed and report.entries == 14
    entries = tail(micro_run / "ledger.db", 14)
    assert [e["kind"] for e in entries] == ["open", "bundle", *["decision"] * 12]
    shown = read_json(micro_run / "demo" / "demo.json")["replies"]
    assert [(e["request_id"], e["decision"], e["seq"]) for e in entries[2:]] == [
        (r["id"], r["decision"], r["ledger_seq"]) for r in shown
    ]
    assert sum(count_by_decision(micro_run / "ledger.db").values()) == 12
    body = json.dumps(entries, ensure_ascii=False)
    assert not any(r["query"] in body for r in shown)
    bundle = read_json(micro_run / "bundle" / "bundle.json")
    assert entries[1]["data"]["payload_digest"] == bundle["payload_digest"]
