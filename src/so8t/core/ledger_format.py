"""What is hashed and signed: the bytes of an entry, and the signed head in `ledger.anchor`. No storage here.

One entry is one line of canonical JSON (types.canonical_json), its keys in this order:

    actor, content, data, decision, kind, request_id, seq, signed, time

`content` names each erasable text with SHA-256(salt || text) (sealing.py); `data` is what the caller gave; `signed` is
the signature of the entry before, so that past signatures lie in the chain too. hash = SHA-256(prev || body), and the
first prev is SHA-256(MAGIC || ledger id). The last entry of every commit carries the gateway's signature of its own
hash: whatever a crash leaves behind in the database is signed, even when the anchor beside it is older.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from so8t.core import signing
from so8t.core.errors import RecordInvalid
from so8t.core.files import parse_json_line
from so8t.core.types import canonical_json

MAGIC = b"so8t ledger 2"
# answer: a streamed answer came to its end (data.decision_seq is its decision). access: logins, users, keys.
# finding: what the host monitor saw.
KINDS = frozenset({"open", "decision", "answer", "review", "policy", "bundle", "access", "error", "note", "finding"})
ANCHOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry that is durable. `hash` is the ledger's head right after it."""

    seq: int
    time: str
    kind: str
    hash: bytes

    @property
    def head(self) -> str:
        return self.hash.hex()


@dataclass(frozen=True, slots=True)
class Anchor:
    """A signed head: this ledger had this hash at this entry. `time` is that entry's own time (UTC)."""

    ledger_id: str
    seq: int
    head: str
    time: str
    signature: str = ""

    @property
    def message(self) -> bytes:
        """The signed bytes; MAGIC keeps them apart from all else the key may sign."""
        fields = {"head": self.head, "ledger_id": self.ledger_id, "seq": self.seq, "time": self.time}
        return MAGIC + canonical_json(fields).encode()

    def signed_with(self, key: Ed25519PrivateKey) -> Anchor:
        return Anchor(self.ledger_id, self.seq, self.head, self.time, signing.sign(key, self.message))

    def is_signed(self, key: Ed25519PublicKey) -> bool:
        return signing.is_signed(key, self.message, self.signature)

    def to_bytes(self) -> bytes:
        """One JSON line of exactly ANCHOR_BYTES bytes, so that it can be overwritten in place."""
        fields = {name: getattr(self, name) for name in ("ledger_id", "seq", "head", "time", "signature")}
        return canonical_json(fields).encode().ljust(ANCHOR_BYTES - 1) + b"\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises FileNotFoundError, or RecordInvalid for anything that is no anchor."""
        try:
            fields = parse_json_line(path.read_bytes()[: 2 * ANCHOR_BYTES].decode("ascii"), str(path))
            anchor = cls(**fields)
        except (UnicodeDecodeError, TypeError) as error:
            raise RecordInvalid(where=path, detail="not an anchor") from error
        texts = (anchor.ledger_id, anchor.head, anchor.time, anchor.signature)
        if type(anchor.seq) is not int or not all(isinstance(text, str) and text.isascii() for text in texts):
            raise RecordInvalid(where=path, detail="not an anchor")
        return anchor


def utc(moment: datetime) -> str:
    """A time as the ledger writes it: all of one length, so that texts compare as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def genesis(ledger_id: str) -> bytes:
    """The `prev` of the first entry."""
    return hashlib.sha256(MAGIC + ledger_id.encode()).digest()


def quote(value: str | None) -> str:
    """A JSON string as canonical_json writes it, or null. Raises TypeError for any other type."""
    return "null" if value is None else encode_basestring(value)


def body_front(actor: str | None, content: Mapping[str, str]) -> str:
    """The body up to `data`."""
    named = ",".join(f"{quote(name)}:{quote(content[name])}" for name in sorted(content))
    return f'{{"actor":{quote(actor)},"content":{{{named}}},"data":'


def body_columns(decision: str | None, kind: str, request_id: str | None) -> str:
    """The body between `data` and `seq`."""
    return f',"decision":{quote(decision)},"kind":{quote(kind)},"request_id":{quote(request_id)}'


def body_back(seq: int, signed: str | None, time: str) -> str:
    """The rest of the body, known only to the writer."""
    return f',"seq":{seq},"signed":{quote(signed)},"time":{quote(time)}}}'


def anchor_path_of(path: Path) -> Path:
    return path.with_suffix(".anchor")
