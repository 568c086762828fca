"""What the ledger needs of a database: a Store that one writer appends to, a Source that is read in one snapshot.

ledger_sqlite.py and ledger_postgres.py are the two there are; `store_at` and `source_at` choose by what lies at a path:
an SQLite file, or a small text file that holds a postgres:// address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

# seq, time, kind, decision, request_id, actor, body, prev, hash, signature
Row: TypeAlias = tuple[int, str, str, "str | None", "str | None", "str | None", bytes, bytes, bytes, "str | None"]
SealedText: TypeAlias = tuple[int, str, bytes]  # seq, name, sealed
COLUMNS = "seq, time, kind, decision, request_id, actor, body, prev, hash, signature"
ADDRESS_SCHEMES = (b"postgres://", b"postgresql://")


@dataclass(frozen=True, slots=True)
class Tail:
    """The last entry of the chain as it is stored."""

    seq: int
    hash: bytes
    time: str
    signature: str | None


class NotADatabase(Exception):
    """What lies at a path cannot even be opened."""


class Store(Protocol):
    """One thread at a time uses it. Whatever fails raises; after a failed transaction nothing of it is kept.

    `shared`: other writers append to the same chain. `refused`: characters that its columns cannot hold.
    """

    shared: bool
    refused: str

    def exists(self) -> bool:
        """Something is there that may be a ledger (for SQLite a file, for a server an entry)."""
        ...

    def is_empty(self) -> bool:
        """There is no entry. Raises LedgerBroken for what cannot be read."""
        ...

    def open(self) -> None: ...

    def create(self) -> None:
        """Tables and views of a new ledger, in place of what a crash left of them."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, durable when it ends; no other writer is inside at the same time."""
        ...

    def tail(self) -> Tail | None: ...

    def hash_of(self, seq: int) -> bytes | None: ...

    def insert(self, entries: Sequence[Row], texts: Sequence[SealedText]) -> None: ...

    def erase(self, seq: int) -> int:
        """Destroy the texts of an entry; returns how many there were."""
        ...

    def scrub(self) -> bool:
        """Overwrite what is left of erased texts, without waiting for readers; False: try again later."""
        ...

    def close(self) -> None: ...


class Source(Protocol):
    """A ledger as it is stored, read without changing a byte of it. One thread at a time uses it.

    `damage`: the exceptions that mean what is stored cannot be read (a server that does not answer is
    LedgerUnavailable instead).
    """

    shared: bool
    damage: tuple[type[Exception], ...]

    @property
    def growing(self) -> bool:
        """A writer may be at work."""
        ...

    def differences(self) -> list[str]:
        """Names of tables, views, indexes and triggers that are not the ledger's; empty when all is well."""
        ...

    def usable(self) -> bool:
        """Whether the two tables are the ledger's, so that the chain can be read at all."""
        ...

    def damaged_indexes(self) -> list[str]:
        """What a search by index would answer wrongly; empty when all is well."""
        ...

    def renew(self) -> None:
        """See what was committed since; everything between two calls is one snapshot."""
        ...

    def entries(self, first: int, last: int) -> Iterator[Any]:
        """Rows (COLUMNS) by seq. Raises UnicodeDecodeError for a row that is no UTF-8."""
        ...

    def texts(self, first: int, last: int) -> Iterator[tuple[int, bytes, Any]]:
        """seq, name (UTF-8 bytes), sealed; by seq."""
        ...

    def select(self, sql: str, *values: object) -> list[Any]:
        """Rows of a query on entries and texts; `?` marks the values, which are always bound."""
        ...

    def close(self) -> None: ...


def is_address_file(path: Path) -> bool:
    """The path holds the address of a PostgreSQL server, not a database."""
    try:
        with path.open("rb") as f:
            return f.read(32).lstrip().startswith(ADDRESS_SCHEMES)
    except OSError:
        return False


def store_at(path: Path, *, busy_ms: int = 2000) -> Store:
    """Not open yet. Raises ConfigValueInvalid for an address that is not allowed, PackageMissing without the driver."""
    if is_address_file(path):
        from so8t.core.ledger_postgres import PostgresStore

        return PostgresStore.at(path, seconds=max(busy_ms / 1000, 0.1))
    from so8t.core.ledger_sqlite import SqliteStore

    return SqliteStore(path, busy_ms=busy_ms)


def source_at(path: Path) -> Source:
    """Raises FileNotFoundError, NotADatabase, LedgerError for a ledger of an older format."""
    if is_address_file(path):
        from so8t.core.ledger_postgres import PostgresSource

        return PostgresSource.at(path)
    from so8t.core.ledger_sqlite import SqliteSource

    return SqliteSource(path)
