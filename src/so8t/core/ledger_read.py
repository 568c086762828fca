"""Reading a ledger, beside its writer or without one. Nothing here checks the chain: ledger_verify.py does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TextIO, TypedDict, Unpack

from so8t.core.errors import LedgerBroken, RecordInvalid, SourceMissing, TextKeyWrong
from so8t.core.ledger_format import Anchor, utc
from so8t.core.ledger_store import NotADatabase, Source, is_address_file, source_at
from so8t.core.sealing import TextKey

MAX_LIMIT = 10_000
_SEQS = 500  # a query
_STORED = "seq, time, kind, decision, request_id, actor, body, hash"


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as it lies in the ledger. `content` names its texts with their salted hashes; `head` is its hash."""

    seq: int
    time: str
    kind: str
    decision: str | None
    request_id: str | None
    actor: str | None
    data: Mapping[str, Any]
    content: Mapping[str, str]
    head: str


class Filters(TypedDict, total=False):
    """Which entries: after < seq < before, since <= time < until (ISO 8601 with offset), the others equal."""

    after: int
    before: int | None
    kinds: Iterable[str]
    decision: str | None
    actor: str | None
    request_id: str | None
    since: datetime | str | None
    until: datetime | str | None


class LedgerReader:
    """Queries for the queue, the console and reports. Safe to call from several threads; never blocks the writer.

    A path is read as it is at each call, a Source as its snapshot stands. Raises SourceMissing, LedgerBroken for what
    cannot be read, LedgerUnavailable when the server does not answer.
    """

    def __init__(self, path_or_source: Path | Source, text_key: TextKey | None = None) -> None:
        self._where, self._text_key, self._lock = path_or_source, text_key, threading.Lock()
        self._kept = None if isinstance(path_or_source, Path) else path_or_source
        self._key_id: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give a server's connection back; the next query opens another."""
        with self._lock:
            if self._kept is not None:
                self._kept.close()
            self._kept = None

    def entries(self, *, limit: int = 1000, newest_first: bool = False, **filters: Unpack[Filters]) -> list[Stored]:
        """At most `limit` (1..10000) entries. Raises RecordInvalid for another limit or a time without offset."""
        if not 1 <= limit <= MAX_LIMIT:
            raise RecordInvalid(where="ledger", detail=f"limit {limit}")
        where, values = _conditions(**filters)
        order = "DESC" if newest_first else "ASC"
        sql = f"SELECT {_STORED} FROM entries WHERE {where} ORDER BY seq {order} LIMIT ?"
        return [_stored(row) for row in self._select(sql, *values, limit)]

    def count(self, **filters: Unpack[Filters]) -> int:
        """How many entries there are."""
        where, values = _conditions(**filters)
        ((number,),) = self._select(f"SELECT count(*) FROM entries WHERE {where}", *values)
        return int(number)

    def entry(self, seq: int) -> Stored | None:
        found = self._select(f"SELECT {_STORED} FROM entries WHERE seq = ?", seq)
        return _stored(found[0]) if found else None

    def texts(self, seq: int) -> dict[str, str]:
        """name -> text of one entry; those erased are absent. Raises TextKeyWrong, LedgerBroken for a moved text."""
        stored = self.entry(seq)
        return self.texts_of([stored]).get(seq, {}) if stored else {}

    def texts_of(self, entries: Iterable[Stored], names: Iterable[str] = ()) -> dict[int, dict[str, str]]:
        """seq -> name -> text of entries read before, only of these names if any are given."""
        stated = {e.seq: e.content for e in entries if e.content}
        if not stated:
            return {}
        key, wanted, opened = self._key(), set(names), dict[int, dict[str, str]]()
        asked = list(stated)
        for start in range(0, len(asked), _SEQS):
            seqs = asked[start : start + _SEQS]
            marks = ", ".join("?" * len(seqs))
            for seq, name, sealed in self._select(f"SELECT seq, name, sealed FROM texts WHERE seq IN ({marks})", *seqs):
                if not wanted or name in wanted:
                    opened.setdefault(seq, {})[name] = _open(key, sealed, stated[seq].get(name), seq)
        return opened

    @property
    def heads(self) -> list[Anchor]:
        """The newest signed heads in the database, newest first, at most 100: one a commit."""
        query = "SELECT seq, hash, time, signature FROM entries WHERE signature IS NOT NULL ORDER BY seq DESC LIMIT 100"
        name = str(self._opening().get("ledger_id", ""))
        return [Anchor(name, seq, digest.hex(), time, signed) for seq, digest, time, signed in self._select(query)]

    def _opening(self) -> Mapping[str, Any]:
        first = self.entry(1)
        return first.data if first else {}

    def _key(self) -> TextKey:
        """The text key, once it is known to be this ledger's."""
        if self._text_key is None:
            raise TextKeyWrong(where="ledger", detail="no key given")
        if self._key_id is None:
            self._key_id = str(self._opening().get("text_key"))
        if self._key_id != self._text_key.id:
            raise TextKeyWrong(where=self._where if isinstance(self._where, Path) else "ledger")
        return self._text_key

    def _select(self, sql: str, *values: object) -> list[Any]:
        """One short snapshot. A file is opened anew each time: a reader that stays holds the writer's log back."""
        if self._kept is None and isinstance(self._where, Path) and not is_address_file(self._where):
            with reading(self._where) as source:
                return source.select(sql, *values)
        with self._lock:
            if self._kept is None:
                assert isinstance(self._where, Path)
                self._kept = source_at(self._where)
            return self._kept.select(sql, *values)


def _conditions(
    after: int = 0,
    before: int | None = None,
    kinds: Iterable[str] = (),
    decision: str | None = None,
    actor: str | None = None,
    request_id: str | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
) -> tuple[str, list[object]]:
    """SQL and the values bound to it."""
    named = tuple(kinds)
    asked: list[tuple[str, object]] = [
        ("seq > ?", after), ("seq < ?", before), ("decision = ?", decision), ("actor = ?", actor),
        ("request_id = ?", request_id), ("time >= ?", _utc(since)), ("time < ?", _utc(until)),
    ]  # fmt: skip
    given = [(sql, value) for sql, value in asked if value is not None]
    parts, values = [sql for sql, _ in given], [value for _, value in given]
    if named:
        parts.append(f"kind IN ({', '.join('?' * len(named))})")
    return " AND ".join(parts), [*values, *named]


def _utc(time: datetime | str | None) -> str | None:
    """As the ledger writes it, so that texts compare as times. Raises RecordInvalid."""
    if time is None:
        return None
    try:
        moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError as error:
        raise RecordInvalid(where="ledger", detail=f"time {time!r:.60}") from error
    if moment.tzinfo is None:
        raise RecordInvalid(where="ledger", detail=f"time without offset {time!r:.60}")
    return utc(moment)


def _stored(row: tuple[Any, ...]) -> Stored:
    seq, time, kind, decision, request_id, actor, body, digest = row
    try:
        said = json.loads(body)
        return Stored(seq, time, kind, decision, request_id, actor, said["data"], said["content"], digest.hex())
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise LedgerBroken(where="ledger", detail=f"seq {seq}: {type(error).__name__}") from error


def _open(key: TextKey, sealed: object, digest: str | None, seq: int) -> str:
    text = key.open(sealed, bytes.fromhex(digest)) if isinstance(sealed, bytes) and digest else None
    if text is None:
        raise LedgerBroken(where="ledger", detail=f"seq {seq}: a stored text does not match its hash")
    return text.decode()


@contextmanager
def reading(path: Path) -> Iterator[Source]:
    """A ledger to read. Raises SourceMissing, and LedgerBroken for what cannot be read."""
    try:
        source = source_at(path)
    except FileNotFoundError:
        raise SourceMissing(where=path) from None
    except NotADatabase as error:
        raise LedgerBroken(where=path, detail=str(error)) from error
    damage: tuple[type[Exception], ...] = (*source.damage, UnicodeDecodeError)
    try:
        yield source
    except damage as error:
        raise LedgerBroken(where=path, detail=f"{type(error).__name__}: {error}") from error
    finally:
        source.close()


def tail(path: Path, n: int) -> list[dict[str, Any]]:
    """The last n bodies with their hash, oldest first. Raises SourceMissing, LedgerBroken."""
    with reading(path) as source:
        rows = source.select("SELECT body, hash FROM entries ORDER BY seq DESC LIMIT ?", n)
    return [json.loads(body) | {"hash": digest.hex()} for body, digest in reversed(rows)]


def count_by_decision(path: Path) -> dict[str, int]:
    """How many entries of kind decision came to each outcome."""
    with reading(path) as source:
        return dict(source.select("SELECT decision, count(*) FROM entries WHERE kind = 'decision' GROUP BY decision"))


def export(path: Path, out: TextIO, first: int = 1, last: int = (1 << 63) - 1) -> int:
    """Every body as it was hashed, one JSON line each, with its hash; returns how many. Erasable text is left out.

    sha256(previous hash + the bytes of "body") is the hash, so the lines can be checked without the database.
    """
    count = 0
    with reading(path) as source:
        for row in source.entries(first, last):
            out.write(line_of(row[6], row[8]))
            count += 1
    return count


def line_of(body: bytes, digest: bytes) -> str:
    """One exported line."""
    return f'{{"body":{body.decode()},"hash":"{digest.hex()}"}}\n'
