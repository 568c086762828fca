"""Walking the chain: every stored byte of every entry and text against its hash, its columns and the entry before."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from so8t.core.ledger_format import Anchor, body_front, genesis, quote
from so8t.core.ledger_report import Findings
from so8t.core.ledger_store import Source
from so8t.core.sealing import TextKey

FIRST, LAST = -(1 << 63), (1 << 63) - 1
_NO_CONTENT = b'},"data":'


@dataclass(slots=True)
class Walk:
    """How far the chain was read, and what was wrong with it. `heads` holds the hashes of the entries asked for."""

    source: Source
    found: Findings
    key: Ed25519PublicKey | None
    text_key: TextKey | None
    ledger_id: str = ""
    entries: int = 0
    seq: int = 0
    head: bytes = b""
    time: str = ""
    signature: str | None = None
    heads: dict[int, bytes] = field(default_factory=dict)
    absent: dict[int, int] = field(default_factory=dict)
    erased: set[int] = field(default_factory=set)
    texts: int = 0

    def start(self, ledger_id: str) -> None:
        """The chain begins at the id that the first entry states."""
        self.ledger_id, self.head = ledger_id, genesis(ledger_id)
        self.heads[0] = self.head

    def go(self, first: int = FIRST, last: int = LAST) -> None:
        """Check the entries from `first` on; a row that cannot even be decoded is named and stepped over."""
        while True:
            try:
                self._rows(first, last)
                return
            except UnicodeDecodeError:
                self.found.add(self.seq + 1, "column", "UTF-8")
                self.seq, self.entries, first = self.seq + 1, self.entries + 1, self.seq + 2
                stored = self.source.select("SELECT hash FROM entries WHERE seq = ?", self.seq)
                self.head = stored[0][0] if stored and isinstance(stored[0][0], bytes) else b""
                self.signature = None

    def signs_head(self, signature: str) -> bool:
        """Whether a signature is the gateway's for the entry read last; False without a key."""
        anchor = Anchor(self.ledger_id, self.seq, self.head.hex(), str(self.time), signature)
        return self.key is not None and anchor.is_signed(self.key)

    def _rows(self, first: int, last: int) -> None:
        """The hot loop: one comparison when all is well, a diagnosis when not.

        The columns are not parsed out of the body: the body must begin and end with what they say, which in JSON with
        its quotes escaped only one set of values can. (A time needs no escaping.)
        """
        blank, quoted, heads, fronts, middles = hashlib.sha256(), encode_basestring, self.heads, _Fronts(), _Middles()
        texts, entries, before = _TextRows(self.source, first, last), 0, self.entries
        seq, head, time, signature = self.seq, self.head, self.time, self.signature
        next_text, signed = texts.next_seq, quote(signature)
        try:
            for row in self.source.entries(first, last):
                number, when, kind, decision, request_id, actor, body, prev, digest, signs = row
                own = None
                if next_text <= number:
                    own, next_text = texts.of(number), texts.next_seq
                    self.texts += len(own)
                try:
                    hashed = blank.copy()
                    hashed.update(prev)
                    hashed.update(body)
                    back = (
                        f"{middles[decision, kind]}{'null' if request_id is None else quoted(request_id)}"
                        f',"seq":{number},"signed":{signed},"time":"{when}"}}'
                    )
                    intact = (
                        hashed.digest() == digest
                        and prev == head
                        and number == seq + 1
                        and body.endswith(back.encode())
                        and (body.startswith(fronts[actor]) if own is None else self._fit(fronts[actor], own, body))
                    )
                except (TypeError, AttributeError, UnicodeEncodeError):
                    intact = False
                if not intact:
                    self.seq, self.head, self.time, self.signature = seq, head, time, signature
                    self._diagnose(row, own or {})
                    digest = digest if isinstance(digest, bytes) else b""
                if kind == "note":
                    self._note_erasure(body)
                seq, head, time, signature = number, digest, when, signs
                signed = "null" if signs is None else quote(str(signs))
                entries += 1
                if number in heads:
                    heads[number] = digest
        finally:
            self.seq, self.head, self.time, self.signature, self.entries = seq, head, time, signature, before + entries
        for orphan in texts.orphans_after(last):
            self.found.add(orphan, "text", "no such entry")

    def _fit(self, front: bytes, own: dict[str, Any], body: bytes) -> bool:
        """The body begins with just these texts' hashes, and with a key each text has its hash."""
        start = front.removesuffix(_NO_CONTENT)
        found = _content_pattern(tuple(own)).match(body, len(start)) if body.startswith(start) else None
        if found is None or self.text_key is None:
            return found is not None
        digests = (bytes.fromhex(digest.decode()) for digest in found.groups())
        return all(self.text_key.open(s, d) is not None for s, d in zip(own.values(), digests, strict=True))

    def _diagnose(self, row: tuple[Any, ...], own: dict[str, Any]) -> None:
        """Name what is wrong with a row. An entry whose texts were erased comes here too, with nothing wrong."""
        seq, time, kind, decision, request_id, actor, body, prev, digest, _ = row
        found, before = self.found, len(self.found)
        if seq != self.seq + 1:
            found.add(*((self.seq + 1, "missing", f"{self.seq + 1}-{seq - 1}") if seq > self.seq else (seq, "order")))
        elif prev != self.head:
            found.add(seq, "chain")
        if (
            not all(isinstance(v, bytes) for v in (body, prev, digest))
            or hashlib.sha256(prev + body).digest() != digest
        ):
            found.add(seq, "hash")
        said = parse(body)
        columns = {"seq": seq, "time": time, "kind": kind, "decision": decision}
        for name, value in (columns | {"request_id": request_id, "actor": actor}).items():
            if said.get(name, ...) != value:
                found.add(seq, "column", name)
        if len(found) == before and said.get("signed") != self.signature:
            # Either this entry was made up, or the signature beside the one before was changed: the key can tell.
            forged = self.key is not None and not self.signs_head(str(said.get("signed")))
            found.add(seq if forged else seq - 1, "signature")
        self._diagnose_texts(seq, said.get("content"), own)
        if len(found) == before and seq not in self.absent:
            found.add(seq, "body")

    def _diagnose_texts(self, seq: int, content: object, own: dict[str, Any]) -> None:
        stated = content if isinstance(content, dict) else {}
        for name, sealed in own.items():
            if name not in stated or (self.text_key and not _opens(self.text_key, sealed, stated[name])):
                self.found.add(seq, "text", name)
        gone = len(stated.keys() - own.keys())
        if gone:
            self.absent[seq] = gone

    def _note_erasure(self, body: object) -> None:
        data = parse(body).get("data")
        if isinstance(data, dict) and data.get("event") == "erased" and isinstance(data.get("seq"), int):
            self.erased.add(data["seq"])


class _TextRows:
    """The texts table read alongside the entries, both in order of seq."""

    def __init__(self, source: Source, first: int, last: int) -> None:
        self._rows: Iterator[tuple[Any, ...]] = source.texts(first, last)
        self._orphans: list[int] = []
        self._next: tuple[Any, ...] | None = None
        self.next_seq: float = 0
        self._advance()

    def _advance(self) -> None:
        self._next = next(self._rows, None)
        self.next_seq = float("inf") if self._next is None else self._next[0]

    def of(self, seq: int) -> dict[str, Any]:
        """name -> sealed of one entry, sorted by name; rows of no entry are set aside as orphans."""
        own: dict[str, Any] = {}
        while self._next is not None and self.next_seq <= seq:
            number, name, sealed = self._next
            if number == seq:
                own[bytes(name).decode("utf-8", "replace")] = sealed
            else:
                self._orphans.append(int(number))
            self._advance()
        return own

    def orphans_after(self, seq: int) -> list[int]:
        """Rows that belonged to no entry, once the entries are read."""
        self.of(seq + 1)
        return self._orphans


class _Middles(dict[tuple[Any, Any], str]):
    """The body between `data` and the request id, of the few values that repeat."""

    def __missing__(self, columns: tuple[Any, Any]) -> str:
        decision, kind = columns
        self[columns] = made = f',"decision":{quote(decision)},"kind":{quote(kind)},"request_id":'
        return made


class _Fronts(dict[Any, bytes]):
    """How the body of an entry without texts begins, by actor."""

    def __missing__(self, actor: Any) -> bytes:
        self[actor] = made = body_front(actor, {}).encode()
        return made


@lru_cache(maxsize=1024)
def _content_pattern(names: tuple[str, ...]) -> re.Pattern[bytes]:
    """What follows the opening brace of `content` in an entry with these texts; one group a hash."""
    stated = ",".join(re.escape(quote(name)) + ':"([0-9a-f]{64})"' for name in names)
    return re.compile((stated + re.escape(_NO_CONTENT.decode())).encode())


def _opens(key: TextKey, sealed: object, digest: object) -> bool:
    if not isinstance(sealed, bytes) or not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        return False
    return key.open(sealed, bytes.fromhex(digest)) is not None


def parse(body: object) -> dict[str, Any]:
    """The body as an object; empty for anything else."""
    try:
        value = json.loads(body) if isinstance(body, bytes) else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
