"""What is to be deployed: one model for each quantisation of a verified bundle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from so8t.core.bundle import Bundle
from so8t.core.errors import BundleBroken, UsageError
from so8t.operate.deploy.modelfile import Modelfile, read_modelfile

MODELFILE = "Modelfile."
# types/model/name.go of github.com/ollama/ollama, without a host: a name with a host could be pulled from there.
_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_-]{0,79}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, slots=True)
class Target:
    """A model as Ollama will name it, and the file it is made from. `digest` is the SHA-256 the bundle vouches for."""

    model: str
    quantisation: str
    file: Path
    digest: str
    path: Path
    modelfile: Modelfile


def targets(bundle: Bundle, name: str, only: Sequence[str] = ()) -> list[Target]:
    """All quantisations of the bundle, or those named. Raises UsageError, BundleBroken."""
    if not _NAME.fullmatch(name):
        raise UsageError(where=name, detail="--name")
    found = sorted(n.removeprefix(MODELFILE) for n in bundle.listing["files"] if n.startswith(MODELFILE))
    if unknown := [q for q in only if q not in found]:
        raise UsageError(where=bundle.folder, detail=f"--only {', '.join(unknown)} ({' '.join(found)})")
    if not found:
        raise BundleBroken(where=bundle.folder, detail="Modelfile.*")
    return [_target(bundle, name, q) for q in found if q in only or not only]


def _target(bundle: Bundle, name: str, quantisation: str) -> Target:
    path = bundle.folder / f"{MODELFILE}{quantisation}"
    modelfile = read_modelfile(path)
    file = bundle.gguf(quantisation)
    relative = file.relative_to(bundle.folder).as_posix()
    if modelfile.source.removeprefix("./") != relative:
        raise BundleBroken(where=path, detail=f"FROM {modelfile.source[:80]}")
    if relative not in bundle.listing["files"]:
        raise BundleBroken(where=file, detail="not listed")
    digest = str(bundle.listing["files"][relative])
    return Target(f"{name}:{quantisation.lower()}", quantisation, file, digest, path, modelfile)
