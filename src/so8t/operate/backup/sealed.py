"""One backup file: a header anybody may read, then AES-256-GCM in chunks that cannot be cut, moved or doubled.

    b"so8t backup 1\\n" || header (one line of JSON) || HMAC-SHA-256 of all before (32 bytes) || chunks

Each chunk is 1 MiB of plaintext (the last one shorter) and its 16-byte tag. STREAM (Hoang, Reyhanitabar, Rogaway,
Vizár, CRYPTO 2015): the nonce is the chunk's number (11 bytes, big endian) and one byte that is 1 for the last chunk
only. The key is of this file alone, by HKDF over the lock's secret (locks.py), with the header in its salt: a changed
header is another key. At most MAX_CHUNKS chunks, far below what one key bears (NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from so8t.core.errors import BackupBroken, BackupKeyWrong
from so8t.core.types import canonical_json
from so8t.operate.backup.locks import Lock, Opener

MAGIC = b"so8t backup 1\n"
CHUNK, TAG, MAC = 1 << 20, 16, 32
MAX_HEADER_BYTES = 4096
MAX_CHUNKS = 1 << 30  # a pebibyte


class SealedWriter:
    """Bytes in, chunks out. Without `close` the file has no last chunk, and no reader takes it for whole."""

    def __init__(self, out: BinaryIO, lock: Lock, facts: dict[str, Any]) -> None:
        stated, secret = lock.close()
        header = MAGIC + canonical_json(facts | {"lock": stated}).encode() + b"\n"
        out.write(header + _mac(secret, header))
        self._out, self._aead, self._number = out, AESGCM(_derived(secret, header, b"chunks")), 0
        self._held = bytearray()

    def write(self, data: bytes) -> None:
        self._held += data
        while len(self._held) > CHUNK:  # a full one is held back: it may be the last
            self._emit(bytes(self._held[:CHUNK]), last=False)
            del self._held[:CHUNK]

    def close(self) -> None:
        self._emit(bytes(self._held), last=True)
        self._held.clear()

    def _emit(self, chunk: bytes, *, last: bool) -> None:
        self._out.write(self._aead.encrypt(_nonce(self._number, last), chunk, None))
        self._number += 1


class SealedReader:
    """What a SealedWriter wrote, or BackupBroken; no byte is given out that was not authenticated.

    `header` is what anybody can read, as it was authenticated by the secret. `advanced` hears of the bytes read.
    """

    def __init__(self, path: Path, source: BinaryIO, opener: Opener, advanced: Callable[[int], None]) -> None:
        self._path, self._source, self._advanced = path, source, advanced
        raw, self.header = read_header(path, source)
        try:
            secret = opener.open(self.header["lock"])
        except (BackupBroken, BackupKeyWrong) as error:
            raise type(error)(where=path, detail=error.detail) from None
        if not hmac.compare_digest(source.read(MAC), _mac(secret, raw)):
            raise BackupKeyWrong(where=path, detail="or its header was changed")
        self._aead, self._number, self._last = AESGCM(_derived(secret, raw, b"chunks")), 0, False
        self._held, self._at = b"", 0
        self._ahead = source.read(CHUNK + TAG)

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none only at the end."""
        if self._at == len(self._held) and not self._last:
            self._next()
        piece = self._held[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def _next(self) -> None:
        chunk, self._ahead = self._ahead, self._source.read(CHUNK + TAG)
        self._last = not self._ahead
        if self._number >= MAX_CHUNKS:
            raise BackupBroken(where=self._path, detail="too many chunks")
        try:
            self._held = self._aead.decrypt(_nonce(self._number, self._last), chunk, None)
            if not self._held and self._number:
                raise ValueError("only a file of nothing has an empty chunk")
        except (InvalidTag, ValueError):
            raise BackupBroken(where=self._path, detail=f"chunk {self._number}") from None
        self._number, self._at = self._number + 1, 0
        self._advanced(len(chunk))


def read_header(path: Path, source: BinaryIO) -> tuple[bytes, dict[str, Any]]:
    """(its bytes, what it says), not authenticated. Raises BackupBroken for what is no backup of ours."""
    if source.read(len(MAGIC)) != MAGIC:
        raise BackupBroken(where=path, detail="not a so8t backup of version 1")
    line = source.readline(MAX_HEADER_BYTES)
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not line.endswith(b"\n") or not isinstance(header, dict) or not isinstance(header.get("lock"), dict):
        raise BackupBroken(where=path, detail="header")
    return MAGIC + line, header


def _derived(secret: bytes, header: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, sha256(header).digest(), b"so8t backup 1 " + purpose).derive(secret)


def _mac(secret: bytes, header: bytes) -> bytes:
    return hmac.digest(_derived(secret, header, b"header"), header, "sha256")


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
