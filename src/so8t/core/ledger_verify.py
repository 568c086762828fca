"""Was anything in the ledger edited, inserted, reordered, cut off, rolled back or swapped? Offline, read-only.

The chain shows edits inside; the anchor (a signed head kept outside the database) shows a cut end and a chain that was
computed anew; a head noted elsewhere (`expected`) shows a database and anchor that were rolled back together.
"""

from __future__ import annotations

import hashlib
import json
import time as clock
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from so8t.core.errors import RecordInvalid
from so8t.core.ledger_format import (
    SCHEMA,
    Anchor,
    anchor_path_of,
    body_front,
    genesis,
    has_wal,
    open_readonly,
    quote,
    text_hash,
)

MAX_PROBLEMS = 100
_FIRST = -(1 << 63)
_BREAKS = frozenset({"missing", "order", "chain", "hash"})
_ENTRIES = (
    "SELECT seq, time, kind, decision, request_id, actor, body, prev, hash, signature FROM entries "
    "WHERE seq >= ? AND seq <= ? ORDER BY seq"
)
# As bytes: a text that is no longer UTF-8 must fail its hash, not the reading of it.
_TEXTS = (
    "SELECT seq, CAST(name AS BLOB), salt, CAST(text AS BLOB) FROM texts WHERE seq >= ? AND seq <= ? ORDER BY seq, name"
)

MESSAGES = {
    "missing_file": ("台帳のファイルがありません", "there is no ledger file"),
    "not_a_ledger": ("台帳のデータベースではありません", "this is no ledger database"),
    "schema": ("表・ビュー・トリガーが台帳のものと違います", "tables, views or triggers are not the ledger's"),
    "unreadable": ("ページが壊れて読めません", "a page is damaged and cannot be read"),
    "missing": ("記録が抜けています", "entries are missing"),
    "order": ("あるはずのない番号です", "an entry has a number it cannot have"),
    "chain": ("前の記録とつながりません", "the entry does not follow the one before"),
    "hash": ("本文かハッシュが書き換えられています", "the body or its hash was changed"),
    "body": ("本文が台帳の書式ではありません", "the body is not as the ledger writes it"),
    "column": ("検索用の列が本文と違います", "a searchable column differs from the body"),
    "signature": ("記録の署名が正しくありません", "the entry's signature is not valid"),
    "text": ("保存された文がハッシュと違います", "a stored text does not match its hash"),
    "text_missing": ("消去の記録なしに文が消えています", "a text is gone without an erase entry"),
    "text_kept": ("消去したはずの文が残っています", "a text that was erased is there"),
    "other_ledger": ("錨は別の台帳のものです", "the anchor is of another ledger"),
    "anchor_missing": ("錨がありません", "the anchor is missing"),
    "anchor_broken": ("錨が読めません", "the anchor cannot be read"),
    "anchor_signature": ("錨の署名を信頼できません", "the anchor's signature is not trusted"),
    "cut": ("末尾が切られたか、古い写しに戻されています", "the end was cut off, or an older copy was put back"),
    "head": (
        "錨の示す最新ハッシュと違います(連鎖が作り直されています)",
        "differs from the anchored head: the chain was redone",
    ),
    "unanchored": ("錨の後の記録があります", "entries after the anchor"),
    "expected": ("控えた最新ハッシュと違います", "differs from the head noted elsewhere"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding; `seq` is the first entry it concerns."""

    seq: int
    kind: str
    ja: str
    en: str


@dataclass(frozen=True, slots=True)
class Report:
    """What verify found. `erased` counts texts destroyed on record; `signed` is False when no key was given."""

    ok: bool
    entries: int
    first_bad: int | None
    problems: tuple[Problem, ...]
    head: str
    anchored_seq: int | None
    erased: int
    signed: bool
    seconds: float
    ledger_id: str = ""

    def to_json(self) -> dict[str, Any]:
        problems = [{"seq": p.seq, "kind": p.kind, "ja": p.ja, "en": p.en} for p in self.problems]
        names = ("ok", "entries", "first_bad", "head", "anchored_seq", "erased", "signed", "ledger_id")
        return {name: getattr(self, name) for name in names} | {"problems": problems, "seconds": round(self.seconds, 3)}


def verify(
    path: Path,
    anchor_path: Path | None = None,
    public_key: Ed25519PublicKey | None = None,
    *,
    expected: tuple[int, str] | None = None,
) -> Report:
    """Check every stored byte against the chain, the anchor and, when given, a (seq, head) noted elsewhere.

    Never writes and never raises for what is in the files. Without a key the anchor's signature is not checked.
    """
    begin = clock.perf_counter()
    for _ in range(3):
        before = has_wal(path)
        check = _Check(path, anchor_path or anchor_path_of(path), public_key, expected)
        check.run()
        # A gateway that started or stopped meanwhile may have changed the file under us: look again.
        if not check.problems or before == has_wal(path):
            break
    return check.report(clock.perf_counter() - begin)


@dataclass(slots=True)
class _Check:
    """One pass over the entries, and what the anchor is compared with afterwards."""

    path: Path
    anchor_path: Path
    key: Ed25519PublicKey | None
    expected: tuple[int, str] | None
    problems: list[Problem] = field(default_factory=list)
    anchor: Anchor | None = None
    ledger_id: str = ""
    entries: int = 0
    seq: int = 0
    head: bytes = b""
    time: str = ""
    signature: str | None = None
    heads: dict[int, bytes] = field(default_factory=dict)
    absent: dict[int, int] = field(default_factory=dict)
    erased: set[int] = field(default_factory=set)

    def report(self, seconds: float) -> Report:
        found = tuple(sorted(self.problems, key=lambda p: p.seq))
        erased = sum(count for seq, count in self.absent.items() if seq in self.erased)
        return Report(
            not found, self.entries, found[0].seq if found else None, found[:MAX_PROBLEMS], self.head.hex(),
            self.anchor.seq if self.anchor else None, erased, self.key is not None, seconds, self.ledger_id,
        )  # fmt: skip

    def add(self, seq: int, kind: str, detail: str = "") -> None:
        ja, en = MESSAGES[kind]
        # Beyond the cap only a smaller number still matters: it would be the first bad entry.
        if len(self.problems) < MAX_PROBLEMS or seq < min(p.seq for p in self.problems):
            self.problems.append(
                Problem(seq, kind, f"{ja}{f' ({detail})' if detail else ''}", f"{en} {detail}".strip())
            )

    def run(self) -> None:
        self.anchor = self._read_anchor()
        if not self.path.is_file():
            self.add(1, "missing_file", self.path.name)
            return
        try:
            db = open_readonly(self.path)
            try:
                self._check_all(db)
            finally:
                db.close(True)
        except (apsw.NotADBError, apsw.SQLError) as error:
            self.add(1, "not_a_ledger", type(error).__name__)
        except (apsw.Error, OSError) as error:
            self.add(self.seq + 1, "unreadable", type(error).__name__)

    def _read_anchor(self) -> Anchor | None:
        """Read again a few times before judging: the gateway may be rewriting it at this moment."""
        problem = ""
        for attempt in range(4):
            clock.sleep(0.005 * attempt)
            try:
                anchor = Anchor.read(self.anchor_path)
            except (RecordInvalid, OSError) as error:
                problem = "anchor_missing" if isinstance(error, FileNotFoundError) else "anchor_broken"
                continue
            if self.key is None or anchor.is_signed(self.key):
                return anchor
            problem = "anchor_signature"
        self.add(1, problem, self.anchor_path.name)
        return None

    def _check_all(self, db: apsw.Connection) -> None:
        db.execute("BEGIN")
        if not self._check_schema(db):
            return
        self._start(db)
        self._walk(db, _FIRST, (1 << 63) - 1)
        if self.anchor and self.seq > self.anchor.seq and has_wal(self.path):
            self._catch_up(db)
        self._check_texts_gone(db)
        self._check_anchor(db)
        self._check_expected()

    def _check_schema(self, db: apsw.Connection) -> bool:
        stored = dict(db.execute("SELECT name, sql FROM sqlite_schema"))
        if "entries" not in stored or "texts" not in stored:
            self.add(1, "not_a_ledger", self.path.name)
            return False
        for name in sorted({*stored, *SCHEMA}):
            if stored.get(name) != SCHEMA.get(name):
                self.add(1, "schema", name)
        return all(stored.get(name) == SCHEMA[name] for name in ("entries", "texts"))

    def _start(self, db: apsw.Connection) -> None:
        """The chain begins at the id that the first entry states; the anchor must state the same."""
        for (body,) in db.execute("SELECT body FROM entries WHERE seq = 1"):
            found = _parse(body).get("data")
            stated = found.get("ledger_id") if isinstance(found, dict) else None
            self.ledger_id = stated if isinstance(stated, str) and stated.isascii() else ""
        self.head = genesis(self.ledger_id)
        self.heads = {0: self.head} | {seq: b"" for seq in self._wanted()}

    def _wanted(self) -> set[int]:
        return {a[0] for a in ((self.anchor.seq, "") if self.anchor else None, self.expected) if a} - {0}

    def _walk(self, db: apsw.Connection, first: int, last: int) -> None:
        """Check the entries from `first` on; a row that cannot even be decoded is named and stepped over."""
        while True:
            try:
                self._walk_rows(db, first, last)
                return
            except UnicodeDecodeError:
                self.add(self.seq + 1, "column", "UTF-8")
                self.seq, self.entries, first = self.seq + 1, self.entries + 1, self.seq + 2
                stored = db.execute("SELECT hash FROM entries WHERE seq = ?", (self.seq,)).get
                self.head, self.signature = stored if isinstance(stored, bytes) else b"", None

    def _walk_rows(self, db: apsw.Connection, first: int, last: int) -> None:
        """The hot loop (3 us an entry): one comparison when all is well, a diagnosis when not.

        The columns are not parsed out of the body: the body must begin and end with what they say, which in JSON with
        its quotes escaped only one set of values can.
        """
        sha256, heads, quoted, fronts = hashlib.sha256, self.heads, _Quoted(), _Fronts()
        texts = _TextRows(db, first, last)
        for row in db.execute(_ENTRIES, (first, last)):
            seq, time, kind, decision, request_id, actor, body, prev, digest, signature = row
            own = texts.of(seq) if texts.next_seq <= seq else None
            try:
                front = fronts[actor] if own is None else _front_of(actor, own)
                back = (
                    f',"decision":{quoted[decision]},"kind":{quoted[kind]},"request_id":{quote(request_id)}'
                    f',"seq":{seq},"signed":{quote(self.signature)},"time":{quote(time)}}}'
                )
                intact = (
                    prev == self.head
                    and sha256(prev + body).digest() == digest
                    and seq == self.seq + 1
                    and body.endswith(back.encode())
                    and body.startswith(front)
                )
            except (TypeError, AttributeError, UnicodeEncodeError):
                intact = False
            if not intact:
                self._diagnose(row, own or {})
                digest = digest if isinstance(digest, bytes) else b""
            if kind == "note":
                self._note_erasure(body)
            self.seq, self.head, self.time, self.signature = seq, digest, time, signature
            self.entries += 1
            if seq in heads:
                heads[seq] = digest
        for orphan in texts.orphans_after(last):
            self.add(orphan, "text", "no such entry")

    def _diagnose(self, row: tuple[Any, ...], own: dict[str, tuple[Any, Any]]) -> None:
        """Name what is wrong with a row. An entry whose texts were erased comes here too, with nothing wrong."""
        seq, time, kind, decision, request_id, actor, body, prev, digest, _ = row
        before = len(self.problems)
        if seq != self.seq + 1:
            self.add(*((self.seq + 1, "missing", f"{self.seq + 1}-{seq - 1}") if seq > self.seq else (seq, "order")))
        elif prev != self.head:
            self.add(seq, "chain")
        if (
            not all(isinstance(v, bytes) for v in (body, prev, digest))
            or hashlib.sha256(prev + body).digest() != digest
        ):
            self.add(seq, "hash")
        said = _parse(body)
        columns = {"seq": seq, "time": time, "kind": kind, "decision": decision}
        for name, value in (columns | {"request_id": request_id, "actor": actor}).items():
            if said.get(name, ...) != value:
                self.add(seq, "column", name)
        if len(self.problems) == before and said.get("signed") != self.signature:
            # Either this entry was made up, or the signature beside the one before was changed: the key can tell.
            forged = self.key is not None and not self._signs_head(str(said.get("signed")), self.key)
            self.add(seq if forged else seq - 1, "signature")
        self._diagnose_texts(seq, said.get("content"), own)
        if len(self.problems) == before and seq not in self.absent:
            self.add(seq, "body")

    def _diagnose_texts(self, seq: int, content: object, own: dict[str, tuple[Any, Any]]) -> None:
        stated = content if isinstance(content, dict) else {}
        for name, (salt, text) in own.items():
            if not isinstance(salt, bytes) or text_hash(salt, text) != stated.get(name):
                self.add(seq, "text", name)
        gone = len(stated.keys() - own.keys())
        if gone:
            self.absent[seq] = gone

    def _signs_head(self, signature: str, key: Ed25519PublicKey) -> bool:
        """Whether a signature is the gateway's for the entry read last."""
        return Anchor(self.ledger_id, self.seq, self.head.hex(), str(self.time), signature).is_signed(key)

    def _note_erasure(self, body: object) -> None:
        data = _parse(body).get("data")
        if isinstance(data, dict) and data.get("event") == "erased" and isinstance(data.get("seq"), int):
            self.erased.add(data["seq"])

    def _check_texts_gone(self, db: apsw.Connection) -> None:
        for seq in sorted(self.absent.keys() - self.erased):
            self.add(seq, "text_missing")
        for seq in sorted(self.erased - self.absent.keys()):
            if db.execute("SELECT 1 FROM texts WHERE seq = ?", (seq,)).get:
                self.add(seq, "text_kept")

    def _catch_up(self, db: apsw.Connection) -> None:
        """A ledger in use: the commit we read last may be anchored by now; read on to where the anchor is."""
        for attempt in range(10):
            clock.sleep(0.005 * attempt)
            self.anchor = self._read_anchor()
            if self.anchor is None or self.anchor.seq >= self.seq:
                break
        if self.anchor is None:
            return
        self.heads |= {seq: b"" for seq in self._wanted() if seq > self.seq}
        self.heads[self.seq] = self.head
        if self.anchor.seq > self.seq:
            db.execute("COMMIT")
            db.execute("BEGIN")
            self._walk(db, self.seq + 1, self.anchor.seq)

    def _check_anchor(self, db: apsw.Connection) -> None:
        anchor = self.anchor
        if anchor is None:
            return
        if self.entries and anchor.ledger_id != self.ledger_id:
            self.add(1, "other_ledger", f"{anchor.ledger_id} / {self.ledger_id}")
            return
        if anchor.seq > self.seq:
            self.add(self.seq + 1, "cut", f"{self.seq + 1}-{anchor.seq}")
        elif self.heads.get(anchor.seq, b"").hex() != anchor.head:
            self.add(self._first_redone(db, anchor.seq), "head", f"seq {anchor.seq}")
        if self.seq > anchor.seq:
            self.add(anchor.seq + 1, "unanchored", f"{anchor.seq + 1}-{self.seq}")
            if self.key and not self._signs_head(str(self.signature), self.key):
                self.add(self.seq, "signature")
        elif self.seq == anchor.seq > 0 and self.signature != anchor.signature:
            self.add(self.seq, "signature")

    def _first_redone(self, db: apsw.Connection, last: int) -> int:
        """Where a recomputed chain begins: after the last entry whose signature still fits its hash.

        Everything after the edit has another hash, so the signatures are good up to one point and bad from there.
        A break of the chain within that commit is the exact place. Without a key nothing can be said but that it lies
        at or before the anchor.
        """
        if self.key is None:
            return last
        signed = [s for (s,) in db.execute("SELECT seq FROM entries WHERE signature NOT NULL AND seq <= ?", (last,))]
        low, high = 0, len(signed)
        while low < high:
            middle = (low + high) // 2
            if self._is_signed(db, signed[middle]):
                low = middle + 1
            else:
                high = middle
        good, bad = signed[low - 1] if low else 0, signed[low] if low < len(signed) else last
        breaks = [p.seq for p in self.problems if p.kind in _BREAKS and good < p.seq <= bad]
        return min(breaks, default=min(good + 1, last))

    def _is_signed(self, db: apsw.Connection, seq: int) -> bool:
        row = db.execute("SELECT hash, time, signature FROM entries WHERE seq = ?", (seq,)).get
        digest, time, signature = row
        if not isinstance(digest, bytes) or self.key is None:
            return False
        return Anchor(self.ledger_id, seq, digest.hex(), str(time), str(signature)).is_signed(self.key)

    def _check_expected(self) -> None:
        if self.expected is None:
            return
        seq, head = self.expected
        if self.heads.get(seq, b"").hex() != head.lower():
            self.add(min(seq, self.seq + 1), "expected", f"seq {seq}")


class _TextRows:
    """The texts table read alongside the entries, both in order of seq."""

    def __init__(self, db: apsw.Connection, first: int, last: int) -> None:
        self._rows: Iterator[tuple[Any, ...]] = iter(db.execute(_TEXTS, (first, last)))
        self._orphans: list[int] = []
        self._next: tuple[Any, ...] | None = None
        self.next_seq: float = 0
        self._advance()

    def _advance(self) -> None:
        self._next = next(self._rows, None)
        self.next_seq = float("inf") if self._next is None else self._next[0]

    def of(self, seq: int) -> dict[str, tuple[Any, Any]]:
        """name -> (salt, text) of one entry; rows of no entry are set aside as orphans."""
        own: dict[str, tuple[Any, Any]] = {}
        while self._next is not None and self.next_seq <= seq:
            number, name, salt, text = self._next
            if number == seq:
                own[bytes(name).decode("utf-8", "replace")] = (salt, text)
            else:
                self._orphans.append(int(number))
            self._advance()
        return own

    def orphans_after(self, seq: int) -> list[int]:
        """Rows that belonged to no entry, once the entries are read."""
        self.of(seq + 1)
        return self._orphans


class _Quoted(dict[str | None, str]):
    """JSON strings of the few values that repeat."""

    def __missing__(self, value: str | None) -> str:
        self[value] = quote(value)
        return self[value]


class _Fronts(dict[str | None, bytes]):
    """How the body of an entry without texts begins, by actor."""

    def __missing__(self, actor: str | None) -> bytes:
        self[actor] = body_front(actor, {}).encode()
        return self[actor]


def _front_of(actor: str | None, own: dict[str, tuple[Any, Any]]) -> bytes:
    return body_front(actor, {name: text_hash(salt, text) for name, (salt, text) in own.items()}).encode()


def _parse(body: object) -> dict[str, Any]:
    """The body as an object; empty for anything else."""
    try:
        value = json.loads(body) if isinstance(body, bytes) else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
