"""Judged requests from a real ledger, from lines, and from files that try to break the reader."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from so8t.core import signing
from so8t.core.errors import LedgerBroken, RecordInvalid, SourceMissing, SourceUnreadable, TextKeyWrong
from so8t.core.files import write_jsonl
from so8t.core.ledger import Ledger
from so8t.core.sealing import TextKey, load_or_create
from so8t.core.types import DECISIONS, Decision, Domain, Sample, Split, Verdict
from so8t.prove import decision_records
from so8t.prove.consistency import consistency
from so8t.prove.decision_records import from_ledger, from_lines, from_outcomes, read_log
from so8t.prove.suite import Outcome
from so8t.report.consistency_text import log_table


def lines(path: Path, *records: dict[str, Any]) -> Path:
    write_jsonl(path, records)
    return path


def decided(n: int, **changes: Any) -> dict[str, Any]:
    return {"id": f"d{n}", "query": f"{n}月の予定を教えて", "decision": "ALLOW", "confidence": 0.9} | changes


def load_or_create_key(ledger: Path) -> Ed25519PrivateKey:
    return signing.load_or_create(ledger.with_name("ledger.key"))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    with Ledger(path, load_or_create_key(path), load_or_create(tmp_path / "keys" / "text.key")) as book:
        for n in range(5):
            body = {
                "request_id": f"q{n}", "decision": "DENY", "confidence": 0.5, "clearance": "公開",
                "classification": "極秘", "policy_digest": "p", "payload_digest": "b",
            }  # fmt: skip
            book.append("decision", body, text={"query": f"質問その{n}", "reply": "答え"}).result()
        book.append("note", {"text": "x"}).result()
    return path


@pytest.fixture
def text_key(ledger: Path) -> TextKey:
    return load_or_create(ledger.parent / "keys" / "text.key")


def test_a_ledger(ledger: Path, text_key: TextKey) -> None:
    found = read_log(ledger, None, text_key)
    assert [r.id for r in found.records] == [f"q{n}" for n in range(5)] and found.left_out == 0
    first = found.records[0]
    assert (first.text, first.decision, first.confidence) == ("質問その0", Decision.DENY, 0.5)
    assert (first.setting, first.version) == (("公開", "極秘"), "p b")


def test_only_the_newest_of_a_long_ledger(ledger: Path, text_key: TextKey, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [r.id for r in from_ledger(ledger, text_key, 2).records] == ["q3", "q4"]
    monkeypatch.setattr(decision_records, "PAGE", 2)
    assert [r.id for r in from_ledger(ledger, text_key).records] == [f"q{n}" for n in range(5)]


def test_without_the_text_key_nothing_can_be_read(ledger: Path) -> None:
    for key in (None, TextKey.generate()):
        with pytest.raises(TextKeyWrong):
            read_log(ledger, None, key)


def test_erased_texts_are_counted_and_the_ledger_is_not_touched(ledger: Path, text_key: TextKey) -> None:
    db = apsw.Connection(str(ledger))
    db.execute("DELETE FROM texts WHERE seq = (SELECT min(seq) FROM texts)")
    db.close()
    before = ledger.read_bytes()
    found = read_log(ledger, None, text_key)
    assert len(found.records) == 4 and found.left_out == 1 and ledger.read_bytes() == before


@pytest.mark.parametrize("empty", ["", " \n\u3000"])
def test_an_empty_message_stops_nobody(ledger: Path, text_key: TextKey, empty: str) -> None:
    with Ledger(ledger, load_or_create_key(ledger), text_key) as book:
        body = {"request_id": "e", "decision": "ESCALATE", "confidence": 0.4}
        book.append("decision", body, text={"query": empty, "reply": "答え"}).result()
    found = read_log(ledger, None, text_key)
    assert len(found.records) == 5 and found.left_out == 1
    assert "1 件は、本文が消されているか空か" in log_table(consistency(found.records) | {"left_out": found.left_out})


def test_a_broken_ledger(ledger: Path) -> None:
    db = apsw.Connection(str(ledger))
    db.execute("UPDATE entries SET body = CAST('{' AS BLOB) WHERE kind = 'decision'")
    db.close()
    with pytest.raises(LedgerBroken, match="seq"):
        read_log(ledger)
    ledger.write_bytes(ledger.read_bytes()[:20] + b"x" * 4000)
    with pytest.raises(LedgerBroken):
        read_log(ledger)


def test_lines_with_their_text(tmp_path: Path) -> None:
    path = lines(tmp_path / "v", decided(1), {"error": "D04", "id": "x"}, decided(2, text="別", clearance="公開"))
    found = from_lines(path)
    assert [r.text for r in found.records] == ["1月の予定を教えて", "2月の予定を教えて"] and found.left_out == 1
    assert found.records[1].setting == ("公開", "")


def test_lines_joined_with_their_requests(tmp_path: Path) -> None:
    asked = lines(tmp_path / "q", {"id": "a", "query": "質問", "clearance": "公開"}, {"id": 7, "query": "七"})
    path = lines(tmp_path / "v", {"id": 7, "decision": "DENY"}, {"id": "a", "decision": "ALLOW", "confidence": 1})
    found = read_log(path, asked)
    assert [(r.id, r.text, r.setting) for r in found.records] == [("7", "七", ("", "")), ("a", "質問", ("公開", ""))]


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ({"query": None}, "query"), ({"query": "  "}, "query"), ({"query": 3}, "query"),
        ({"decision": "MAYBE"}, "decision"), ({"decision": None}, "decision"), ({"decision": ["ALLOW"]}, "decision"),
        ({"confidence": "high"}, "confidence"), ({"confidence": 1.5}, "confidence"), ({"confidence": -1}, "confidence"),
    ],
)  # fmt: skip
def test_bad_lines_are_named(tmp_path: Path, record: dict[str, Any], word: str) -> None:
    path = lines(tmp_path / "v", decided(1), decided(2, **record))
    with pytest.raises(RecordInvalid, match=word) as caught:
        from_lines(path)
    assert caught.value.where == f"{path}:2"


def test_bad_joins_are_named(tmp_path: Path) -> None:
    verdicts = lines(tmp_path / "v", {"id": "b", "decision": "DENY"})
    with pytest.raises(RecordInvalid, match="id 'b'"):
        from_lines(verdicts, lines(tmp_path / "q", {"id": "a", "query": "質問"}))
    twice = lines(tmp_path / "t", {"id": "a", "query": "質問"}, {"id": "a", "query": "質問"})
    with pytest.raises(RecordInvalid) as caught:
        from_lines(verdicts, twice)
    assert caught.value.where == f"{twice}:2"
    with pytest.raises(RecordInvalid):
        from_lines(verdicts, lines(tmp_path / "u", {"id": ["a"], "query": "質問"}))


def test_too_many_and_none(tmp_path: Path) -> None:
    path = lines(tmp_path / "v", *(decided(n) for n in range(4)))
    with pytest.raises(SourceUnreadable, match="> 3"):
        from_lines(path, most=3)
    with pytest.raises(SourceMissing):
        read_log(tmp_path / "no")


def test_outcomes_of_an_evaluation() -> None:
    sample = Sample(
        id="s1", kind="request", text="案内文を書いて", source="t", license="t", domain=Domain.GENERAL,
        split=Split.TEST, family="f", pair="p", decision=Decision.ALLOW, clearance="社内限定",
    )  # fmt: skip
    verdict = Verdict("s1", Decision.DENY, {d: float(d is Decision.DENY) for d in DECISIONS}, ())
    alone = dataclasses.replace(sample, id="s2", pair=None)
    first, second = from_outcomes([Outcome(sample, verdict, (0, 0, 0)), Outcome(alone, verdict, (0, 0, 0))])
    assert (first.decision, first.label, first.confidence) == (Decision.DENY, Decision.ALLOW, 1.0)
    assert (first.setting, first.group, first.pair) == (("社内限定", ""), "p", "p")
    assert (second.group, second.pair) == ("f", "")


def test_the_command(ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from so8t import cli

    shutil.copy(ledger, tmp_path / "copy.db")
    path = lines(tmp_path / "v", decided(1), decided(1, id="again", decision="DENY"), decided(3, query="別の話です"))
    assert cli.main(["consistency", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["score"]["value"] == 0.0 and found["left_out"] == 0 and len(found["worst"]) == 1
    assert cli.main(["consistency", str(path), "--lang", "ja"]) == 0
    shown = capsys.readouterr().out
    assert "似た依頼の一貫性" in shown and "0.0 %" in shown and "again" in shown
    assert cli.main(["consistency", str(ledger), "--lang", "en", "--runs", str(tmp_path)]) == 0
    assert "5 decisions" in capsys.readouterr().out
    assert cli.main(["consistency", str(path), "--least", "2"]) == 2
    assert cli.main(["consistency", str(path), "--draws", "0"]) == 2
    assert cli.main(["consistency", str(tmp_path / "no")]) == 3
    assert cli.main(["consistency", str(lines(tmp_path / "none"))]) == 3
