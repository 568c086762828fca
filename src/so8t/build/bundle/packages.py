"""The Python packages that made the bundle and that run it, from their own metadata and from the lock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from so8t.build.bundle.spdx import Licence, expression, licence
from so8t.core.errors import PackageMissing

USES = {"build": ("train", "data", "ocr"), "run": ("serve",)}  # which of so8t's extras serve which use
PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Package:
    """`uses` of "build" and "run"; `requires` names installed ones; `hashes` = SHA-256 of what the lock allows."""

    name: str
    version: str
    licence: Licence
    uses: tuple[str, ...]
    requires: tuple[str, ...]
    hashes: tuple[str, ...] = ()


def installed_packages() -> list[Package]:
    """so8t and all it needs here, by name. Raises PackageMissing where so8t itself is not installed."""
    uses: dict[str, set[str]] = {}
    needs: dict[str, set[str]] = {}
    for use, extras in USES.items():
        for name, required in _closure("so8t", extras).items():
            uses.setdefault(name, set()).add(use)
            needs.setdefault(name, set()).update(required)
    locked = _locked(lock_file())
    return [_package(name, uses[name], needs[name] & uses.keys(), locked) for name in sorted(uses)]


def _closure(root: str, extras: tuple[str, ...]) -> dict[str, set[str]]:
    """Every installed package reached from `root`, with what it asks for; one not installed was not needed here."""
    if _distribution(root) is None:
        raise PackageMissing(detail=root)
    found: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(root, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        distribution = _distribution(name)
        if (name, extra) in seen or distribution is None:
            continue
        seen.add((name, extra))
        required = found.setdefault(name, set())
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                other = canonicalize_name(requirement.name)
                required.add(other)
                waiting += [(other, e) for e in ("", *requirement.extras)]
    return found


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str, uses: set[str], requires: set[str], locked: Mapping[tuple[str, str], list[str]]) -> Package:
    version = metadata.version(name)
    hashes = tuple(sorted(locked.get((name, version), ())))
    return Package(name, version, package_licence(name), tuple(sorted(uses)), tuple(sorted(requires)), hashes)


def package_licence(name: str) -> Licence:
    """License-Expression (PEP 639), else what the License field and the classifiers agree on, else their words."""
    about = metadata.metadata(name)
    if said := about.get_all("License-Expression"):
        return expression(said[0])
    classifiers = [c.rpartition("::")[2].strip() for c in about.get_all("Classifier") or [] if c.startswith("License")]
    fields = [field.strip() for field in about.get_all("License") or []]
    candidates = [licence(text) for text in (*fields, *classifiers) if text and len(text) <= 100 and "\n" not in text]
    certain = sorted({c.spdx for c in candidates if c.spdx})
    if certain:
        return Licence(spdx=certain[0]) if len(certain) == 1 else Licence(name=" / ".join(certain))
    return next((c for c in candidates if c.name), Licence())


def checkout() -> Path:
    """The folder of the sources, where so8t runs from one; what is looked for there may be absent."""
    return Path(__file__).parents[4]


def lock_file() -> Path | None:
    path = checkout() / "requirements" / "run.lock"
    return path if path.is_file() else None


def _locked(path: Path | None) -> dict[tuple[str, str], list[str]]:
    """(name, version) -> SHA-256 of its distributions for all systems."""
    if path is None:
        return {}
    found: dict[tuple[str, str], list[str]] = {}
    hashes: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if pin := PIN.match(line):
            hashes = found.setdefault((canonicalize_name(pin[1]), pin[2]), [])
        elif line[:1] == " ":
            hashes += HASH.findall(line)
    return found
