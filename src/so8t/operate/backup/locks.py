"""Who can open a backup: the holder of a passphrase, or of the private key that belongs to a recipient's public one.

A recipient is the better choice: the server then holds nothing that opens the backups it makes. Neither says who made
a file: a passphrase only that its maker knew it, a recipient's key nothing at all.
"""

from __future__ import annotations

import base64
import os
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from so8t.core.errors import AlreadyThere, BackupBroken, BackupKeyWrong, ConfigValueInvalid
from so8t.core.files import sync_folder, write_text

SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P = 17, 8, 1  # RFC 7914: 128 MiB for each guess
MAX_LOG_N = 18  # what a file may demand of us: 256 MiB
LEAST_CHARACTERS = 16
MAX_FILE_BYTES = 4096
_SECRET, _PUBLIC = "so8t-backup-secret-1:", "so8t-backup-public-1:"
Stated = Mapping[str, Any]  # the lock's part of a header


class Lock(Protocol):
    """Makes a secret for one backup, and what its header states so that it can be found again."""

    def close(self) -> tuple[dict[str, Any], bytes]: ...


class Opener(Protocol):
    """Finds the secret that a header states. Raises BackupKeyWrong, BackupBroken."""

    def open(self, stated: Stated) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Lock and opener in one. `log_n`: scrypt's cost."""

    text: str = field(repr=False)
    log_n: int = SCRYPT_LOG_N

    def close(self) -> tuple[dict[str, Any], bytes]:
        salt = os.urandom(16)
        stated = {"by": "scrypt", "log_n": self.log_n, "r": SCRYPT_R, "p": SCRYPT_P, "salt": _b64(salt)}
        return stated, self._derive(salt, self.log_n)

    def open(self, stated: Stated) -> bytes:
        if stated.get("by") != "scrypt":
            raise BackupKeyWrong(detail="made for a recipient's key")
        log_n, salt = stated.get("log_n"), _unb64(stated.get("salt"))
        if type(log_n) is not int or not 1 <= log_n <= MAX_LOG_N or (stated.get("r"), stated.get("p")) != (8, 1):
            raise BackupBroken(detail="scrypt parameters")
        return self._derive(salt, log_n)

    def _derive(self, salt: bytes, log_n: int) -> bytes:
        return Scrypt(salt, 32, 1 << log_n, SCRYPT_R, SCRYPT_P).derive(self.text.encode())


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody else's public key: what is closed with it is opened elsewhere."""

    public: bytes

    @property
    def id(self) -> str:
        """Eight groups to compare over the telephone: the first 128 bits of the key's SHA-256."""
        digest = sha256(self.public).hexdigest()
        return " ".join(digest[i : i + 4] for i in range(0, 32, 4))

    def close(self) -> tuple[dict[str, Any], bytes]:
        once = X25519PrivateKey.generate()
        ephemeral = once.public_key().public_bytes_raw()
        try:
            shared = once.exchange(X25519PublicKey.from_public_bytes(self.public))
        except ValueError:  # a point of small order: anybody could open it
            raise ConfigValueInvalid(where="--recipient", detail="not a usable public key") from None
        stated = {"by": "x25519", "recipient": self.id, "ephemeral": _b64(ephemeral)}
        return stated, _agreed(shared, ephemeral, self.public)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """The other half of a recipient's key. Shows nothing of itself."""

    raw: bytes = field(repr=False)

    @property
    def recipient(self) -> Recipient:
        return Recipient(X25519PrivateKey.from_private_bytes(self.raw).public_key().public_bytes_raw())

    def open(self, stated: Stated) -> bytes:
        if stated.get("by") != "x25519":
            raise BackupKeyWrong(detail="made with a passphrase")
        if stated.get("recipient") != self.recipient.id:
            raise BackupKeyWrong(detail=f"made for {str(stated.get('recipient'))[:40]!a}")
        ephemeral = _unb64(stated.get("ephemeral"))
        try:
            own = X25519PrivateKey.from_private_bytes(self.raw)
            shared = own.exchange(X25519PublicKey.from_public_bytes(ephemeral))
        except ValueError:
            raise BackupBroken(detail="ephemeral key") from None
        return _agreed(shared, ephemeral, self.recipient.public)


def _agreed(shared: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    return HKDF(SHA256(), 32, ephemeral + recipient, b"so8t backup 1 x25519").derive(shared)


def make_key(path: Path) -> Recipient:
    """A new key in `path` (mode 0600), its public half in `path`.pub. Raises AlreadyThere, OSError."""
    key = PrivateKey(secrets.token_bytes(32))
    public = path.with_name(path.name + ".pub")
    for taken in (path, public):
        if taken.exists():
            raise AlreadyThere(where=taken)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
        f.write(f"{_SECRET}{_b64(key.raw)}\n".encode())
        f.flush()
        os.fsync(f.fileno())
    sync_folder(path.parent)
    write_text(public, f"{_PUBLIC}{_b64(key.recipient.public)}\n")
    return key.recipient


def read_recipient(path: Path) -> Recipient:
    """Raises ConfigValueInvalid, also for a private key given by mistake."""
    return Recipient(_key(path, _PUBLIC))


def read_private_key(path: Path) -> PrivateKey:
    """Raises ConfigValueInvalid, never showing what is in the file."""
    return PrivateKey(_key(path, _SECRET))


def read_passphrase(path: Path) -> Passphrase:
    """The first line of a file, in one Unicode form (RFC 8265) whatever typed it. Raises ConfigValueInvalid."""
    text = unicodedata.normalize("NFC", _line(path))
    if len(text) < LEAST_CHARACTERS:
        raise ConfigValueInvalid(where=path, detail=f"at least {LEAST_CHARACTERS} characters expected")
    return Passphrase(text)


def _key(path: Path, kind: str) -> bytes:
    line = _line(path)
    try:
        raw = _unb64(line.removeprefix(kind)) if line.startswith(kind) else b""
    except BackupBroken:
        raw = b""
    if len(raw) != 32:
        raise ConfigValueInvalid(where=path, detail=f"a line {kind}… expected")
    return raw


def _line(path: Path) -> str:
    try:
        with path.open("rb") as f:
            return f.read(MAX_FILE_BYTES).decode("utf-8-sig").split("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigValueInvalid(where=path, detail=type(error).__name__) from None


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unb64(text: object) -> bytes:
    try:
        return base64.b64decode(str(text).encode("ascii"), validate=True)
    except ValueError:
        raise BackupBroken(detail="base64") from None
