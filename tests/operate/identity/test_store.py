"""No change without its record; a locked or damaged file is a clear error, never a guess."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from so8t.core.errors import AccountInvalid, AccountsBroken, AccountsUnavailable, LedgerUnavailable
from so8t.operate.identity import store as store_module
from so8t.operate.identity.store import Store

INSERT = "INSERT INTO users VALUES('taro','taro','',NULL,'[\"user\"]','公開','[]',0,0)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serve" / "users.db"


@pytest.fixture
def store(path: Path, ledger: Any) -> Iterator[Store]:
    opened = Store(path, ledger, busy_ms=50)
    yield opened
    opened.close()


def insert(db: apsw.Connection) -> None:
    db.execute(INSERT)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_only_the_gateways_user_may_read_it(store: Store, path: Path) -> None:
    files = [p for p in path.parent.iterdir() if p.name.startswith("users.db")]
    assert files and all(p.stat().st_mode & 0o077 == 0 for p in files)
    path.chmod(0o644)
    Store(path, None).close()
    assert path.stat().st_mode & 0o077 == 0


def test_durable_pragmas(store: Store) -> None:
    assert store.row("PRAGMA journal_mode") == ("wal",)
    assert store._writer.execute("PRAGMA synchronous").get == 2


async def test_a_change_is_recorded_then_seen(store: Store, ledger: Any) -> None:
    await store.change("user_added", {"name": "taro"}, insert)
    assert ledger.entries == [("user_added", {"name": "taro"})]
    assert store.row("SELECT name FROM users") == ("taro",)


async def test_no_record_no_change(store: Store, ledger: Any) -> None:
    ledger.fails = True
    with pytest.raises(LedgerUnavailable):
        await store.change("user_added", {}, insert)
    assert store.row("SELECT name FROM users") is None
    ledger.fails = False
    await store.change("user_added", {}, insert)  # the failed one left nothing open
    assert store.row("SELECT name FROM users") == ("taro",)


async def test_what_is_refused_is_not_recorded(store: Store, ledger: Any) -> None:
    def refuse(db: apsw.Connection) -> None:
        db.execute(INSERT)
        raise AccountInvalid(detail="no")

    with pytest.raises(AccountInvalid):
        await store.change("user_added", {}, refuse)
    assert store.row("SELECT name FROM users") is None and ledger.entries == []


async def test_nobody_sees_a_change_before_its_record(store: Store, ledger: Any) -> None:
    seen = []

    async def look(event: str, body: Any) -> None:
        seen.append(store.row("SELECT name FROM users"))
        await ledger(event, body)

    store._record = look
    await store.change("user_added", {}, insert)
    assert seen == [None]


async def test_a_caller_who_hangs_up_does_not_stop_it_half_way(store: Store, ledger: Any) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow(event: str, body: Any) -> None:
        begun.set()
        await gate.wait()
        await ledger(event, body)

    store._record = slow
    task = asyncio.create_task(store.change("user_added", {}, insert))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await store.change("other", {}, lambda db: None)
    assert ledger.events == ["user_added", "other"] and store.row("SELECT name FROM users") == ("taro",)


async def test_a_commit_that_fails_is_told_to_the_ledger(store: Store, ledger: Any, monkeypatch: Any) -> None:
    def full() -> None:
        store._roll_back()
        raise AccountsUnavailable(detail="FullError")

    monkeypatch.setattr(store, "_commit", full)
    with pytest.raises(AccountsUnavailable):
        await store.change("user_added", {"name": "taro"}, insert)
    assert ledger.entries[-1] == ("change_undone", {"undone": "user_added", "name": "taro"})
    assert store.row("SELECT name FROM users") is None


async def test_a_locked_file_fails_closed(store: Store, path: Path, ledger: Any) -> None:
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(AccountsUnavailable):
        await store.change("user_added", {}, insert)
    assert ledger.entries == []
    other.execute("ROLLBACK")
    await store.change("user_added", {}, insert)
    other.close()


async def test_reports_left_by_others_come_first(store: Store, path: Path, ledger: Any) -> None:
    """`so8t users` beside a running server: nothing it changed is believed before the ledger has it."""
    desk = Store(path, None)
    await desk.change("user_added", {"name": "taro", "actor": "cli:root"}, insert)
    desk.close()
    ledger.fails = True
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            await store.refresh()
    ledger.fails = False
    await store.refresh()
    ((event, body),) = ledger.entries
    assert (event, body["name"], body["actor"]) == ("user_added", "taro", "cli:root") and body["time"] > 0
    await store.refresh()
    assert len(ledger.entries) == 1 and store.row("SELECT * FROM pending") is None


async def test_memory_is_forgotten_when_anybody_changes_anything(store: Store, path: Path) -> None:
    def load() -> Any:
        return store.row("SELECT count(*) FROM users")

    await store.refresh()
    assert store.remembered("n", load) == (0,)
    other = apsw.Connection(str(path))
    other.execute(INSERT)
    other.close()
    await store.refresh()
    assert store.remembered("n", load) == (1,)


async def test_memory_is_bounded(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr(store_module, "MAX_REMEMBERED", 10)
    for n in range(100):
        store.remembered(n, lambda: "x")
        store.remembered(("guess", n), lambda: None)
    assert len(store._remembered) <= 10


@pytest.mark.parametrize("content", [b"this is no database " * 500, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_foreign_file_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(AccountsBroken) as caught:
        Store(path, None)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


async def test_a_damaged_page_is_refused(path: Path) -> None:
    store = Store(path, None)
    await store.change("user_added", {}, insert)
    store.close()
    raw = bytearray(path.read_bytes())
    for at in range(4096, len(raw), 4096):
        raw[at : at + 200] = b"\xa5" * 200
    path.write_bytes(raw)
    with pytest.raises(AccountsBroken):
        Store(path, None)


def test_another_version_is_refused(path: Path) -> None:
    Store(path, None).close()
    db = apsw.Connection(str(path))
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(AccountsBroken, match="version 9"):
        Store(path, None)


async def test_touches_are_written_together_and_at_the_end(path: Path, ledger: Any, monkeypatch: Any) -> None:
    store = Store(path, ledger)
    await store.change("user_added", {}, insert)
    key = "INSERT INTO keys VALUES('k1','taro',x'00','[]','',0,NULL,NULL,NULL)"
    await store.change("key_issued", {}, lambda db: db.execute(key) and None)
    store.touch("keys", "k1", 100.0)
    assert not store.flush_is_due and store.touched("keys", "k1") == 100.0
    assert store.row("SELECT used FROM keys") == (None,)
    monkeypatch.setattr(store_module, "FLUSH_SECONDS", 0.0)
    store.touch("keys", "k1", 200.0)
    assert store.flush_is_due
    await store.flush()
    assert store.row("SELECT used FROM keys") == (200.0,) and store.touched("keys", "k1") == 0
    assert not store.flush_is_due
    store.touch("keys", "k1", 300.0)
    store.close()
    db = apsw.Connection(str(path))
    assert db.execute("SELECT used FROM keys").get == 300.0
    db.close()
