"""Weights that the user brings: read only where they are the very bytes that the file beside them names."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from so8t.core.errors import SenseUnusable
from so8t.core.files import sha256_file

MAXIMUM_BYTES = 4 << 30
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # of a file in the same folder, and nowhere else


def pinned(folder: Path, name: str, digest: str) -> Path:
    """The file, once its SHA-256 is as stated. Raises SenseUnusable."""
    path = _checked(folder, name, digest)
    if sha256_file(path) != digest:
        raise SenseUnusable(where=path, detail="SHA-256")
    return path


def read_pinned(folder: Path, name: str, digest: str) -> bytes:
    """Its content: the same bytes that were hashed. Raises SenseUnusable."""
    path = _checked(folder, name, digest)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise SenseUnusable(where=path, detail="SHA-256")
    return content


def _checked(folder: Path, name: str, digest: str) -> Path:
    if not _NAME.fullmatch(name):
        raise SenseUnusable(where=folder, detail=f"{name!r}: the name of a file in this folder expected")
    if not _DIGEST.fullmatch(digest):
        raise SenseUnusable(where=folder / name, detail="sha256 = 64 digits, lower case, expected")
    path = folder / name
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SenseUnusable(where=path, detail=type(error).__name__) from error
    if not path.is_file() or size > MAXIMUM_BYTES:
        raise SenseUnusable(where=path, detail=f"a file of at most {MAXIMUM_BYTES} bytes expected")
    return path
