"""A GGUF that a Python package carries, whole or in numbered parts: found by its metadata, its code never imported."""

from __future__ import annotations

import hashlib
import re
from importlib import metadata
from pathlib import Path

from so8t.core.errors import BaseUnusable, PackageMissing
from so8t.core.files import writing

PIECE = re.compile(r"\.gguf(?:\.part(\d+))?$")
TERMS = re.compile(r"(?i)(?:^|/)[^/]*(?:terms|licen[sc]e)[^/]*$")
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
SHA256 = re.compile(r"[0-9a-f]{64}")
BLOCK = 1 << 20


def assemble(package: str, sha256: str, out: Path) -> None:
    """Write the package's GGUF to `out`. Raises PackageMissing, BaseUnusable for another hash, DiskFull."""
    if not SHA256.fullmatch(sha256):
        raise BaseUnusable(where=package, detail=f"base.sha256 = {sha256!r}: 64 hexadecimal digits")
    digest = hashlib.sha256()
    pieces = _pieces(package)
    with writing(out) as target:
        for piece in pieces:
            with piece.open("rb") as source:
                while block := source.read(BLOCK):
                    digest.update(block)
                    target.write(block)
        if (found := digest.hexdigest()) != sha256:
            raise BaseUnusable(where=package, detail=f"SHA-256 {found} != base.sha256 {sha256}")


def terms(package: str) -> list[Path]:
    """The files of a package that state its terms. Raises PackageMissing."""
    return sorted(path for path in _files(package) if TERMS.search(path.as_posix()))


def _pieces(package: str) -> list[Path]:
    """The parts in the order of their numbers: 0, 1, 2 ... or a single whole file."""
    found: dict[int, Path] = {}
    for name in [package, *_carriers(package)]:
        for path in _files(name):
            if match := PIECE.search(path.name):
                number = int(match[1] or 0)
                if number in found:
                    raise BaseUnusable(where=package, detail=f"part {number} twice")
                found[number] = path
    if not found or sorted(found) != list(range(len(found))):
        raise BaseUnusable(where=package, detail=f"GGUF parts {sorted(found)}")
    return [found[number] for number in sorted(found)]


def _carriers(package: str) -> list[str]:
    """Packages it requires whose names say that they are parts of it."""
    names = [match[0] for line in _installed(package).requires or [] if (match := NAME.match(line))]
    return [name for name in names if name.startswith(f"{package}-part")]


def _files(package: str) -> list[Path]:
    """Existing files of an installed package, none outside the folder it is installed in."""
    distribution = _installed(package)
    root = Path(str(distribution.locate_file(""))).resolve()
    paths = [Path(str(distribution.locate_file(file))) for file in distribution.files or []]
    return [path for path in paths if path.is_file() and path.resolve().is_relative_to(root)]


def _installed(package: str) -> metadata.Distribution:
    try:
        return metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError):
        raise PackageMissing(detail=f"{package}: pip install {package}") from None
