"""users.db: accounts, API keys, sessions. No change without its entry in the ledger, no entry lost.

A change is written inside a transaction, reported to `record`, and committed only when that is durable: if `record`
raises, nothing changed. A process that cannot reach the ledger (`so8t users` while the server runs) leaves its report
in table `pending` in the same transaction; the server passes it on before it believes anything that was changed.

One connection reads, on the event loop, and never waits; another writes, in a thread of its own. SQLite's data_version
tells the reader that anybody changed anything: what it remembered is forgotten then, so a revocation holds at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw

from so8t.core.errors import AccountsBroken, AccountsUnavailable, So8tError

Record = Callable[[str, Mapping[str, Any]], Awaitable[None]]
Row = tuple[Any, ...]
T = TypeVar("T")
VERSION = 1
MAX_REMEMBERED = 4096
FLUSH_SECONDS = 60.0
READ_MS = 50  # in WAL mode a reader waits for nobody but a crash's recovery
_SCHEMA = """
CREATE TABLE users(
  folded TEXT PRIMARY KEY, name TEXT NOT NULL, display TEXT NOT NULL, password TEXT, roles TEXT NOT NULL,
  clearance TEXT NOT NULL, groups TEXT NOT NULL, disabled INTEGER NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE keys(
  id TEXT PRIMARY KEY, owner TEXT NOT NULL REFERENCES users(folded), hash BLOB NOT NULL, roles TEXT NOT NULL,
  label TEXT NOT NULL, created REAL NOT NULL, expires REAL, used REAL, revoked REAL) WITHOUT ROWID;
CREATE TABLE sessions(
  id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, owner TEXT NOT NULL, name TEXT NOT NULL, method TEXT NOT NULL,
  roles TEXT NOT NULL, clearance TEXT NOT NULL, groups TEXT NOT NULL, address TEXT NOT NULL, created REAL NOT NULL,
  seen REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX sessions_owner ON sessions(owner);
CREATE TABLE pending(seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, body TEXT NOT NULL);
"""
_TOUCH = {
    "keys": "UPDATE keys SET used = max(coalesce(used, 0), ?) WHERE id = ?",
    "sessions": "UPDATE sessions SET seen = max(seen, ?) WHERE id = ?",
}


class Store:
    """Opening checks the file. `record` None = no ledger here: reports wait in the file for the server.

    Raises AccountsBroken for a damaged or foreign file, AccountsUnavailable when it is locked or cannot be written.
    `busy_ms`: how long a writer waits for another program's lock.
    """

    def __init__(self, path: Path, record: Record | None, *, busy_ms: int = 2000) -> None:
        self.path, self._record, self._lock = path, record, asyncio.Lock()
        self._remembered: dict[Any, Any] = {}
        self._version = -1
        self._touched: dict[tuple[str, str], float] = {}
        self._flushed = time.monotonic()
        self._pool = ThreadPoolExecutor(1, "so8t-accounts")
        with self._errors():
            _create_file(path)
            self._writer = _connect(path, busy_ms)
            try:
                _prepare(self._writer, path)
                self._reader = _connect(path, READ_MS)
            except BaseException:
                self._writer.close()
                raise
            self._reader.execute("PRAGMA query_only = ON")

    def close(self) -> None:
        self._pool.shutdown()
        with suppress(AccountsUnavailable, AccountsBroken):
            self._flush(self._touched)
        self._reader.close()
        self._writer.close()

    # -- reading, on the event loop -------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Forget what may have changed, and pass on what others reported. Call before believing anything."""
        try:
            version = self._reader.execute("PRAGMA data_version").get
        except apsw.Error as error:
            raise self._translated(error) from None
        if version == self._version:
            return
        if self._record is not None and self.row("SELECT 1 FROM pending LIMIT 1"):
            await self.report_pending()
        self._remembered.clear()
        self._version = version

    def remembered(self, key: Any, load: Callable[[], T]) -> T:
        """What `load` gave since the last change; None is not kept, so that guesses fill no memory."""
        if (found := self._remembered.get(key)) is not None:
            value: T = found
            return value
        loaded = load()
        if loaded is not None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = loaded
        return loaded

    def row(self, sql: str, *values: Any) -> Row | None:
        with self._errors():
            found: Row | None = self._reader.execute(sql, values).fetchone()
            return found

    def rows(self, sql: str, *values: Any) -> list[Row]:
        with self._errors():
            return list(self._reader.execute(sql, values))

    # -- writing, in the writer's thread --------------------------------------------------------------------------

    async def change(self, event: str, body: Mapping[str, Any], apply: Callable[[apsw.Connection], None]) -> None:
        """Apply and report, both or neither. `apply` raises a So8tError to refuse; then nothing is reported.

        A caller who hangs up does not stop it half-way. Raises whatever `record` raised, AccountsUnavailable, or
        AccountsBroken.
        """
        await asyncio.shield(asyncio.ensure_future(self._change(event, body, apply)))

    async def _change(self, event: str, body: Mapping[str, Any], apply: Callable[[apsw.Connection], None]) -> None:
        async with self._lock:
            await self._in_thread(lambda: self._begin(event, body, apply))
            try:
                if self._record is not None:
                    await self._record(event, body)
            except BaseException:
                await self._in_thread(self._roll_back)
                raise
            try:
                await self._in_thread(self._commit)
            except So8tError:
                if self._record is not None:  # the ledger tells of a change that did not come about: say so there
                    with suppress(So8tError):
                        await self._record("change_undone", {"undone": event, **body})
                raise
            finally:
                self._remembered.clear()

    async def note(self, event: str, body: Mapping[str, Any]) -> None:
        """Report what changes nothing here, as a refused login."""
        if self._record is not None:
            await self._record(event, body)

    async def report_pending(self) -> None:
        """Pass on, in order, what processes without a ledger left. Raises what `record` raises; the rest then waits."""
        if self._record is None:
            return
        async with self._lock:
            for seq, event, body in self.rows("SELECT seq, event, body FROM pending ORDER BY seq"):
                await self._record(event, json.loads(body))
                await self._in_thread(partial(self._write, "DELETE FROM pending WHERE seq = ?", seq))

    def touch(self, table: str, identifier: str, now: float) -> None:
        """Note when a key or session was used."""
        self._touched[table, identifier] = now

    @property
    def flush_is_due(self) -> bool:
        return bool(self._touched) and time.monotonic() - self._flushed >= FLUSH_SECONDS

    def touched(self, table: str, identifier: str) -> float:
        """When it was last used, as far as that is not written yet; 0 = nothing is noted."""
        return self._touched.get((table, identifier), 0.0)

    async def flush(self) -> None:
        """Write what was noted. A locked file loses nothing that matters: it is tried again a minute later."""
        self._flushed, touched = time.monotonic(), dict(self._touched)
        with suppress(AccountsUnavailable):
            async with self._lock:
                await self._in_thread(lambda: self._flush(touched))
            self._touched = {k: v for k, v in self._touched.items() if touched.get(k) != v}

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _begin(self, event: str, body: Mapping[str, Any], apply: Callable[[apsw.Connection], None]) -> None:
        with self._errors():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                apply(self._writer)
                if self._record is None:
                    text = json.dumps({**body, "time": time.time()}, ensure_ascii=False)
                    self._writer.execute("INSERT INTO pending(event, body) VALUES(?,?)", (event, text))
            except BaseException:
                self._roll_back()
                raise

    def _commit(self) -> None:
        with self._errors():
            try:
                self._writer.execute("COMMIT")
            except apsw.Error:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _write(self, sql: str, *values: Any) -> None:
        with self._errors():
            self._writer.execute(sql, values)

    def _flush(self, touched: Mapping[tuple[str, str], float]) -> None:
        if touched:
            with self._errors(), self._writer:
                for (table, identifier), when in touched.items():
                    self._writer.execute(_TOUCH[table], (when, identifier))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (apsw.Error, OSError) as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> So8tError:
        """SQLite's error as ours; never its text, which may quote values. The system's text quotes none."""
        broken = isinstance(error, apsw.CorruptError | apsw.NotADBError)
        told = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        return (AccountsBroken if broken else AccountsUnavailable)(where=self.path, detail=told)


def _create_file(path: Path) -> None:
    """Readable by the gateway's own user alone, also when somebody opened it up since."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    if os.name != "nt" and path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _connect(path: Path, busy_ms: int) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    db.set_busy_timeout(busy_ms)
    pragmas = (
        "journal_mode = WAL",
        "synchronous = FULL",
        "fullfsync = ON",
        "foreign_keys = ON",
        "trusted_schema = OFF",
    )
    for pragma in pragmas:
        db.execute(f"PRAGMA {pragma}")
    return db


def _prepare(db: apsw.Connection, path: Path) -> None:
    """Make the tables in an empty file; refuse a damaged one and one of another version."""
    db.execute("BEGIN IMMEDIATE")  # two that start at once make the tables once
    try:
        version = db.execute("PRAGMA user_version").get
        if version == 0 and not db.execute("SELECT count(*) FROM sqlite_schema").get:
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA user_version = {VERSION}")
            version = VERSION
    finally:
        db.execute("COMMIT")
    if version != VERSION:
        raise AccountsBroken(where=path, detail=f"version {version}, not {VERSION}")
    if (found := db.execute("PRAGMA quick_check(1)").get) != "ok":
        raise AccountsBroken(where=path, detail=str(found)[:100])
