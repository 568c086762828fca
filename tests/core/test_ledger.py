"""The ledger: whatever was acknowledged stays, whatever was changed is named."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from so8t.core import ledger as ledger_module
from so8t.core.errors import (
    LedgerBroken,
    LedgerBusy,
    LedgerError,
    LedgerUnavailable,
    RecordInvalid,
    SourceMissing,
    TextKeyWrong,
)
from so8t.core.ledger import Ledger, write_anchor
from so8t.core.ledger_format import Anchor, Entry, genesis
from so8t.core.ledger_read import LedgerReader, count_by_decision, export, tail
from so8t.core.ledger_report import Report
from so8t.core.ledger_sqlite import SCHEMA
from so8t.core.ledger_verify import verify
from so8t.core.sealing import TextKey
from so8t.core.types import Decision, canonical_json

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key()
TEXTS = TextKey.generate()
DECISIONS = ("ALLOW", "ESCALATE", "DENY")
posix = pytest.mark.skipif(os.name == "nt", reason="signals and file size limits are POSIX")


def body(i: int) -> dict[str, Any]:
    return {
        "decision": DECISIONS[i % 3],
        "request_id": f"r{i}",
        "actor": "佐藤",
        "confidence": 0.91,
        "reason": "上席の承認",
    }


def build(folder: Path, n: int = 20, key: Ed25519PrivateKey = KEY) -> Path:
    """A closed ledger of n decisions, each its own commit (seq 2..n+1; seq 1 is "open"); seq 5 and 6 have texts."""
    path = folder / "ledger.db"
    with Ledger(path, key, TEXTS) as ledger:
        for i in range(n):
            texts = {"request": f"質問 {i}", "answer": f"回答 {i}"} if i in (3, 4) else None
            ledger.append_sync("decision", body(i), text=texts)
    return path


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("master"))


@pytest.fixture
def path(master: Path, tmp_path: Path) -> Path:
    """A fresh copy of the ledger to tamper with."""
    for file in master.parent.iterdir():
        shutil.copy(file, tmp_path / file.name)
    return tmp_path / "ledger.db"


def flip(*blob: Any) -> bytes:
    return bytes([blob[0][0] ^ 1]) + bytes(blob[0][1:])


def change(path: Path, sql: str, *values: object) -> None:
    """Someone with write access to the database, not to the key."""
    db = apsw.Connection(str(path))  # not sqlite3: two SQLite libraries in one process do not see each other's locks
    db.create_scalar_function("flip", flip, 1)
    db.execute(sql, values)
    db.close()


def redo_chain(path: Path) -> None:
    """Recompute numbers and hashes so that the chain fits again; signatures cannot be made."""
    db = sqlite3.connect(path)
    prev = b""
    rows = db.execute("SELECT seq, body, prev FROM entries ORDER BY seq").fetchall()
    for number, (seq, stored, first) in enumerate(rows, 1):
        prev = prev or first
        said = json.loads(stored) | {"seq": number}
        content = canonical_json(said).encode()
        digest = sha256(prev + content).digest()
        db.execute("UPDATE entries SET seq=?, body=?, prev=?, hash=? WHERE seq=?", (number, content, prev, digest, seq))
        prev = digest
    db.commit()
    db.close()


def check(path: Path, **more: Any) -> Report:
    return verify(path, public_key=PUBLIC, text_key=TEXTS, **more)


def texts_of(path: Path, seq: int) -> dict[str, str]:
    return LedgerReader(path, TEXTS).texts(seq)


def kinds(report: Report) -> set[str]:
    return {p.kind for p in report.problems}


# -- append ---------------------------------------------------------------------------------------------------------


def test_append_and_verify(path: Path) -> None:
    report = check(path)
    assert (report.ok, report.entries, report.first_bad, report.anchored_seq) == (True, 21, None, 21)
    assert report.signed and report.head == Anchor.read(path.with_suffix(".anchor")).head
    assert verify(path).ok and not verify(path).signed
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_body_is_canonical_and_holds_the_fields(path: Path) -> None:
    stored = sqlite3.connect(path).execute("SELECT body FROM entries WHERE seq = 5").fetchone()[0]
    said = json.loads(stored)
    assert canonical_json(said).encode() == stored
    assert said["decision"] == "ALLOW" and said["seq"] == 5 and said["data"]["reason"] == "上席の承認"
    assert set(said["content"]) == {"request", "answer"} and "質問" not in stored.decode()


def test_reopen_goes_on(path: Path) -> None:
    with Ledger(path, KEY, TEXTS) as ledger:
        entry = ledger.append_sync("review", {"actor": "鈴木", "approved": True})
        assert ledger.head.head == entry.head
    assert entry.seq == 22 and check(path).ok and check(path).entries == 22


def test_group_commit(tmp_path: Path) -> None:
    anchors: list[int] = []

    def slow_anchor(file: Path, anchor: Anchor, *, sync: bool) -> None:
        anchors.append(anchor.seq)
        time.sleep(0.002)
        write_anchor(file, anchor, sync=sync)

    with Ledger(tmp_path / "ledger.db", KEY, TEXTS, write_anchor=slow_anchor) as ledger:
        got: list[Entry] = []

        def work() -> None:
            got.extend(ledger.append_sync("decision", body(i)) for i in range(15))

        threads = [threading.Thread(target=work) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(e.seq for e in got) == list(range(2, 482))
    assert len(anchors) < len(got) / 4
    assert check(tmp_path / "ledger.db").ok


def test_asyncio_waiter_and_cancel(tmp_path: Path) -> None:
    """A cancelled asker leaves a record all the same."""

    async def ask(ledger: Ledger) -> Entry:
        hung_up = asyncio.wrap_future(ledger.append("decision", body(0)))
        hung_up.cancel()
        return await asyncio.wrap_future(ledger.append("decision", body(1)))

    with Ledger(tmp_path / "ledger.db", KEY, TEXTS) as ledger:
        assert asyncio.run(ask(ledger)).seq == 3


def test_clock_set_back(tmp_path: Path) -> None:
    start = datetime(2026, 4, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    times = iter([start, start, start - timedelta(days=1), start])
    with Ledger(tmp_path / "ledger.db", KEY, TEXTS, clock=lambda: next(times)) as ledger:
        first, second = (ledger.append_sync("note", {}) for _ in range(2))
    assert first.time == "2026-03-31T00:00:00.000000+00:00" and second.time > first.time
    assert check(tmp_path / "ledger.db").ok


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("open", {}, None),
        ("gossip", {}, None),
        ("note", {"x": float("nan")}, None),
        ("note", {"x": object()}, None),
        ("note", {"x": "\ud800"}, None),
        ("note", {"actor": 7}, None),
        ("note", {}, {"request": "\ud800"}),
        ("note", {}, {"request": b"bytes"}),
    ],
)
def test_bad_record_harms_nobody_else(tmp_path: Path, kind: str, fields: dict[str, Any], text: Any) -> None:
    with Ledger(tmp_path / "ledger.db", KEY, TEXTS) as ledger:
        with pytest.raises(RecordInvalid):
            ledger.append(kind, fields, text=text)
        assert ledger.append_sync("decision", {"decision": Decision.DENY}).seq == 2
    assert check(tmp_path / "ledger.db").ok


def test_callers_fields_cannot_pose_as_the_ledgers(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db", KEY, TEXTS) as ledger:
        ledger.append_sync("note", {"seq": 99, "time": "never", "signed": "x", "data": {}, "decision": None})
    assert check(tmp_path / "ledger.db").ok


def test_append_after_close_is_refused(path: Path) -> None:
    ledger = Ledger(path, KEY, TEXTS)
    waiting = [ledger.append("note", {"i": i}) for i in range(50)]
    ledger.close()
    ledger.close()
    assert [f.result().seq for f in waiting] == list(range(22, 72))
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.append("note", {})


def test_too_many_waiting(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_WAITING", 0)
    with Ledger(path, KEY, TEXTS) as ledger, pytest.raises(LedgerUnavailable, match="wait"):
        ledger.append("note", {})


def test_second_writer_is_refused(path: Path) -> None:
    with Ledger(path, KEY, TEXTS), pytest.raises(LedgerBusy, match="another process") as caught:
        Ledger(path, KEY, TEXTS)
    assert isinstance(caught.value, LedgerUnavailable) and "so8t serve" in caught.value.next_ja
    Ledger(path, KEY, TEXTS).close()


# -- tampering ------------------------------------------------------------------------------------------------------

EDITS = {
    "body": ("UPDATE entries SET body = CAST(replace(body, 'DENY', 'ALLOW') AS BLOB) WHERE seq = 10", 10, "hash"),
    "hash": ("UPDATE entries SET hash = flip(hash) WHERE seq = 10", 10, "hash"),
    "prev": ("UPDATE entries SET prev = flip(prev) WHERE seq = 10", 10, "chain"),
    "body_type": ("UPDATE entries SET body = 7 WHERE seq = 10", 10, "hash"),
    "hash_type": ("UPDATE entries SET hash = 'x' WHERE seq = 10", 10, "hash"),
    "time": ("UPDATE entries SET time = '2020' WHERE seq = 10", 10, "column"),
    "kind": ("UPDATE entries SET kind = 'note' WHERE seq = 10", 10, "column"),
    "decision": ("UPDATE entries SET decision = 'ALLOW' WHERE seq = 10", 10, "column"),
    "decision_null": ("UPDATE entries SET decision = NULL WHERE seq = 10", 10, "column"),
    "request_id": ("UPDATE entries SET request_id = x'00' WHERE seq = 10", 10, "column"),
    "actor": ("UPDATE entries SET actor = '田中' WHERE seq = 10", 10, "column"),
    "actor_not_utf8": ("UPDATE entries SET actor = CAST(x'ff' AS TEXT) WHERE seq = 10", 10, "column"),
    "signature": ("UPDATE entries SET signature = NULL WHERE seq = 10", 10, "signature"),
    "last_signature": ("UPDATE entries SET signature = NULL WHERE seq = 21", 21, "signature"),
    "delete": ("DELETE FROM entries WHERE seq = 10", 10, "missing"),
    "delete_first": ("DELETE FROM entries WHERE seq = 1", 1, "missing"),
    "delete_all": ("DELETE FROM entries", 1, "cut"),
    "cut_tail": ("DELETE FROM entries WHERE seq > 18", 19, "cut"),
    "insert_before": ("INSERT INTO entries SELECT 0,time,kind,decision,request_id,actor,body,prev,hash,signature "
                      "FROM entries WHERE seq = 10", 0, "order"),
    "insert_end": ("INSERT INTO entries SELECT 22,time,kind,decision,request_id,actor,body,prev,hash,signature "
                   "FROM entries WHERE seq = 10", 22, "unanchored"),
    "text": ("UPDATE texts SET sealed = flip(sealed) WHERE seq = 5 AND name = 'request'", 5, "text"),
    "text_type": ("UPDATE texts SET sealed = 'plain' WHERE seq = 6", 6, "text"),
    "text_short": ("UPDATE texts SET sealed = x'00' WHERE seq = 6", 6, "text"),
    "text_moved": ("UPDATE texts SET sealed = (SELECT sealed FROM texts WHERE seq = 6 AND name = 'request') "
                   "WHERE seq = 5 AND name = 'request'", 5, "text"),
    "text_name": ("UPDATE texts SET name = CAST(x'ff' AS TEXT) WHERE seq = 6 AND name = 'answer'", 6, "text"),
    "text_deleted": ("DELETE FROM texts WHERE seq = 5 AND name = 'answer'", 5, "text_missing"),
    "text_added": ("INSERT INTO texts VALUES(7, 'request', x'00')", 7, "text"),
    "text_of_nobody": ("INSERT INTO texts VALUES(90, 'request', x'00')", 90, "text"),
    "trigger": ("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END", 1, "schema"),
    "view": ("DROP VIEW decision_log", 1, "schema"),
    "table": ("DROP TABLE entries", 1, "not_a_ledger"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_edit_is_found(path: Path, name: str) -> None:
    sql, seq, kind = EDITS[name]
    change(path, sql)
    report = check(path)
    assert not report.ok and report.first_bad == seq and kind in kinds(report)
    with pytest.raises(LedgerBroken):
        Ledger(path, KEY, TEXTS)


@pytest.mark.parametrize("column", ["body", "hash", "prev"])
def test_flip_inside_a_group_commit_is_named(tmp_path: Path, column: str) -> None:
    def slow(file: Path, anchor: Anchor, *, sync: bool) -> None:
        time.sleep(0.01)
        write_anchor(file, anchor, sync=sync)

    path = tmp_path / "ledger.db"
    with Ledger(path, KEY, TEXTS, write_anchor=slow) as ledger:
        for future in [ledger.append("decision", body(i)) for i in range(12)]:
            future.result()
    good = path.read_bytes()
    for seq in range(1, 14):
        change(path, f"UPDATE entries SET {column} = flip({column}) WHERE seq = ?", seq)
        assert check(path).first_bad == seq
        path.write_bytes(good)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def test_reordered(path: Path) -> None:
    for old, new in ((10, -1), (11, 10), (-1, 11)):
        change(path, "UPDATE entries SET seq = ? WHERE seq = ?", new, old)
    assert check(path).first_bad == 10


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entries SET body = replace(body, '上席', '課長') WHERE seq = 10",
        "DELETE FROM entries WHERE seq = 10",
        "INSERT INTO entries SELECT 99,time,kind,decision,request_id,actor,body,prev,hash,NULL FROM entries LIMIT 1",
    ],
)
def test_recomputed_chain_is_found_by_the_anchor(path: Path, sql: str) -> None:
    change(path, sql)
    redo_chain(path)
    report = check(path)
    assert not report.ok and report.first_bad is not None
    assert report.first_bad == (22 if "99" in sql else 10)
    assert kinds(verify(path)) & {"head", "cut", "unanchored", "signature"}


def test_recomputed_chain_with_nothing_else_wrong_is_located(path: Path) -> None:
    """Only the signatures are left to tell where it begins."""
    change(path, "UPDATE entries SET body = replace(body, '上席', '課長') WHERE seq = 10")
    redo_chain(path)
    report = check(path)
    assert kinds(report) == {"head"} | (kinds(report) & {"signature"}) and report.first_bad == 10
    assert kinds(verify(path)) & {"head"}


def test_rolled_back_to_an_older_copy(path: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for name in ("ledger.db", "ledger.anchor"):
        shutil.copy(tmp_path / name, old / name)
    with Ledger(path, KEY, TEXTS) as ledger:
        outside = ledger.append_sync("note", {})
    shutil.copy(old / "ledger.db", path)
    report = check(path)
    assert report.first_bad == 22 and kinds(report) == {"cut"}
    shutil.copy(old / "ledger.anchor", path.with_suffix(".anchor"))
    assert check(path).ok, "database and anchor together: only a head kept elsewhere can tell"
    assert check(path, expected=(outside.seq, outside.head)).first_bad == 22


def test_expected_head(path: Path) -> None:
    middle = tail(path, 12)[0]
    assert check(path, expected=(middle["seq"], middle["hash"])).ok
    report = check(path, expected=(middle["seq"], "00" * 32))
    assert report.first_bad == middle["seq"] and kinds(report) == {"expected"}


def test_swapped_for_another_ledger(path: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(build(tmp_path / "other"), path)
    report = check(path)
    assert report.first_bad == 1 and kinds(report) == {"other_ledger"}


def anchored(path: Path, **fields: Any) -> bytes:
    old = json.loads(path.with_suffix(".anchor").read_bytes())
    return Anchor(**(old | fields)).to_bytes()


def other_key(path: Path) -> bytes:
    old = Anchor.read(path.with_suffix(".anchor"))
    return old.signed_with(Ed25519PrivateKey.generate()).to_bytes()


ANCHORS: dict[str, tuple[Callable[[Path], bytes | None], str]] = {
    "missing": (lambda _: None, "anchor_missing"),
    "empty": (lambda _: b"", "anchor_broken"),
    "garbage": (lambda _: b"\xff\x00 not json", "anchor_broken"),
    "deep": (lambda _: b"[" * 1000, "anchor_broken"),
    "wrong_types": (lambda _: b'{"ledger_id":1,"seq":"x","head":[],"time":null,"signature":{}}', "anchor_broken"),
    "forged_head": (lambda p: anchored(p, head="00" * 32), "anchor_signature"),
    "other_seq": (lambda p: anchored(p, seq=20), "anchor_signature"),
    "other_key": (other_key, "anchor_signature"),
    "other_id": (lambda p: anchored(p, ledger_id="ab" * 16), "anchor_signature"),
    "bad_signature": (lambda p: anchored(p, signature="!!"), "anchor_signature"),
}


@pytest.mark.parametrize("name", ANCHORS)
def test_bad_anchor(path: Path, name: str) -> None:
    make, kind = ANCHORS[name]
    content = make(path)
    if content is None:
        path.with_suffix(".anchor").unlink()
    else:
        path.with_suffix(".anchor").write_bytes(content)
    report = check(path)
    assert not report.ok and report.first_bad == 1 and kinds(report) == {kind}
    with pytest.raises(LedgerBroken):
        Ledger(path, KEY, TEXTS)


def test_anchor_for_another_seq_is_seen_without_the_key(path: Path) -> None:
    path.with_suffix(".anchor").write_bytes(anchored(path, seq=15))
    assert kinds(verify(path)) == {"head", "unanchored"}


def test_other_key_cannot_open(path: Path) -> None:
    with pytest.raises(LedgerBroken, match="not signed by this key"):
        Ledger(path, Ed25519PrivateKey.generate(), TEXTS)


def test_unanchored_entries_are_named_then_adopted_with_a_note(path: Path, tmp_path: Path) -> None:
    old = path.with_suffix(".anchor").read_bytes()
    with Ledger(path, KEY, TEXTS) as ledger:
        ledger.append_sync("note", {"left": "by a crash"})
    path.with_suffix(".anchor").write_bytes(old)
    report = check(path)
    assert report.first_bad == 22 and kinds(report) == {"unanchored"}
    Ledger(path, KEY, TEXTS).close()
    assert check(path).ok and check(path).entries == 23
    assert tail(path, 1)[0]["data"] == {"event": "recovered after a crash", "from": 22, "to": 22}


def test_forged_entries_after_the_anchor_are_not_adopted(path: Path) -> None:
    """Chained by hand while the gateway is down: right hashes, right columns, no signature."""
    db = sqlite3.connect(path)
    prev, signed, stored = db.execute("SELECT hash, signature, body FROM entries WHERE seq = 21").fetchone()
    said = json.loads(stored) | {"seq": 22, "signed": signed}
    forged = canonical_json(said).encode()
    row = (22, said["time"], said["kind"], said["decision"], said["request_id"], said["actor"], forged, prev)
    db.execute("INSERT INTO entries VALUES(?,?,?,?,?,?,?,?,?,?)", (*row, sha256(prev + forged).digest(), signed))
    db.commit()
    db.close()
    assert kinds(check(path)) == {"unanchored", "signature"}
    with pytest.raises(LedgerBroken, match="signature"):
        Ledger(path, KEY, TEXTS)


def test_writing_beside_a_running_gateway_is_noticed(path: Path) -> None:
    ledger = Ledger(path, KEY, TEXTS)
    change(path, "DELETE FROM entries WHERE seq = 21")
    with pytest.raises(LedgerBroken, match="someone else"):
        ledger.append_sync("note", {})
    ledger.close()


def test_anchor_deleted_while_running(path: Path) -> None:
    ledger = Ledger(path, KEY, TEXTS)
    path.with_suffix(".anchor").unlink()
    with pytest.raises(LedgerUnavailable):
        ledger.append_sync("note", {})
    with pytest.raises(LedgerUnavailable):
        ledger.close()


def test_files_that_are_no_ledger(tmp_path: Path) -> None:
    path = build(tmp_path, 3)
    for content in (b"", b"SQLite format 3\x00 but no more", os.urandom(9000)):
        path.write_bytes(content)
        report = check(path)
        assert not report.ok and report.first_bad == 1 and kinds(report) <= {"not_a_ledger", "unreadable", "cut"}
        with pytest.raises(LedgerBroken):
            Ledger(path, KEY, TEXTS)
    path.unlink()
    assert kinds(check(path)) == {"missing_file"} and not path.exists()
    with pytest.raises(LedgerBroken):
        Ledger(path, KEY, TEXTS)
    with pytest.raises(SourceMissing):
        tail(path, 1)


def test_corrupted_pages_never_give_a_traceback(tmp_path: Path) -> None:
    path = build(tmp_path, 120)
    good = path.read_bytes()
    for page in range(len(good) // 4096):
        path.write_bytes(good[: page * 4096] + b"\xa5" * 4096 + good[(page + 1) * 4096 :])
        report = check(path)
        assert not report.ok and report.first_bad is not None, page
    path.write_bytes(good[: len(good) // 2])
    assert not check(path).ok
    path.write_bytes(good)
    assert check(path).ok


def test_verify_changes_nothing_and_reads_the_log_of_a_killed_writer(path: Path, tmp_path: Path) -> None:
    """A copy taken while the ledger is open: database, log, anchor, no shared index."""
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    with Ledger(path, KEY, TEXTS) as ledger:
        ledger.append_sync("note", {"only": "in the log"})
        assert check(path).ok, "beside the writer"
        for name in ("ledger.db", "ledger.db-wal", "ledger.anchor"):
            shutil.copy(tmp_path / name, evidence / name)
    before = {f.name: f.read_bytes() for f in evidence.iterdir()}
    report = check(evidence / "ledger.db")
    assert report.ok and report.entries == 22 and tail(evidence / "ledger.db", 1)[0]["data"]["only"] == "in the log"
    assert {f.name: f.read_bytes() for f in evidence.iterdir()} == before
    closed = {f.name for f in tmp_path.iterdir()}
    assert check(path).ok and {f.name for f in tmp_path.iterdir()} == closed


def test_verify_while_the_ledger_is_written(path: Path) -> None:
    with Ledger(path, KEY, TEXTS) as ledger:
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                ledger.append_sync("decision", body(1), text={"request": "x"})

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        reports = [check(path) for _ in range(25)]
        stop.set()
        for thread in threads:
            thread.join()
    assert [r.problems for r in reports if not r.ok] == []
    assert check(path).ok


# -- texts at rest --------------------------------------------------------------------------------------------------


def test_no_text_lies_in_the_clear(path: Path) -> None:
    with Ledger(path, KEY, TEXTS) as ledger:
        ledger.append_sync("note", {}, text={"request": "見えてはならない"})
        stored = b"".join(f.read_bytes() for f in path.parent.iterdir())
    assert "見えてはならない".encode() not in stored + path.read_bytes() and "質問".encode() not in stored


def test_without_the_text_key_texts_are_counted_not_opened(path: Path) -> None:
    report = verify(path, public_key=PUBLIC)
    assert report.ok and (report.texts, report.unopened) == (4, 4)
    assert (check(path).texts, check(path).unopened) == (4, 0)
    change(path, "UPDATE texts SET sealed = flip(sealed) WHERE seq = 5 AND name = 'request'")
    assert verify(path, public_key=PUBLIC).ok, "nothing is claimed about what was not looked into"
    change(path, "UPDATE texts SET name = 'other' WHERE seq = 6 AND name = 'request'")
    report = verify(path, public_key=PUBLIC)
    assert report.first_bad == 6 and kinds(report) == {"text", "text_missing"}


def test_a_wrong_text_key_is_no_tampering(path: Path) -> None:
    other = TextKey.generate()
    with pytest.raises(TextKeyWrong):
        verify(path, public_key=PUBLIC, text_key=other)
    with pytest.raises(TextKeyWrong):
        Ledger(path, KEY, other)
    change(path, "UPDATE entries SET body = CAST(replace(body, ?, ?) AS BLOB) WHERE seq = 1", TEXTS.id, other.id)
    report = verify(path, public_key=PUBLIC, text_key=other)
    assert report.first_bad == 1 and "hash" in kinds(report)


def test_the_older_format_is_refused_clearly(path: Path) -> None:
    change(path, "DROP TABLE texts")
    change(path, "CREATE TABLE texts(seq INTEGER, name TEXT, salt BLOB, text TEXT, PRIMARY KEY(seq, name))")
    for call in (lambda: Ledger(path, KEY, TEXTS), lambda: check(path), lambda: tail(path, 1)):
        with pytest.raises(LedgerError, match="so8t ledger 1") as caught:
            call()
        assert not isinstance(caught.value, LedgerBroken)


# -- the plan's tables, and searching -------------------------------------------------------------------------------

CONTRACT = {
    "role": "医療情報アシスタント", "scope": "カルテ管理支援", "limitations": ["診断は医師のみ", "処方は医師のみ"],
    "escalation_policy": "医師に確認",
}  # fmt: skip
POLICY = {
    "event": "loaded", "policy_digest": "ab" * 32, "policy_version": "2026.10",
    "policy_state": {"org_name": "○○銀行", "classification_levels": ["公開", "行内限定"], "strict": True},
    "identity_contracts": {"medical": CONTRACT, "finance": {"role": "窓口"}},
}  # fmt: skip


def test_the_plans_tables_are_views(path: Path) -> None:
    with Ledger(path, KEY, TEXTS) as ledger:
        ledger.append_sync("policy", POLICY | {"actor": "管理者"})
        ledger.append_sync("access", {"event": "login", "actor": "佐藤"})
    assert check(path).ok
    db = sqlite3.connect(path)
    row = db.execute("SELECT * FROM identity_contract WHERE domain = 'medical'").fetchone()
    assert row[0] == 22 and row[2:6] == ("ab" * 32, "2026.10", "medical", "医療情報アシスタント")
    assert json.loads(row[7]) == CONTRACT["limitations"] and row[8] == "医師に確認"
    assert db.execute("SELECT count(*), count(scope) FROM identity_contract").fetchone() == (2, 1)
    rows = db.execute("SELECT event, policy_version, name, value FROM policy_state ORDER BY name").fetchall()
    assert rows[1] == ("loaded", "2026.10", "org_name", "○○銀行") and len(rows) == 3
    log = db.execute("SELECT seq, kind, actor, event, hash FROM audit_log WHERE seq > 20 ORDER BY seq").fetchall()
    assert [r[:4] for r in log] == [
        (21, "decision", "佐藤", "ESCALATE"), (22, "policy", "管理者", "loaded"), (23, "access", "佐藤", "login"),
    ]  # fmt: skip
    assert log[2][4] == check(path).head
    db.close()


def test_an_index_that_hides_an_entry_is_found(path: Path) -> None:
    """The chain is whole, but a search by actor would not find entry 10."""
    change(path, "DROP INDEX entries_actor")
    change(path, "CREATE INDEX entries_actor ON entries(actor) WHERE seq <> 10")
    db = apsw.Connection(str(path))
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    db.execute("PRAGMA writable_schema = ON")
    db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'entries_actor'", (SCHEMA["entries_actor"],))
    db.close()
    assert 10 not in [e.seq for e in LedgerReader(path, TEXTS).entries(actor="佐藤")]
    report = check(path)
    assert kinds(report) == {"index"} and not report.ok


# -- erasing --------------------------------------------------------------------------------------------------------


def test_erase_keeps_the_chain(path: Path) -> None:
    assert texts_of(path, 5) == {"request": "質問 3", "answer": "回答 3"}
    query = "SELECT sealed FROM texts WHERE name = 'request' ORDER BY seq"
    sealed = [row[0] for row in sqlite3.connect(path).execute(query)]
    with Ledger(path, KEY, TEXTS) as ledger:
        entry = ledger.erase(5, "本人の請求", actor="監査").result()
        with pytest.raises(RecordInvalid, match="no text"):
            ledger.erase(5, "again").result()
        with pytest.raises(RecordInvalid):
            ledger.erase(2, "had none").result()
    report = check(path)
    assert report.ok and report.erased == 2 and entry.seq == 22 and report.entries == 22
    assert texts_of(path, 5) == {} and texts_of(path, 6) != {}
    assert sealed[0] not in path.read_bytes() and sealed[1] in path.read_bytes()
    assert tail(path, 1)[0]["data"] == {"event": "erased", "seq": 5, "reason": "本人の請求"}


def test_erased_text_leaves_the_log_too(path: Path) -> None:
    with Ledger(path, KEY, TEXTS, anchor_seconds=0.05) as ledger:
        ledger.append_sync("note", {}, text={"request": "消すべき文"})
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        sealed = db.execute("SELECT sealed FROM texts WHERE seq = 22").get
        db.close()
        ledger.erase(22, "請求").result()
        wal = path.with_name("ledger.db-wal")
        end = time.monotonic() + 5
        while sealed in wal.read_bytes() and time.monotonic() < end:
            time.sleep(0.02)
        assert sealed not in wal.read_bytes() + path.read_bytes()


def test_erased_text_put_back_is_found(path: Path) -> None:
    rows = sqlite3.connect(path).execute("SELECT * FROM texts WHERE seq = 5").fetchall()
    with Ledger(path, KEY, TEXTS) as ledger:
        ledger.erase(5, "請求").result()
    for row in rows:
        change(path, "INSERT INTO texts VALUES(?,?,?)", *row)
    assert kinds(check(path)) == {"text_kept"} and check(path).first_bad == 5


# -- when things fail -----------------------------------------------------------------------------------------------


def test_locked_database_fails_closed_and_recovers(path: Path) -> None:
    with Ledger(path, KEY, TEXTS, busy_ms=50) as ledger:
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        waiting = [ledger.append("note", {"i": i}) for i in range(5)]
        for future in waiting:
            with pytest.raises(LedgerUnavailable):
                future.result()
        other.execute("ROLLBACK")
        other.close()
        assert ledger.append_sync("note", {}).seq == 22
    assert check(path).ok


def test_anchor_that_cannot_be_written_answers_nobody(path: Path) -> None:
    full = threading.Event()

    def failing(file: Path, anchor: Anchor, *, sync: bool) -> None:
        if full.is_set():
            raise OSError(28, "No space left on device")
        write_anchor(file, anchor, sync=sync)

    with Ledger(path, KEY, TEXTS, write_anchor=failing) as ledger:
        full.set()
        for _ in range(3):
            with pytest.raises(LedgerUnavailable, match="No space"):
                ledger.append_sync("decision", body(0))
        full.clear()
        entry = ledger.append_sync("decision", body(1))
    assert entry.seq == 24, "one entry was committed but not answered, one note says so"
    assert tail(path, 2)[0]["data"] == {"event": "anchor written late", "from": 22, "to": 22}
    assert check(path).ok


@posix
def test_strict_anchor_is_synced_before_anyone_is_told(path: Path) -> None:
    synced: list[bool] = []

    def spy(file: Path, anchor: Anchor, *, sync: bool) -> None:
        synced.append(sync)
        write_anchor(file, anchor, sync=sync)

    with Ledger(path, KEY, TEXTS, write_anchor=spy, anchor_seconds=0) as ledger:
        ledger.append_sync("note", {})
        assert synced == [True]


def child(path: Path, script: str) -> subprocess.Popen[str]:
    """Another process with the ledger open as `ledger`."""
    head = (
        "import sys, base64\nfrom pathlib import Path\nfrom so8t.core.ledger import Ledger\n"
        "from so8t.core.errors import LedgerUnavailable\nfrom so8t.core.sealing import TextKey\n"
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey\n"
        "key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(sys.argv[2]))\n"
        "texts = TextKey(base64.b64decode(sys.argv[3]))\n"
        "ledger = Ledger(Path(sys.argv[1]), key, texts, busy_ms=100)\n"
    )
    secret = base64.b64encode(KEY.private_bytes_raw()).decode()
    source = str(Path(ledger_module.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", head + script, str(path), secret, TEXTS.encode()],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": source},
    )  # fmt: skip


@posix
def test_killed_in_the_middle_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = build(tmp_path, 1)
    script = (
        "import threading\n"
        "def work():\n"
        "    while True:\n"
        "        e = ledger.append_sync('decision', {'decision': 'DENY'}, text={'request': 'あ' * 300})\n"
        "        sys.stdout.write(f'{e.seq} {e.head}\\n'); sys.stdout.flush()\n"
        "for _ in range(4): threading.Thread(target=work).start()\n"
    )
    told: dict[int, str] = {}
    for turn in range(6):
        process = child(path, script)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(0.02 + 0.03 * turn)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
        process.wait()
        process.stdout.close()
        told |= {int(seq): head for seq, head in (line.split() for line in lines if line.endswith("\n"))}
    Ledger(path, KEY, TEXTS).close()
    assert check(path).ok
    kept = {e["seq"]: e["hash"] for e in tail(path, 1_000_000)}
    assert len(told) > 20 and told.items() <= kept.items()


@posix
def test_full_disk_fails_closed_and_recovers(tmp_path: Path) -> None:
    """A limit on file size stands in for the disk: writes beyond it fail as they do when it is full."""
    path = build(tmp_path, 1)
    script = (
        "import resource, os\n"
        "before = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))\n"
        "good = bad = 0\n"
        "for _ in range(200):\n"
        "    try: ledger.append_sync('note', {'x': 'y' * 5000}); good += 1\n"
        "    except LedgerUnavailable: bad += 1\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, before)\n"
        "last = ledger.append_sync('note', {'x': 'recovered'}).seq\n"
        "ledger.close(); print(good, bad, last)\n"
    )
    process = child(path, script)
    out, _ = process.communicate(timeout=30)
    good, bad, last = map(int, out.split())
    assert good > 0 and bad > 0 and last == good + 3
    assert check(path).ok and check(path).entries == last


@posix
def test_second_process_is_refused(path: Path) -> None:
    process = child(path, "print('open', flush=True); sys.stdin.read()")
    assert process.stdout is not None and process.stdout.readline() == "open\n"
    with pytest.raises(LedgerUnavailable, match="another process"):
        Ledger(path, KEY, TEXTS)
    process.kill()
    process.wait()
    process.stdout.close()
    Ledger(path, KEY, TEXTS).close()


@pytest.mark.parametrize("left", ["anchor only", "empty database"])
def test_crash_while_being_created(tmp_path: Path, left: str) -> None:
    path = tmp_path / "ledger.db"
    start = "ab" * 16
    anchor = Anchor(start, 0, genesis(start).hex(), "2026-04-01T00:00:00.000000+00:00").signed_with(KEY)
    path.with_suffix(".anchor").write_bytes(anchor.to_bytes())
    if left == "empty database":
        path.touch()
    with Ledger(path, KEY, TEXTS) as ledger:
        ledger.append_sync("note", {})
    assert check(path).ok and check(path).ledger_id == start


def test_failure_reaches_every_waiter(path: Path) -> None:
    with Ledger(path, KEY, TEXTS, clock=lambda: 1 // 0) as ledger:  # type: ignore[arg-type,return-value]
        waiting: list[Future[Entry]] = [ledger.append("note", {}) for _ in range(10)]
        assert all(isinstance(f.exception(), LedgerUnavailable) for f in waiting)
    assert check(path).ok


# -- reading --------------------------------------------------------------------------------------------------------


def test_reading(path: Path) -> None:
    assert count_by_decision(path) == {"ALLOW": 7, "ESCALATE": 7, "DENY": 6}
    assert [e["seq"] for e in tail(path, 3)] == [19, 20, 21]
    rows = sqlite3.connect(path).execute("SELECT seq, decision, confidence, reason FROM decision_log").fetchall()
    assert len(rows) == 20 and rows[0] == (2, "ALLOW", 0.91, "上席の承認")


def test_export_can_be_checked_without_the_database(path: Path) -> None:
    out = io.StringIO()
    assert export(path, out) == 21
    head = ""
    for line in out.getvalue().splitlines():
        digest = json.loads(line)["hash"]
        content = line[len('{"body":') : line.rindex(',"hash":')].encode()
        assert not head or sha256(bytes.fromhex(head) + content).hexdigest() == digest
        head = digest
    assert head == check(path).head


# -- any content, any flipped byte ----------------------------------------------------------------------------------

values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
bodies = st.fixed_dictionaries(
    {"reason": words, "more": st.dictionaries(words, st.one_of(values, words), max_size=3)},
    optional={"decision": words, "request_id": words, "actor": words},
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), entries=st.lists(st.tuples(bodies, st.dictionaries(words, words, max_size=2)), min_size=1))
def test_anything_verifies_and_any_flipped_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, entries: list[tuple[Any, Any]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "ledger.db"
    with Ledger(path, KEY, TEXTS) as ledger:
        for future in [ledger.append("decision", fields, text=text) for fields, text in entries]:
            future.result()
    assert check(path).ok
    seq = data.draw(st.integers(1, len(entries) + 1))
    column = data.draw(st.sampled_from(["body", "hash", "prev"]))
    db = sqlite3.connect(path)
    stored = bytearray(db.execute(f"SELECT {column} FROM entries WHERE seq = ?", (seq,)).fetchone()[0])
    db.close()
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    change(path, f"UPDATE entries SET {column} = ? WHERE seq = ?", bytes(stored), seq)
    report = check(path)
    assert not report.ok and report.first_bad == seq
