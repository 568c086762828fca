"""Texts at rest: AES-256-GCM under one key in a file, apart from the ledger and from the key that signs it.

sealed = nonce (12 bytes) || AES-256-GCM(salt (16 bytes) || text), tag included; the associated data is the SHA-256 of
salt || text that the ledger's entry holds, so a sealed text opens beside its own entry only. The salt lies inside:
without the key nobody can confirm a guessed text. Random nonces are sound for 2^32 texts under one key
(NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import base64
import os
import secrets
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from so8t.core.errors import TextKeyWrong
from so8t.core.files import sync_folder

KEY_BYTES, NONCE_BYTES, SALT_BYTES = 32, 12, 16
MAX_KEY_FILE_BYTES = 1024


class TextKey:
    """The key of the texts. Shows nothing of itself; `id` names it in the ledger and gives nothing away."""

    __slots__ = ("_aead", "_raw", "id")

    def __init__(self, raw: bytes) -> None:
        """Raises ValueError unless given 32 bytes."""
        if len(raw) != KEY_BYTES:
            raise ValueError("a text key has 32 bytes")
        self._raw, self._aead = raw, AESGCM(raw)
        self.id = sha256(b"so8t text key\0" + raw).hexdigest()[:32]

    @classmethod
    def generate(cls) -> TextKey:
        return cls(secrets.token_bytes(KEY_BYTES))

    def __repr__(self) -> str:
        return "TextKey(…)"

    def __reduce__(self) -> str:
        raise TypeError("a text key is not serialised")

    def encode(self) -> bytes:
        """The line that lies in the key's file."""
        return base64.b64encode(self._raw) + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> TextKey:
        """Raises ValueError for what is no key."""
        return cls(base64.b64decode(line.strip(), validate=True))

    def seal(self, text: bytes) -> tuple[bytes, bytes]:
        """(digest, sealed) of a UTF-8 text: what the entry holds, and what is stored beside it."""
        salted = os.urandom(SALT_BYTES) + text
        digest, nonce = sha256(salted).digest(), os.urandom(NONCE_BYTES)
        return digest, nonce + self._aead.encrypt(nonce, salted, digest)

    def open(self, sealed: bytes, digest: bytes) -> bytes | None:
        """The text, or None where key, digest and sealed bytes do not belong together."""
        try:
            salted = self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], digest)
        except (InvalidTag, ValueError, TypeError):
            return None
        return salted[SALT_BYTES:] if sha256(salted).digest() == digest else None


def load_or_create(path: Path) -> TextKey:
    """The key in `path`, made at the first use (mode 0600, whole or not at all). Raises TextKeyWrong, OSError."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _place(path, TextKey.generate().encode())
    return load(path)


def load(path: Path) -> TextKey:
    """Raises TextKeyWrong when the file is missing or is no key; its content is never shown."""
    try:
        with path.open("rb") as f:
            return TextKey.decode(f.read(MAX_KEY_FILE_BYTES))
    except FileNotFoundError:
        raise TextKeyWrong(where=path, detail="no such file") from None
    except ValueError:
        raise TextKeyWrong(where=path, detail="not a text key") from None


def _place(path: Path, content: bytes) -> None:
    """A new file that appears whole, and never in place of one that another process made meanwhile."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        try:
            (os.rename if os.name == "nt" else os.link)(partial, path)
        except FileExistsError:
            return
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)
