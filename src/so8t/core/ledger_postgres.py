"""A ledger on PostgreSQL, for several gateways on one chain. The driver is asyncpg, on a thread of its own.

Each commit is one transaction under one advisory lock: read the tail, chain on it, insert, COMMIT with
synchronous_commit. A gateway that dies inside loses the lock with its connection; one that is stopped inside loses it
after IDLE_SECONDS. A COMMIT whose answer was lost is an error to those who waited; the entries, if they are there, are
signed and taken on at the next commit.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from so8t.core.errors import LedgerError, LedgerUnavailable, PackageMissing
from so8t.core.ledger_address import Address, read_address
from so8t.core.ledger_postgres_schema import HOOKS, NAMESPACE, RELATIONS, VIEWS, create_statements, differences
from so8t.core.ledger_store import COLUMNS, Row, SealedText, Tail

try:
    import asyncpg  # type: ignore[import-untyped]
except ImportError as missing:
    raise PackageMissing(detail="asyncpg") from missing

LOCK = 0x736F3874  # "so8t": one chain a database
IDLE_SECONDS = 10
CONNECT_SECONDS = 5.0
PAGE = 5000
_INSERT = f"INSERT INTO entries({COLUMNS}) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)"
_INSERT_TEXT = "INSERT INTO texts(seq, name, sealed) VALUES($1,$2,$3)"
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
T = TypeVar("T")


class Link:
    """One connection, used from any thread by blocking calls; made at the first use and again after it broke, but
    never inside a transaction: what was begun on one connection must not be committed on the next."""

    def __init__(self, address: Address, seconds: float, settings: dict[str, str]) -> None:
        self.address, self._seconds = address, seconds
        self._settings = {"search_path": NAMESPACE, "application_name": "so8t"} | settings
        self._connection: Any = None
        self._inside = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="so8t-postgres", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Raises LedgerUnavailable for whatever the server or the way to it does."""
        try:
            return asyncio.run_coroutine_threadsafe(self._on_connection(work), self._loop).result()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, CancelledError) as error:
            raise LedgerUnavailable(where=self.address, detail=f"{type(error).__name__}: {error}"[:300]) from error

    def fetch(self, sql: str, *values: object) -> list[Any]:
        """Rows; `?` marks the values."""
        numbers = count(1)
        numbered = re.sub(r"\?", lambda _: f"${next(numbers)}", sql)
        return self.run(lambda connection: connection.fetch(numbered, *values))

    def execute(self, sql: str) -> str:
        """The server's word for what it did to the last statement."""
        return str(self.run(lambda connection: connection.execute(sql)))

    def begin(self, sql: str) -> None:
        """Start a transaction with this statement."""
        self.execute(sql)
        self._inside = True

    def commit(self) -> None:
        """Raises LedgerUnavailable also where the server rolled back instead."""
        if (done := self.execute("COMMIT")) != "COMMIT":
            raise LedgerUnavailable(where=self.address, detail=done)
        self._inside = False

    def drop(self) -> None:
        """Break the connection: the server rolls back whatever it was in."""
        connection, self._connection, self._inside = self._connection, None, False
        if connection is not None:
            self._loop.call_soon_threadsafe(connection.terminate)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        if self._connection is not None and not self._connection.is_closed():
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await self._connection.close(timeout=CONNECT_SECONDS)
        for _ in range(3):  # what a broken connection left to the loop
            await asyncio.sleep(0)

    async def _on_connection(self, work: Callable[[Any], Awaitable[T]]) -> T:
        if not self._inside and (self._connection is None or self._connection.is_closed()):
            a = self.address
            # Everything is said here: the driver would otherwise read PG* variables and files of the user's home.
            self._connection = await asyncpg.connect(
                host=a.host, port=a.port, user=a.user, password=a.password, database=a.database,
                ssl=a.tls() or False, timeout=CONNECT_SECONDS, command_timeout=self._seconds,
                server_settings=self._settings,
            )  # fmt: skip
        return await work(self._connection)


class PostgresStore:
    """The writer's connection of one gateway."""

    shared = True
    refused = "\0"

    def __init__(self, address: Address, *, seconds: float = 2.0) -> None:
        """`seconds`: how long other gateways' commits are waited for."""
        milliseconds = f"{int(seconds * 1000)}ms"
        self._link = Link(
            address, seconds + CONNECT_SECONDS,
            {
                "synchronous_commit": "on", "lock_timeout": milliseconds,
                "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
            },
        )  # fmt: skip

    @classmethod
    def at(cls, path: Path, *, seconds: float = 2.0) -> PostgresStore:
        return cls(read_address(path), seconds=seconds)

    def exists(self) -> bool:
        return not self.is_empty()

    def is_empty(self) -> bool:
        ((made,),) = self._link.fetch("SELECT to_regclass('so8t.entries') IS NOT NULL")
        return not (made and self._link.fetch("SELECT 1 FROM entries LIMIT 1"))

    def open(self) -> None:
        ((fsync,),) = self._link.fetch("SELECT current_setting('fsync')")
        if fsync != "on":
            raise LedgerUnavailable(where=self._link.address, detail="the server runs with fsync = off")

    def create(self) -> None:
        """Leaves tables that the owner made beforehand; whether they are ours is checked."""
        with self.transaction():
            ((made,),) = self._link.fetch("SELECT to_regclass('so8t.entries') IS NOT NULL")
            for sql in () if made else create_statements():
                self._link.execute(sql)
        if made and (wrong := _differences(self._link)):
            raise LedgerError(where=self._link.address, detail=f"not the ledger's: {', '.join(wrong)[:200]}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            self._link.begin(f"BEGIN; SELECT pg_advisory_xact_lock({LOCK})")
            yield
            self._link.commit()
        except BaseException:
            self._link.drop()
            raise

    def tail(self) -> Tail | None:
        found = self._link.fetch("SELECT seq, hash, time, signature FROM entries ORDER BY seq DESC LIMIT 1")
        return Tail(*found[0]) if found else None

    def hash_of(self, seq: int) -> bytes | None:
        found = self._link.fetch("SELECT hash FROM entries WHERE seq = ?", seq)
        return bytes(found[0][0]) if found else None

    def insert(self, entries: Sequence[Row], texts: Sequence[SealedText]) -> None:
        async def work(connection: Any) -> None:
            await connection.executemany(_INSERT, entries)
            if texts:
                await connection.executemany(_INSERT_TEXT, texts)

        self._link.run(work)

    def erase(self, seq: int) -> int:
        return len(self._link.fetch("DELETE FROM texts WHERE seq = ? RETURNING 1", seq))

    def scrub(self) -> bool:
        """The server's own work: (auto)vacuum. What is left in its pages and its log is encrypted."""
        return True

    def close(self) -> None:
        self._link.close()


class PostgresSource:
    """A connection that only reads. A snapshot begins with `renew`; queries before that see what is committed."""

    shared = True
    growing = True
    damage: tuple[type[Exception], ...] = ()

    def __init__(self, address: Address) -> None:
        self._link = Link(address, 60.0, {"default_transaction_read_only": "on"})
        self._in_snapshot = False

    @classmethod
    def at(cls, path: Path) -> PostgresSource:
        return cls(read_address(path))

    def differences(self) -> list[str]:
        # Apart from the snapshot: printing our own views needs temporary ones, which a reading transaction cannot make.
        link = Link(self._link.address, 60.0, {})
        try:
            return _differences(link)
        finally:
            link.close()

    def usable(self) -> bool:
        query = "SELECT to_regclass('so8t.entries') IS NOT NULL AND to_regclass('so8t.texts') IS NOT NULL"
        return bool(self.select(query)[0][0])

    def damaged_indexes(self) -> list[str]:
        return []

    def renew(self) -> None:
        if self._in_snapshot:
            self._link.commit()
        self._link.begin(_SNAPSHOT)
        self._in_snapshot = True

    def entries(self, first: int, last: int) -> Iterator[Any]:
        return self._pages(f"SELECT {COLUMNS} FROM entries WHERE seq >= $1 AND seq <= $2 ORDER BY seq", first, last)

    def texts(self, first: int, last: int) -> Iterator[tuple[int, bytes, Any]]:
        query = (
            "SELECT seq, convert_to(name, 'UTF8'), sealed FROM texts WHERE seq >= $1 AND seq <= $2 "
            'ORDER BY seq, name COLLATE "C"'
        )
        return self._pages(query, first, last)

    def _pages(self, sql: str, first: int, last: int) -> Iterator[Any]:
        if not self._in_snapshot:
            self.renew()
        cursor = self._link.run(lambda connection: connection.cursor(sql, first, last))
        while rows := self._link.run(lambda _: cursor.fetch(PAGE)):
            yield from rows

    def select(self, sql: str, *values: object) -> list[Any]:
        return [tuple(row) for row in self._link.fetch(sql, *values)]

    def close(self) -> None:
        self._link.close()


def _differences(link: Link) -> list[str]:
    """Our views are made and printed by this very server, for every version prints them its own way."""

    async def work(connection: Any) -> list[str]:
        transaction, views = connection.transaction(), dict.fromkeys(VIEWS, "")
        await transaction.start()
        try:
            for name, sql in VIEWS.items():
                await connection.execute(f"CREATE TEMPORARY VIEW ours_{name} AS {sql}")
                views[name] = await connection.fetchval("SELECT pg_get_viewdef($1::regclass)", f"pg_temp.ours_{name}")
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
            pass  # the tables below are not ours, and are named as such
        finally:
            await transaction.rollback()
        relations = [tuple(row) for row in await connection.fetch(RELATIONS)]
        return differences(relations, views) + [row[0] for row in await connection.fetch(HOOKS)]

    return link.run(work)
