"""A ledger in one SQLite file: its tables, the writer's connection, and reading beside it without changing a byte."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import apsw

from so8t.core.errors import LedgerBroken, LedgerError
from so8t.core.ledger_store import COLUMNS, NotADatabase, Row, SealedText, Tail

OLDER = "so8t ledger 1: 古い書式です。作った版で検証・書き出しを / verify and export it with the version that made it"
_NONE_VFS = "win32-none" if os.name == "nt" else "unix-none"
_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "fullfsync = ON",  # macOS: fsync alone does not reach the disk there
    "secure_delete = ON",  # an erased text is overwritten, not only unlinked
    "trusted_schema = OFF",
)
MOST_ROWS = 128  # a statement
_TEXT = "CAST(body AS TEXT)"


def _data(name: str) -> str:
    return f"json_extract({_TEXT}, '$.data.{name}')"


# Keyed by name: `verify` compares these with the stored schema, so a trigger or a lying view is found.
SCHEMA = {
    "entries": (
        "CREATE TABLE entries(seq INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, decision TEXT, "
        "request_id TEXT, actor TEXT, body BLOB NOT NULL, prev BLOB NOT NULL, hash BLOB NOT NULL, signature TEXT)"
    ),
    "texts": (
        "CREATE TABLE texts(seq INTEGER NOT NULL, name TEXT NOT NULL, sealed BLOB NOT NULL, "
        "PRIMARY KEY(seq, name)) WITHOUT ROWID"
    ),
    "entries_kind": "CREATE INDEX entries_kind ON entries(kind, decision)",
    "entries_actor": "CREATE INDEX entries_actor ON entries(actor)",
    "entries_request": "CREATE INDEX entries_request ON entries(request_id)",
    "decision_log": (
        "CREATE VIEW decision_log AS SELECT seq, time, decision, request_id, actor, "
        f"{_data('confidence')} AS confidence, {_data('domain')} AS domain, {_data('reason')} AS reason, "
        f"{_data('policy_digest')} AS policy_digest, lower(hex(hash)) AS hash FROM entries WHERE kind = 'decision'"
    ),
    "identity_contract": (
        f"CREATE VIEW identity_contract AS SELECT seq, time, {_data('policy_digest')} AS policy_digest, "
        f"{_data('policy_version')} AS policy_version, contract.key AS domain, "
        "json_extract(contract.value, '$.role') AS role, json_extract(contract.value, '$.scope') AS scope, "
        "json_extract(contract.value, '$.limitations') AS limitations, "
        "json_extract(contract.value, '$.escalation_policy') AS escalation_policy, lower(hex(hash)) AS hash "
        f"FROM entries, json_each({_TEXT}, '$.data.identity_contracts') AS contract WHERE kind = 'policy'"
    ),
    "policy_state": (
        f"CREATE VIEW policy_state AS SELECT seq, time, {_data('event')} AS event, "
        f"{_data('policy_digest')} AS policy_digest, {_data('policy_version')} AS policy_version, "
        "state.key AS name, state.value AS value, lower(hex(hash)) AS hash "
        f"FROM entries, json_each({_TEXT}, '$.data.policy_state') AS state WHERE kind = 'policy'"
    ),
    "audit_log": (
        "CREATE VIEW audit_log AS SELECT seq, time, kind, actor, "
        f"coalesce({_data('event')}, decision) AS event, lower(hex(hash)) AS hash FROM entries"
    ),
}


@cache
def _insert_sql(table: str, rows: int, columns: int) -> str:
    row = f"({','.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES{','.join([row] * rows)}"


class SqliteStore:
    """The writer's connection. Others may read; the lock file beside it keeps other writers of ours out."""

    shared = False
    refused = ""

    def __init__(self, path: Path, *, busy_ms: int = 2000) -> None:
        self.path, self._busy_ms = path, busy_ms
        self._opened = False

    def exists(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def is_empty(self) -> bool:
        """Also for a database that a crash left before its first commit."""
        if not self.exists():
            return True
        try:
            db = open_readonly(self.path)
            try:
                refuse_older(db, self.path)
                made = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'entries'").get
                return not (made and db.execute("SELECT count(*) FROM entries").get)
            finally:
                db.close(True)
        except apsw.Error as error:
            raise LedgerBroken(where=self.path, detail=f"{type(error).__name__}: {error}") from error

    def open(self) -> None:
        if not self.path.exists():
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        self._db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        self._opened = True
        self._db.set_busy_timeout(self._busy_ms)
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")

    def create(self) -> None:
        with self._db:
            for name, sql in SCHEMA.items():
                self._db.execute(f"DROP {sql.split()[1]} IF EXISTS {name}")
                self._db.execute(sql)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def tail(self) -> Tail | None:
        found = self._db.execute("SELECT seq, hash, time, signature FROM entries ORDER BY seq DESC LIMIT 1").get
        return Tail(*found) if found else None

    def hash_of(self, seq: int) -> bytes | None:
        found = self._db.execute("SELECT hash FROM entries WHERE seq = ?", (seq,)).get
        return found if isinstance(found, bytes) else None

    def insert(self, entries: Sequence[Row], texts: Sequence[SealedText]) -> None:
        self._insert("entries", entries)
        self._insert("texts", texts)

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Many rows a statement: each statement lets other threads run, and getting the turn back may take 5 ms.

        In powers of two, so that the few statements there are stay prepared.
        """
        done = 0
        while done < len(rows):
            size = min(MOST_ROWS, 1 << (len(rows) - done).bit_length() - 1)
            part = rows[done : done + size]
            self._db.execute(_insert_sql(table, size, len(part[0])), tuple(chain.from_iterable(part)))
            done += size

    def erase(self, seq: int) -> int:
        self._db.execute("DELETE FROM texts WHERE seq = ?", (seq,))
        return self._db.changes()

    def scrub(self) -> bool:
        """Erased text still lies in the log until that is truncated; a reader may hold it, appends must not wait."""
        self._db.set_busy_timeout(0)
        try:
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
            return not busy
        finally:
            self._db.set_busy_timeout(self._busy_ms)

    def close(self) -> None:
        """Fold the log into the database, so that one file is the whole ledger."""
        if not self._opened:
            return
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()


class SqliteSource:
    """One read transaction on a connection that cannot write."""

    shared = False
    damage: tuple[type[Exception], ...] = (apsw.Error,)

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError, NotADatabase, LedgerError for a ledger of the older format."""
        if not path.is_file():
            raise FileNotFoundError(path)
        self.path = path
        try:
            self._db = open_readonly(path)
            try:
                self.renew()
                refuse_older(self._db, path)
            except BaseException:
                self.close()
                raise
        except apsw.Error as error:
            raise NotADatabase(f"{type(error).__name__}: {error}") from error

    @property
    def growing(self) -> bool:
        return has_wal(self.path)

    def differences(self) -> list[str]:
        stored = self._stored_schema()
        return sorted(name for name in {*stored, *SCHEMA} if stored.get(name) != SCHEMA.get(name))

    def usable(self) -> bool:
        stored = self._stored_schema()
        return all(stored.get(name) == SCHEMA[name] for name in ("entries", "texts"))

    def _stored_schema(self) -> dict[str, str]:
        return dict(self._db.execute("SELECT name, sql FROM sqlite_schema"))

    def damaged_indexes(self) -> list[str]:
        """SQLite's own comparison of the tables with their indexes."""
        found = (row for t in ("entries", "texts") for (row,) in self._db.execute(f"PRAGMA integrity_check({t})"))
        return [line for line in found if line != "ok"]

    def renew(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    def entries(self, first: int, last: int) -> Iterator[Any]:
        sql = f"SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq >= ? AND seq <= ? ORDER BY seq"
        return iter(self._db.execute(sql, (first, last)))

    def texts(self, first: int, last: int) -> Iterator[tuple[int, bytes, Any]]:
        sql = "SELECT seq, CAST(name AS BLOB), sealed FROM texts WHERE seq >= ? AND seq <= ? ORDER BY seq, name"
        return iter(self._db.execute(sql, (first, last)))

    def select(self, sql: str, *values: Any) -> list[Any]:
        return list(self._db.execute(sql, values))

    def close(self) -> None:
        self._db.close(True)


def refuse_older(db: apsw.Connection, path: Path) -> None:
    """Raises LedgerError for a ledger whose texts were not encrypted yet."""
    if "salt" in str(db.execute("SELECT sql FROM sqlite_schema WHERE name = 'texts'").get):
        raise LedgerError(where=path, detail=OLDER)


def has_wal(path: Path) -> bool:
    """A write-ahead log lies beside the database: a writer is at work, or one was killed."""
    wal = path.with_name(path.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0


def open_readonly(path: Path) -> apsw.Connection:
    """A connection that changes no byte of the database or its log. Raises apsw.Error.

    Without a log the file is read as immutable, which takes no lock and makes no file. With the writer's shared index
    we read beside it. A copy with a log but no index (evidence) is read with the index in memory.
    """
    address = path.resolve().as_uri() + "?mode=ro"
    alone = has_wal(path) and not path.with_name(path.name + "-shm").exists()
    address += f"&vfs={_NONE_VFS}" if alone else "" if has_wal(path) else "&immutable=1"
    db = apsw.Connection(address, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.set_busy_timeout(2000)
        for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
            db.execute(f"PRAGMA {pragma}")
        if alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
    except apsw.Error:
        db.close(True)
        raise
    return db
