"""The ledger: what was decided, when, by whom, in the order it happened, durable before anybody is answered.

One thread owns the database. Whatever waits is committed together with one fsync (group commit); a future resolves
after the commit is durable and the anchor is written. If either fails, everyone waiting gets LedgerUnavailable.
The bytes are described in ledger_format.py, the check of them is in ledger_verify.py.

Why the anchor is not synced at every commit by default: it would halve the decisions a second, and the last entry of
each commit carries the same signature inside the database. The anchor is written before any answer, so a killed
process loses nothing; after a power cut it may be `anchor_seconds` old. 0 syncs it at every commit.
"""

from __future__ import annotations

import os
import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from so8t.core import signing
from so8t.core.errors import LedgerBroken, LedgerError, LedgerUnavailable, RecordInvalid
from so8t.core.files import write_bytes
from so8t.core.ledger_format import (
    KINDS,
    SCHEMA,
    Anchor,
    Entry,
    anchor_path_of,
    body_back,
    body_columns,
    body_front,
    genesis,
    text_hash,
)
from so8t.core.ledger_read import reading
from so8t.core.ledger_verify import verify
from so8t.core.types import canonical_json

MAX_BATCH = 512
MAX_WAITING = 10_000
SALT_BYTES = 16
_INSERT = "INSERT INTO entries VALUES(?,?,?,?,?,?,?,?,?,?)"
_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "fullfsync = ON",  # macOS: fsync alone does not reach the disk there
    "secure_delete = ON",  # an erased text is overwritten, not only unlinked
    "trusted_schema = OFF",
)


class AnchorWriter(Protocol):
    """Puts the signed head outside the database; raises OSError when it cannot."""

    def __call__(self, path: Path, anchor: Anchor, /, *, sync: bool) -> None: ...


def write_anchor(path: Path, anchor: Anchor, *, sync: bool) -> None:
    """Overwrite the anchor in place: one sector, so never half new, and no space is needed on a full disk.

    The file must exist: an anchor that vanished while the ledger is open is an OSError, not silently made anew.
    """
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    try:
        os.write(handle, anchor.to_bytes())
        if sync:
            os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(slots=True)
class _Waiting:
    """An append that is not durable yet. `front` is its body up to the fields only the writer knows."""

    front: bytes
    kind: str
    decision: str | None = None
    request_id: str | None = None
    actor: str | None = None
    texts: tuple[tuple[str, bytes, str], ...] = ()
    erases: int | None = None
    future: Future[Entry] = field(default_factory=Future)


class Ledger:
    """The writer. Opening checks the whole chain; a second writer on the same file is refused.

    Raises LedgerBroken when the ledger or its anchor was altered, LedgerUnavailable when it cannot be written.
    `clock` gives the time recorded (order is by seq alone); `busy_ms` is how long a lock by others is waited for.
    """

    def __init__(
        self,
        path: Path,
        key: Ed25519PrivateKey,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        write_anchor: AnchorWriter = write_anchor,
        anchor_seconds: float = 1.0,
        busy_ms: int = 2000,
    ) -> None:
        self.path, self.anchor_path = path, anchor_path_of(path)
        self._key, self._clock, self._write_anchor, self._anchor_seconds = key, clock, write_anchor, anchor_seconds
        self._tidy_seconds, self._busy_ms = anchor_seconds or 1.0, busy_ms
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._gate, self._closed, self._failure = threading.Lock(), False, ""
        self._tidied, self._unsynced, self._unscrubbed = time.monotonic(), False, False
        self._lock = _lock(path.with_suffix(".lock"))
        try:
            with _unavailable(path):
                self._open()
        except BaseException:
            os.close(self._lock)
            raise
        self._thread = threading.Thread(target=self._work, name="so8t-ledger", daemon=True)
        self._thread.start()

    # -- what callers use ---------------------------------------------------------------------------------------

    @property
    def head(self) -> Anchor:
        """The newest signed head, for the event log or any other place outside."""
        return self._anchor

    def append(self, kind: str, body: Mapping[str, Any], *, text: Mapping[str, str] | None = None) -> Future[Entry]:
        """Add an entry; the future resolves when it is durable (asyncio: wrap_future). It cannot be cancelled.

        `decision`, `request_id` and `actor` of the body become searchable columns. `text` maps a name to an erasable
        text, of which the entry holds only the salted hash. Raises RecordInvalid for what JSON cannot hold,
        LedgerUnavailable when closed or too much waits.
        """
        if kind not in KINDS - {"open"}:
            raise RecordInvalid(where="ledger", detail=f"kind {kind!r}")
        return self._submit(_encode(kind, body, text or {}))

    def append_sync(self, kind: str, body: Mapping[str, Any], *, text: Mapping[str, str] | None = None) -> Entry:
        return self.append(kind, body, text=text).result()

    def erase(self, seq: int, reason: str, *, actor: str | None = None) -> Future[Entry]:
        """Destroy the texts and salts of an entry and note it; the chain stays. RecordInvalid if it has no text."""
        waiting = _encode("note", {"event": "erased", "seq": seq, "reason": reason, "actor": actor}, {})
        waiting.erases = seq
        return self._submit(waiting)

    def close(self) -> None:
        """Commit what waits, sync the anchor, fold the log into the database; LedgerUnavailable if that fails."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        os.close(self._lock)
        if self._failure:
            raise LedgerUnavailable(where=self.path, detail=self._failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- opening ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        exists = self.path.exists() and self.path.stat().st_size > 0
        if not exists and not self.anchor_path.exists():
            # The anchor of nothing comes first: from then on a database without its anchor is never accepted.
            start = secrets.token_hex(16)
            first = Anchor(start, 0, genesis(start).hex(), self._now()).signed_with(self._key)
            write_bytes(self.anchor_path, first.to_bytes())
        anchor = self._trusted_anchor()
        if anchor.seq == 0 and not _has_entries(self.path):
            self._db = self._connect()
            self._create(anchor)
            return
        report = verify(self.path, self.anchor_path, self._key.public_key())
        bad = [p for p in report.problems if p.kind != "unanchored"]
        if bad:
            raise LedgerBroken(where=self.path, detail=f"seq {bad[0].seq}: {bad[0].en}")
        self._db = self._connect()
        self._anchor = self._last_entry()
        self._unanchored = report.anchored_seq if report.problems else None
        if self._unanchored is not None:
            self._settle("recovered after a crash")

    def _trusted_anchor(self) -> Anchor:
        try:
            anchor = Anchor.read(self.anchor_path)
        except FileNotFoundError:
            raise LedgerBroken(where=self.anchor_path, detail="the anchor is missing") from None
        except RecordInvalid as error:
            raise LedgerBroken(where=self.anchor_path, detail="the anchor cannot be read") from error
        if not anchor.is_signed(self._key.public_key()):
            raise LedgerBroken(where=self.anchor_path, detail="the anchor is not signed by this key")
        return anchor

    def _connect(self) -> apsw.Connection:
        if not self.path.exists():
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        db.set_busy_timeout(self._busy_ms)
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        return db

    def _create(self, anchor: Anchor) -> None:
        self._anchor, self._unanchored = anchor, None
        with self._db:
            for name, sql in SCHEMA.items():
                kind = "VIEW" if sql.startswith("CREATE VIEW") else "TABLE"
                self._db.execute(f"DROP {kind} IF EXISTS {name}")
                self._db.execute(sql)
        facts = {"ledger_id": anchor.ledger_id, "public_key": signing.encode_public(self._key.public_key())}
        self._commit([_encode("open", facts, {})])

    def _last_entry(self) -> Anchor:
        """The head in the database, which its own signature vouches for."""
        seq, digest, when, signature = self._db.execute(
            "SELECT seq, hash, time, signature FROM entries ORDER BY seq DESC LIMIT 1"
        ).get
        return Anchor(self._trusted_anchor().ledger_id, seq, digest.hex(), when, signature)

    # -- the writer thread --------------------------------------------------------------------------------------

    def _submit(self, waiting: _Waiting) -> Future[Entry]:
        # An asker who hangs up must not make the record of the question vanish: no cancelling.
        waiting.future.set_running_or_notify_cancel()
        with self._gate:
            if self._closed:
                raise LedgerUnavailable(where=self.path, detail="closed")
            if self._queue.qsize() >= MAX_WAITING:
                raise LedgerUnavailable(where=self.path, detail=f"{MAX_WAITING} appends wait")
            self._queue.put(waiting)
        return waiting.future

    def _work(self) -> None:
        open_for_more = True
        while open_for_more:
            batch, open_for_more = self._gather()
            if batch:
                self._serve(batch)
            self._tidy(final=not open_for_more)
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()
        except apsw.Error as error:
            self._failure = self._failure or f"{type(error).__name__}: {error}"

    def _gather(self) -> tuple[list[_Waiting], bool]:
        """Everything that waits, and whether more may come."""
        batch: list[_Waiting] = []
        pending = self._unsynced or self._unscrubbed
        try:
            first = self._queue.get(timeout=self._tidy_seconds if pending else None)
            while first is not None:
                batch.append(first)
                if len(batch) == MAX_BATCH:
                    break
                first = self._queue.get_nowait()
        except queue.Empty:
            return batch, True
        return batch, first is not None

    def _serve(self, batch: list[_Waiting]) -> None:
        """Commit and anchor, then tell everyone; any failure reaches every one of them."""
        try:
            with _unavailable(self.path):
                self._settle("anchor written late")
                entries = self._commit(batch)
        except LedgerError as error:
            for waiting in batch:
                if not waiting.future.done():
                    waiting.future.set_exception(error)
            return
        for waiting, entry in entries:
            waiting.future.set_result(entry)

    def _settle(self, why: str) -> None:
        """Entries that are in the database but not anchored are anchored first, and a note says so."""
        if self._unanchored is None:
            return
        first = self._unanchored + 1
        self._put_anchor(self._anchor)
        self._commit([_encode("note", {"event": why, "from": first, "to": self._anchor.seq}, {})])

    def _commit(self, batch: list[_Waiting]) -> list[tuple[_Waiting, Entry]]:
        """One transaction, one fsync, one signature. Nothing of a failed batch stays behind."""
        before = self._anchor
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._check_tail()
            taken = [waiting for waiting in batch if self._erase(waiting)]
            rows, entries = self._chain(taken)
            if entries:
                last = entries[-1]
                after = Anchor(before.ledger_id, last.seq, last.head, last.time).signed_with(self._key)
                rows[-1] = (*rows[-1][:-1], after.signature)
                self._db.executemany(_INSERT, rows)
                self._keep_texts(taken, entries)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        if entries:
            self._anchor, self._unanchored = after, before.seq if self._unanchored is None else self._unanchored
            self._put_anchor(after)
        return list(zip(taken, entries, strict=True))

    def _check_tail(self) -> None:
        """The database must end where we left it; else somebody else wrote to it."""
        found = self._db.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").get
        seq, digest = found or (0, bytes.fromhex(self._anchor.head))
        if (seq, digest.hex()) != (self._anchor.seq, self._anchor.head):
            raise LedgerBroken(where=self.path, detail=f"seq {min(seq, self._anchor.seq) + 1}: written by someone else")

    def _chain(self, batch: list[_Waiting]) -> tuple[list[tuple[Any, ...]], list[Entry]]:
        rows: list[tuple[Any, ...]] = []
        entries: list[Entry] = []
        prev, seq = bytes.fromhex(self._anchor.head), self._anchor.seq
        signed = self._anchor.signature if seq else None
        for w in batch:
            seq, when = seq + 1, self._now()
            body = w.front + body_back(seq, signed, when).encode()
            digest = sha256(prev + body).digest()
            rows.append((seq, when, w.kind, w.decision, w.request_id, w.actor, body, prev, digest, None))
            entries.append(Entry(seq, when, w.kind, digest))
            prev, signed = digest, None
        return rows, entries

    def _keep_texts(self, batch: list[_Waiting], entries: list[Entry]) -> None:
        rows = [(entry.seq, *text) for waiting, entry in zip(batch, entries, strict=True) for text in waiting.texts]
        if rows:
            self._db.executemany("INSERT INTO texts VALUES(?,?,?,?)", rows)

    def _erase(self, waiting: _Waiting) -> bool:
        """Destroy the texts an entry asks to; False when there are none, and its caller is told."""
        if waiting.erases is None:
            return True
        self._db.execute("DELETE FROM texts WHERE seq = ?", (waiting.erases,))
        if self._db.changes() == 0:
            waiting.future.set_exception(RecordInvalid(where=self.path, detail=f"seq {waiting.erases}: no text"))
            return False
        self._unscrubbed = True
        return True

    def _put_anchor(self, anchor: Anchor) -> None:
        self._write_anchor(self.anchor_path, anchor, sync=self._anchor_seconds <= 0)
        self._unanchored, self._unsynced = None, self._anchor_seconds > 0

    def _tidy(self, *, final: bool) -> None:
        """Sync the anchor when it is due, and drop erased texts from the log. A failure is tried again later."""
        if not final and time.monotonic() - self._tidied < self._tidy_seconds:
            return
        self._tidied = time.monotonic()
        try:
            if final:
                self._settle("anchor written late")
            if self._unsynced:
                self._write_anchor(self.anchor_path, self._anchor, sync=True)
                self._unsynced = False
            if self._unscrubbed:
                self._scrub()
        except Exception as error:
            if final:
                self._failure = f"{type(error).__name__}: {error}"

    def _scrub(self) -> None:
        """Erased text still lies in the log until that is truncated; a reader may hold it, appends must not wait."""
        self._db.set_busy_timeout(0)
        try:
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
            self._unscrubbed = bool(busy)
        finally:
            self._db.set_busy_timeout(self._busy_ms)

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="microseconds")


def _encode(kind: str, body: Mapping[str, Any], text: Mapping[str, str]) -> _Waiting:
    """Everything that does not need the writer, in the caller's thread, so that a bad body harms nobody else."""
    try:
        data = dict(body)
        columns = {name: data.pop(name, None) for name in ("decision", "request_id", "actor")}
        decision, request_id, actor = (None if v is None else _plain(v) for v in columns.values())
        texts = tuple((_plain(name), os.urandom(SALT_BYTES), _plain(value)) for name, value in sorted(text.items()))
        content = {name: text_hash(salt, value.encode()) for name, salt, value in texts}
        front = body_front(actor, content) + canonical_json(data) + body_columns(decision, kind, request_id)
        return _Waiting(front.encode(), kind, decision, request_id, actor, texts)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordInvalid(where="ledger", detail=f"{kind}: {error}") from error


def _plain(value: object) -> str:
    """A str itself (also of a StrEnum); TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"not a string: {type(value).__name__}")
    return str(value)


def _has_entries(path: Path) -> bool:
    """False for a database that a crash left before its first commit."""
    if not path.exists() or path.stat().st_size == 0:
        return False
    with reading(path) as db:
        made = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'entries'").get
        return bool(made and db.execute("SELECT count(*) FROM entries").get)


def _lock(path: Path) -> int:
    """Hold the only right to write. The system drops it when the process ends, however it ends."""
    handle = -1
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if handle >= 0:
            os.close(handle)
        busy = isinstance(error, (BlockingIOError, PermissionError)) and handle >= 0
        detail = "another process writes to it" if busy else str(error)
        raise LedgerUnavailable(where=path, detail=detail) from error
    return handle


@contextmanager
def _unavailable(path: Path) -> Iterator[None]:
    """Whatever goes wrong while writing is one error to the caller: nothing may be answered."""
    try:
        yield
    except LedgerError:
        raise
    except Exception as error:
        raise LedgerUnavailable(where=path, detail=f"{type(error).__name__}: {error}") from error
