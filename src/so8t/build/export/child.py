"""Foreign programs that write a GGUF: run in a process of their own, and their file taken only when it is whole."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from so8t.core.errors import DiskFull, GgufInvalid, PackageMissing
from so8t.core.files import sync_folder

SECONDS = 6 * 3600.0  # a big model on a slow disk; a program that hangs for longer never ends


@contextmanager
def written_by_child(out: Path) -> Iterator[Path]:
    """A name to write under; the file appears as `out` when the block ends (fsync, rename), else nothing is left."""
    partial = out.with_name(f".{out.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, out)
        sync_folder(out.parent)
    finally:
        partial.unlink(missing_ok=True)


def run_child(
    command: Sequence[str], where: object, what: str, made: Path | None = None, more: Mapping[str, str] | None = None
) -> None:
    """Run to the end, without a shell. `made` must exist then; `more` is added to the environment.

    Raises PackageMissing when there is no such program or package, DiskFull, else GgufInvalid with its last words.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False,
            env=os.environ | (more or {}),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise GgufInvalid(where=where, detail=f"{what}: no end after {error.timeout:.0f} s") from error
    except OSError as error:
        raise PackageMissing(where=command[0], detail=type(error).__name__) from error
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    words = lines[-1] if lines else ""
    if "ModuleNotFoundError" in words or "PackageNotFoundError" in words:
        raise PackageMissing(where=what, detail=words)
    if "No space left on device" in words or "not enough space on the disk" in words:
        raise DiskFull(where=where, detail=what)
    if done.returncode != 0 or (made is not None and not made.is_file()):
        raise GgufInvalid(where=where, detail=f"{what}: exit {done.returncode} {words[:300]}")
