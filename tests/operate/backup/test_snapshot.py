"""Copies beside a writer at work: nothing acknowledged is missing, and a bad ledger is not copied over a good one."""

from __future__ import annotations

import os
import runpy
import shutil
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from so8t.core import signing
from so8t.core.errors import AccountsBroken, DiskFull, LedgerBroken, SourceMissing
from so8t.core.ledger import Ledger
from so8t.core.ledger_format import Anchor
from so8t.core.ledger_verify import verify
from so8t.core.sealing import TextKey
from so8t.operate.backup import snapshot
from so8t.operate.backup.snapshot import copy_accounts, copy_ledger


@pytest.fixture
def live(site: Any) -> Path:
    return Path(site.config.ledger.path)


@pytest.fixture
def key(site: Any) -> Any:
    return signing.load_public(site.public)


def test_a_copy_is_the_ledger(site: Any, live: Path, key: Any, tmp_path: Path) -> None:
    copy = copy_ledger(live, tmp_path / "copy.db", key)
    assert copy.anchor == site.ledger.head and copy.report.ok and copy.report.entries == 21
    texts = site.ledger._text_key
    assert verify(copy.path, None, key, texts).ok and verify(live, None, key).head == copy.report.head
    assert {p.name for p in tmp_path.glob("copy*")} == {"copy.db", "copy.anchor"}


def test_a_copy_of_a_ledger_at_rest(site: Any, live: Path, key: Any, tmp_path: Path) -> None:
    site.ledger.close()
    before = {p.name: p.read_bytes() for p in live.parent.iterdir()}
    assert copy_ledger(live, tmp_path / "copy.db", key).report.ok
    assert {p.name: p.read_bytes() for p in live.parent.iterdir()} == before


def test_a_ledger_whose_server_was_killed(site: Any, live: Path, key: Any, tmp_path: Path) -> None:
    """Its last entries lie in SQLite's log alone, and nobody holds the index of that."""
    place = tmp_path / "killed"
    place.mkdir()
    for name in ("ledger.db", "ledger.db-wal", "ledger.anchor"):
        shutil.copy(live.with_name(name), place)
    before = {p.name: p.read_bytes() for p in place.iterdir()}
    copy = copy_ledger(place / "ledger.db", tmp_path / "copy.db", key)
    assert copy.anchor == site.ledger.head and {p.name: p.read_bytes() for p in place.iterdir()} == before


def test_a_copy_that_caught_two_states_is_made_again(
    live: Path, key: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []

    def torn(path: Path, to: Path, *rest: Any) -> None:
        real(path, to, *rest)
        copies.append(to)
        if len(copies) < snapshot.TRIES:
            to.write_bytes(to.read_bytes().replace(b"note", b"nope"))

    real = snapshot._copy_pages
    monkeypatch.setattr(snapshot, "_copy_pages", torn)
    assert copy_ledger(live, tmp_path / "copy.db", key).report.ok and len(copies) == snapshot.TRIES


def test_a_writer_at_work(site: Any, live: Path, key: Any, tmp_path: Path) -> None:
    """Ten copies while entries come in: each holds all that was durable when it began, and verifies."""
    done = threading.Event()
    acknowledged: list[int] = []

    def write() -> None:
        while not done.is_set():
            acknowledged.append(site.ledger.append_sync("note", {"n": 1}, text={"query": "依頼" * 50}).seq)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(10):
            newest = max(acknowledged, default=0)
            copy = copy_ledger(live, tmp_path / f"{number}.db", key)
            assert copy.report.ok and copy.report.signed and copy.anchor.seq == copy.report.entries >= newest
    finally:
        done.set()
        writer.join()
    assert acknowledged[-1] >= copy.anchor.seq and len(acknowledged) > 10


def test_entries_that_come_between_two_steps_neither_enter_nor_begin_it_anew(
    site: Any, live: Path, key: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "PAGES", 1)
    steps: list[tuple[int, int]] = []

    def step(done: int, of: int) -> None:
        steps.append((done, of))
        site.ledger.append_sync("note", {"n": len(steps)})

    copy = copy_ledger(live, tmp_path / "copy.db", key, step)
    assert copy.anchor.seq == 21 < site.ledger.head.seq
    assert [done for done, _ in steps] == list(range(1, steps[-1][1] + 1))


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("DELETE FROM texts WHERE seq = 21; DELETE FROM entries WHERE seq = 21", "cut|expected|head|differs"),
        ("UPDATE entries SET actor = 'x' WHERE seq = 3", "seq 3"),
        ("DELETE FROM entries", "no entries"),
    ],
)
def test_a_ledger_that_was_changed_is_not_copied(
    site: Any, live: Path, key: Any, tmp_path: Path, sql: str, what: str
) -> None:
    site.ledger.close()
    db = apsw.Connection(str(live))
    db.execute(sql)
    db.close()
    with pytest.raises(LedgerBroken, match=what):
        copy_ledger(live, tmp_path / "copy.db", key)


def test_an_anchor_from_elsewhere_or_none(site: Any, live: Path, key: Any, tmp_path: Path) -> None:
    site.ledger.close()
    path = live.with_suffix(".anchor")
    good = Anchor.read(path)
    path.write_bytes(Anchor(good.ledger_id, good.seq + 5, "00" * 32, good.time, good.signature).to_bytes())
    with pytest.raises(LedgerBroken):
        copy_ledger(live, tmp_path / "a.db", key)
    path.write_bytes(b"\0" * 512)
    with pytest.raises(LedgerBroken, match="anchor"):
        copy_ledger(live, tmp_path / "b.db", key)
    path.unlink()
    with pytest.raises(SourceMissing):
        copy_ledger(live, tmp_path / "c.db", key)


def test_another_ones_key(site: Any, live: Path, tmp_path: Path) -> None:
    other = signing.load_or_create(tmp_path / "other.key").public_key()
    with pytest.raises(LedgerBroken, match="sign"):
        copy_ledger(live, tmp_path / "copy.db", other)


def test_the_servers_disk_is_not_filled(live: Path, key: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(DiskFull, match="are free"):
        copy_ledger(live, tmp_path / "copy.db", key)
    assert not list(tmp_path.glob("copy*"))


def test_accounts(site: Any, tmp_path: Path) -> None:
    users = Path(site.config.identity.users)
    copy_accounts(users, tmp_path / "copy.db")
    assert snapshot.check_accounts(tmp_path / "copy.db") == 1
    users.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(AccountsBroken, match=r"users\.db"):
        copy_accounts(users, tmp_path / "second.db")
    with pytest.raises(SourceMissing):
        copy_accounts(tmp_path / "none.db", tmp_path / "third.db")


def test_a_server_that_starts_meanwhile_is_looked_at_again(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, seen = Path(site.config.identity.users), iter([False, True, True, True, True])
    monkeypatch.setattr(snapshot, "has_wal", lambda path: next(seen))
    copy_accounts(users, tmp_path / "copy.db")
    assert next(seen) is True  # four looks: two copies


@pytest.mark.slow
def test_a_ledger_on_a_server_becomes_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another gateway appends to the same chain."""
    pytest.importorskip("asyncpg", reason="the driver asyncpg is not installed")
    starting = runpy.run_path(str(Path(__file__).parents[2] / "core" / "postgres_server.py"))
    programs = starting["binaries"]() if os.name == "posix" else None
    if programs is None:
        pytest.skip("no PostgreSQL server here (Debian: apt-get install postgresql)")
    monkeypatch.setattr(snapshot, "ROWS", 7)
    own, texts, address = signing.load_or_create(tmp_path / "ledger.key"), TextKey.generate(), tmp_path / "ledger.url"
    with starting["running"](programs) as server:
        address.write_text(server.socket_address("postgres") + "\n")
        with Ledger(address, own, texts) as ledger:
            for n in range(30):
                ledger.append_sync("note", {"n": n}, text={"query": f"依頼 {n}"})
            copy = copy_ledger(address, tmp_path / "copy.db", own.public_key())
            ledger.append_sync("note", {"n": "after the copy"})
            assert copy.anchor.seq == 31 and copy.report.ok and copy.report.signed
    whole = verify(copy.path, None, own.public_key(), texts)
    assert whole.ok and (whole.entries, whole.texts, whole.unopened) == (31, 30, 0)
    with Ledger(copy.path, own, texts) as again:
        assert again.append_sync("note", {"event": "one server now"}).seq == 32
