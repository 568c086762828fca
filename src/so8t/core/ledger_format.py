"""What lies on disk: the tables of `ledger.db`, the bytes that are hashed, and the signed head in `ledger.anchor`.

One entry is one line of canonical JSON (types.canonical_json), its keys in this order:

    actor, content, data, decision, kind, request_id, seq, signed, time

`content` names each erasable text with SHA-256(salt || text); `data` is what the caller gave; `signed` is the
signature of the entry before, so that past signatures lie in the chain too. hash = SHA-256(prev || body), and the
first prev is SHA-256(MAGIC || ledger id). The last entry of every commit carries the gateway's signature of its own
hash: whatever a crash leaves behind in the database is signed, even when the anchor beside it is older.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from pathlib import Path
from typing import Self

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from so8t.core import signing
from so8t.core.errors import RecordInvalid
from so8t.core.files import parse_json_line
from so8t.core.types import canonical_json

MAGIC = b"so8t ledger 1"
KINDS = frozenset({"open", "decision", "review", "policy", "bundle", "error", "note"})
ANCHOR_BYTES = 512
_NONE_VFS = "win32-none" if os.name == "nt" else "unix-none"

# Keyed by name: `verify` compares these with the stored schema, so a trigger or a lying view is found.
SCHEMA = {
    "entries": (
        "CREATE TABLE entries(seq INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, decision TEXT, "
        "request_id TEXT, actor TEXT, body BLOB NOT NULL, prev BLOB NOT NULL, hash BLOB NOT NULL, signature TEXT)"
    ),
    "texts": (
        "CREATE TABLE texts(seq INTEGER NOT NULL, name TEXT NOT NULL, salt BLOB NOT NULL, text TEXT NOT NULL, "
        "PRIMARY KEY(seq, name)) WITHOUT ROWID"
    ),
    "decision_log": (
        "CREATE VIEW decision_log AS SELECT seq, time, decision, request_id, actor, "
        "json_extract(CAST(body AS TEXT), '$.data.confidence') AS confidence, "
        "json_extract(CAST(body AS TEXT), '$.data.domain') AS domain, "
        "json_extract(CAST(body AS TEXT), '$.data.reason') AS reason, "
        "json_extract(CAST(body AS TEXT), '$.data.policy_digest') AS policy_digest, "
        "lower(hex(hash)) AS hash FROM entries WHERE kind = 'decision'"
    ),
}


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


def genesis(ledger_id: str) -> bytes:
    """The `prev` of the first entry."""
    return hashlib.sha256(MAGIC + ledger_id.encode()).digest()


def text_hash(salt: bytes, text: bytes) -> str:
    """The salt makes a guessed text unprovable once salt and text are destroyed. `text` is UTF-8."""
    return hashlib.sha256(salt + text).hexdigest()


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
