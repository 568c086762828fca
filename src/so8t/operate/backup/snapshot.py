"""Copies of what changes while the server runs: the ledger with its anchor, and the accounts.

Each is one read transaction beside the writer, which never waits for it. The copy of the ledger is made on the disk of
the ledger, encrypted as that is, and only if enough room stays for the server that is at work there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from so8t.core.errors import (
    AccountsBroken,
    AccountsUnavailable,
    DiskFull,
    LedgerBroken,
    LedgerUnavailable,
    RecordInvalid,
    So8tError,
    SourceMissing,
)
from so8t.core.files import write_bytes
from so8t.core.ledger_format import Anchor, anchor_path_of
from so8t.core.ledger_report import Report
from so8t.core.ledger_sqlite import SqliteStore, has_wal, open_readonly
from so8t.core.ledger_store import NotADatabase, Source, is_address_file, source_at
from so8t.core.ledger_verify import verify

RESERVE_BYTES = 256 << 20  # what must stay free for the server at work on the same disk
PAGES, ROWS, TRIES = 1024, 200, 3
Advanced = Callable[[int, int], None]  # done, of
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LedgerCopy:
    """Where the copy lies, its own newest signed head, and what verify says of it."""

    path: Path
    anchor: Anchor
    report: Report


def copy_ledger(
    path: Path, to: Path, key: Ed25519PublicKey | None, advanced: Advanced = lambda d, o: None
) -> LedgerCopy:
    """A ledger as it stands now, in SQLite or in PostgreSQL, as one SQLite file that verifies alone.

    Everything that was durable when this was called is in it. The live anchor is read before the copy is taken, and
    must be in it; the anchor beside the copy is the copy's own last signature. Raises LedgerBroken for a ledger that
    does not verify (keep it as it is, do not copy it over good backups), DiskFull, SourceMissing, LedgerUnavailable.
    """
    before = _live_anchor(anchor_path_of(path))
    for _ in range(TRIES):  # a server that stops or starts meanwhile may leave us with parts of two states
        _copy(path, to, advanced)
        anchor = _own_anchor(to, before)
        write_bytes(anchor_path_of(to), anchor.to_bytes())
        report = verify(to, None, key, expected=(before.seq, before.head))
        if report.ok:
            return LedgerCopy(to, anchor, report)
    raise LedgerBroken(where=path, detail=f"seq {report.problems[0].seq}: {report.problems[0].en}")


def _copy(path: Path, to: Path, advanced: Advanced) -> None:
    to.unlink(missing_ok=True)
    if not is_address_file(path):
        _copy_pages(path, to, LedgerBroken, LedgerUnavailable, advanced)
        return
    try:
        _copy_rows(path, to)
    except apsw.FullError:
        raise DiskFull(where=to) from None


def copy_accounts(path: Path, to: Path) -> None:
    """Raises AccountsBroken, AccountsUnavailable, DiskFull, SourceMissing."""
    _copy_pages(path, to, AccountsBroken, AccountsUnavailable)
    try:
        check_accounts(to)
    except AccountsBroken as error:
        raise AccountsBroken(where=path, detail=error.detail) from None


def check_accounts(path: Path) -> int:
    """How many people there are. Raises AccountsBroken for a damaged or foreign file."""
    try:
        with closing(open_readonly(path)) as db:
            if (found := db.execute("PRAGMA integrity_check").get) != "ok":
                raise AccountsBroken(where=path, detail=str(found)[:200])
            return int(db.execute("SELECT count(*) FROM users").get)
    except apsw.Error as error:
        raise AccountsBroken(where=path, detail=type(error).__name__) from None


def _copy_pages(
    path: Path, to: Path, broken: type[So8tError], busy: type[So8tError], advanced: Advanced = lambda d, o: None
) -> None:
    """SQLite's online backup. Read again if a server started or stopped meanwhile: it may have changed what we saw."""
    if not path.is_file():
        raise SourceMissing(where=path)
    _require_room(path, to)
    problem = ""
    for _ in range(TRIES):
        to.unlink(missing_ok=True)
        before, problem = has_wal(path), "it changes while it is read"
        try:
            _pages(path, to, advanced)
        except apsw.BusyError as error:
            raise busy(where=path, detail=type(error).__name__) from None
        except apsw.FullError:
            raise DiskFull(where=to) from None
        except apsw.Error as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            if before == has_wal(path):
                return
    raise broken(where=path, detail=problem)


def _pages(path: Path, to: Path, advanced: Advanced) -> None:
    """A read transaction is held meanwhile, so a writer makes no step begin anew."""
    with closing(open_readonly(path)) as source, closing(apsw.Connection(str(to))) as target:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        with target.backup("main", source, "main") as work:
            while not work.done:
                work.step(PAGES)
                advanced(work.page_count - work.remaining, work.page_count)


def _copy_rows(path: Path, to: Path) -> None:
    """Every row of one snapshot of a server's ledger, byte for byte, in the SQLite form of the same tables."""
    source, store = source_at(path), SqliteStore(to)
    with closing(source), closing(store):
        store.open()
        store.create()
        source.renew()
        for batch in _batches(source.entries(1, (1 << 63) - 1)):
            with store.transaction():
                store.insert([tuple(row) for row in batch], _texts(source, batch[0][0], batch[-1][0]))


def _texts(source: Source, first: int, last: int) -> list[tuple[int, str, bytes]]:
    return [(seq, name.decode(), bytes(sealed)) for seq, name, sealed in source.texts(first, last)]


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(rows)
    while batch := list(islice(waiting, ROWS)):
        yield batch


def _live_anchor(path: Path) -> Anchor:
    """Read again a few times: the gateway may be rewriting it at this moment. Raises LedgerBroken, SourceMissing."""
    for attempt in range(4):
        time.sleep(0.005 * attempt)
        try:
            return Anchor.read(path)
        except FileNotFoundError:
            raise SourceMissing(where=path) from None
        except (RecordInvalid, OSError):
            continue
    raise LedgerBroken(where=path, detail="the anchor cannot be read")


def _own_anchor(copy: Path, before: Anchor) -> Anchor:
    """The signature that the last entry of the copy carries in itself: no key is needed to state it."""
    try:
        with closing(source_at(copy)) as source:
            rows = source.select("SELECT seq, hash, time, signature FROM entries ORDER BY seq DESC LIMIT 1")
            seq, digest, moment, signature = rows[0]
            return Anchor(before.ledger_id, seq, digest.hex(), moment, signature or "")
    except (NotADatabase, IndexError, AttributeError, apsw.Error) as error:
        raise LedgerBroken(where=copy.name, detail=f"no entries: {type(error).__name__}") from None


def _require_room(path: Path, to: Path) -> None:
    needed = path.stat().st_size + RESERVE_BYTES
    wal = path.with_name(path.name + "-wal")
    needed += wal.stat().st_size if wal.exists() else 0
    if (free := shutil.disk_usage(to.parent).free) < needed:
        raise DiskFull(where=to.parent, detail=f"{needed >> 20} MiB are needed for the copy, {free >> 20} are free")
