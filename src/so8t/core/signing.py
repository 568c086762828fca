"""Ed25519 keys in files: the trainer signs bundles, the gateway signs ledger heads, others hold the public half."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from so8t.core.errors import SignatureInvalid
from so8t.core.files import sync_folder, write_text

MAX_KEY_BYTES = 1024


def load_or_create(path: Path) -> Ed25519PrivateKey:
    """The private key in `path`, made at the first use (mode 0600) with its public half in `path`.pub."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as f:
            f.write(base64.b64encode(key.private_bytes_raw()) + b"\n")
            f.flush()
            os.fsync(f.fileno())
        sync_folder(path.parent)
        write_text(public_path(path), encode_public(key.public_key()) + "\n")
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_bytes().strip(), validate=True))
    except ValueError as error:
        raise SignatureInvalid(where=path, detail="not an Ed25519 key") from error


def public_path(path: Path) -> Path:
    return path.with_name(path.name + ".pub")


def encode_public(key: Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes_raw()).decode()


def fingerprint(key: Ed25519PublicKey) -> str:
    """Eight groups to compare over the telephone: the first 128 bits of the key's SHA-256."""
    digest = hashlib.sha256(key.public_bytes_raw()).hexdigest()
    return " ".join(digest[i : i + 4] for i in range(0, 32, 4))


def load_public(path: Path) -> Ed25519PublicKey:
    """Raises SignatureInvalid when the file is no public key."""
    try:
        with path.open("rb") as f:
            raw = f.read(MAX_KEY_BYTES)
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(raw.strip(), validate=True))
    except (OSError, ValueError) as error:
        raise SignatureInvalid(where=path, detail=type(error).__name__) from error


def sign(key: Ed25519PrivateKey, message: bytes) -> str:
    return base64.b64encode(key.sign(message)).decode()


def is_signed(key: Ed25519PublicKey, message: bytes, signature: str) -> bool:
    """False for a wrong, cut or malformed signature, also for a second spelling of a right one; never raises."""
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, message)
    except (InvalidSignature, ValueError):
        return False
    return base64.b64encode(raw).decode() == signature  # the last character's spare bits
