"""The files below some folders, as they are when they are come to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path


def walk(folders: Sequence[Path], left_out: Callable[[str], bool] = lambda name: False) -> Iterator[os.DirEntry[str]]:
    """Every file, folder by folder in the order of names; no link is followed, what cannot be listed, or is of a name
    that is left out, is passed over."""
    waiting = list(folders)
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                inside = sorted(entries, key=lambda e: e.name)
        except OSError:
            continue
        for entry in inside:
            with suppress(OSError):  # gone meanwhile
                if left_out(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield entry
