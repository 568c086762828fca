"""The ledger: what was decided, when, by whom, in the order it happened, durable before anybody is answered.

One thread owns the store. Whatever waits is committed together with one fsync (group commit); a future resolves
after the commit is durable and the anchor is written. If either fails, everyone waiting gets LedgerUnavailable.
The bytes are described in ledger_format.py, where they lie in ledger_store.py, the check of them is in
ledger_verify.py.

Why the anchor is not synced at every commit by default: it would halve the decisions a second, and the last entry of
each commit carries the same signature inside the database. The anchor is written before any answer, so a killed
process loses nothing; after a power cut it may be `anchor_seconds` old. 0 syncs it at every commit.

Several gateways may append to one chain where the store is shared (PostgreSQL). Each signs with the same key and keeps
an anchor of its own, the head after its last commit; what others appended since is taken on by its signature.
"""

from __future__ import annotations

import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from so8t.core import signing
from so8t.core.errors import LedgerBroken, LedgerError, LedgerUnavailable, RecordInvalid
from so8t.core.files import write_bytes
from so8t.core.ledger_format import KINDS, Anchor, Entry, anchor_path_of, body_back, genesis, utc
from so8t.core.ledger_lock import lock
from so8t.core.ledger_record import Waiting, encode
from so8t.core.ledger_report import Report
from so8t.core.ledger_store import Row, Tail, store_at
from so8t.core.ledger_verify import verify
from so8t.core.sealing import TextKey

MAX_BATCH = 512
MAX_WAITING = 10_000


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


class Ledger:
    """The writer. `path` is an SQLite file or one that holds a postgres:// address; the anchor lies beside it.

    Opening checks the whole chain; a second writer beside the same anchor is refused. `key` signs heads, `text_key`
    seals texts. `clock` gives the time recorded (order is by seq alone); `busy_ms` is how long a lock by others is
    waited for. Raises LedgerBroken when the ledger or its anchor was altered, LedgerUnavailable when it cannot be
    written, TextKeyWrong when its texts were sealed with another key.
    """

    def __init__(
        self,
        path: Path,
        key: Ed25519PrivateKey,
        text_key: TextKey,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        write_anchor: AnchorWriter = write_anchor,
        anchor_seconds: float = 1.0,
        busy_ms: int = 2000,
    ) -> None:
        self.path, self.anchor_path = path, anchor_path_of(path)
        self._key, self._text_key, self._clock = key, text_key, clock
        self._write_anchor, self._anchor_seconds = write_anchor, anchor_seconds
        self._tidy_seconds = anchor_seconds or 1.0
        self._store = store_at(path, busy_ms=busy_ms)
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._gate, self._closed, self._failure = threading.Lock(), False, ""
        self._tidied, self._unsynced, self._unscrubbed = time.monotonic(), False, False
        self._lock = lock(path.with_suffix(".lock"))
        try:
            with _unavailable(path):
                self._open()
        except BaseException:
            with suppress(Exception):
                self._store.close()
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
        text, of which the entry holds only the salted hash; it is stored encrypted. Raises RecordInvalid for what JSON
        cannot hold, LedgerUnavailable when closed or too much waits.
        """
        if kind not in KINDS - {"open"}:
            raise RecordInvalid(where="ledger", detail=f"kind {kind!r}")
        return self._submit(self._encode(kind, body, text or {}))

    def append_sync(self, kind: str, body: Mapping[str, Any], *, text: Mapping[str, str] | None = None) -> Entry:
        return self.append(kind, body, text=text).result()

    def erase(self, seq: int, reason: str, *, actor: str | None = None) -> Future[Entry]:
        """Destroy the texts and salts of an entry and note it; the chain stays. RecordInvalid if it has no text."""
        waiting = self._encode("note", {"event": "erased", "seq": seq, "reason": reason, "actor": actor})
        waiting.erases = seq
        return self._submit(waiting)

    def verify_live(self) -> Report:
        """The whole ledger as it lies there, while it is written to: entries younger than the anchor are in order.

        Texts are counted, not opened. Takes its time; call it outside the event loop.
        """
        report = verify(self.path, self.anchor_path, self._key.public_key())
        return replace(report, ok=all(problem.kind == "unanchored" for problem in report.problems))

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
        if not self.anchor_path.exists() and not self._store.exists():
            # The anchor of nothing comes first: from then on a database without its anchor is never accepted.
            start = secrets.token_hex(16)
            first = Anchor(start, 0, genesis(start).hex(), self._now()).signed_with(self._key)
            write_bytes(self.anchor_path, first.to_bytes())
        self._unanchored: int | None = None
        empty = self._store.is_empty()
        self._anchor = self._trusted_anchor()
        if self._anchor.seq == 0 and empty:
            self._create()
            return
        report = verify(self.path, self.anchor_path, self._key.public_key(), self._text_key)
        bad = [p for p in report.problems if p.kind != "unanchored"]
        if bad:
            raise LedgerBroken(where=self.path, detail=f"seq {bad[0].seq}: {bad[0].en}")
        self._store.open()
        self._anchor = self._last_entry()
        if report.problems:
            self._unanchored = report.anchored_seq
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

    def _create(self) -> None:
        self._store.open()
        self._store.create()
        public = signing.encode_public(self._key.public_key())
        facts = {"ledger_id": self._anchor.ledger_id, "public_key": public, "text_key": self._text_key.id}
        self._commit([self._encode("open", facts)])

    def _last_entry(self) -> Anchor:
        """The head in the database, which its own signature vouches for."""
        tail = self._store.tail()
        anchor = _anchor_of(tail, self._anchor.ledger_id) if tail else self._anchor
        if not anchor.is_signed(self._key.public_key()):
            raise LedgerBroken(where=self.path, detail=f"seq {anchor.seq}: not signed by this key")
        return anchor

    # -- the writer thread --------------------------------------------------------------------------------------

    def _submit(self, waiting: Waiting) -> Future[Entry]:
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
            self._store.close()
        except Exception as error:
            self._failure = self._failure or f"{type(error).__name__}: {error}"

    def _gather(self) -> tuple[list[Waiting], bool]:
        """Everything that waits, and whether more may come."""
        batch: list[Waiting] = []
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

    def _serve(self, batch: list[Waiting]) -> None:
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
        self._commit([self._encode("note", {"event": why, "from": first, "to": self._anchor.seq})])

    def _commit(self, batch: list[Waiting]) -> list[tuple[Waiting, Entry]]:
        """One transaction, one fsync, one signature. Nothing of a failed batch stays behind."""
        with self._store.transaction():
            before = self._end_of_chain()
            taken = [waiting for waiting in batch if self._erase(waiting)]
            rows, entries = self._chain(before, taken)
            if entries:
                last = entries[-1]
                after = Anchor(before.ledger_id, last.seq, last.head, last.time).signed_with(self._key)
                rows[-1] = (*rows[-1][:-1], after.signature)
                texts = [(e.seq, *text) for w, e in zip(taken, entries, strict=True) for text in w.texts]
                self._store.insert(rows, texts)
        if entries:
            self._anchor, self._unanchored = after, before.seq if self._unanchored is None else self._unanchored
            self._put_anchor(after)
        return list(zip(taken, entries, strict=True))

    def _end_of_chain(self) -> Anchor:
        """Where we left it, or in a shared store where another gateway's signature says; else a stranger wrote."""
        mine, tail = self._anchor, self._store.tail()
        start = Anchor(mine.ledger_id, 0, genesis(mine.ledger_id).hex(), "")
        found = _anchor_of(tail, mine.ledger_id) if tail else start
        if (found.seq, found.head) == (mine.seq, mine.head):
            return mine
        ours = mine.seq == 0 or self._store.hash_of(mine.seq) == bytes.fromhex(mine.head)
        if self._store.shared and found.seq > mine.seq and ours and found.is_signed(self._key.public_key()):
            return found
        raise LedgerBroken(where=self.path, detail=f"seq {min(found.seq, mine.seq) + 1}: written by someone else")

    def _chain(self, before: Anchor, batch: list[Waiting]) -> tuple[list[Row], list[Entry]]:
        """Entries of one commit carry one time: that of the commit."""
        rows: list[Row] = []
        entries: list[Entry] = []
        prev, seq = bytes.fromhex(before.head), before.seq
        signed, when = before.signature if seq else None, self._now()
        for w in batch:
            seq += 1
            body = w.front + body_back(seq, signed, when).encode()
            digest = sha256(prev + body).digest()
            rows.append((seq, when, w.kind, w.decision, w.request_id, w.actor, body, prev, digest, None))
            entries.append(Entry(seq, when, w.kind, digest))
            prev, signed = digest, None
        return rows, entries

    def _erase(self, waiting: Waiting) -> bool:
        """Destroy the texts an entry asks to; False when there are none, and its caller is told."""
        if waiting.erases is None:
            return True
        if self._store.erase(waiting.erases) == 0:
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
                self._unscrubbed = not self._store.scrub()
        except Exception as error:
            if final:
                self._failure = f"{type(error).__name__}: {error}"

    def _now(self) -> str:
        return utc(self._clock())

    def _encode(self, kind: str, body: Mapping[str, Any], text: Mapping[str, str] | None = None) -> Waiting:
        return encode(kind, body, text or {}, self._text_key, self._store.refused)


def _anchor_of(tail: Tail, ledger_id: str) -> Anchor:
    return Anchor(ledger_id, tail.seq, tail.hash.hex(), tail.time, tail.signature or "")


@contextmanager
def _unavailable(path: Path) -> Iterator[None]:
    """Whatever goes wrong while writing is one error to the caller: nothing may be answered."""
    try:
        yield
    except LedgerError:
        raise
    except Exception as error:
        raise LedgerUnavailable(where=path, detail=f"{type(error).__name__}: {error}") from error
