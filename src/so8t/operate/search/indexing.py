"""Bring the index up to date with the folders: what is new or changed is read, what has gone is removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t.core.progress import Progress
from so8t.decide.policy import Policy
from so8t.documents.document import Document
from so8t.documents.limits import Limits
from so8t.documents.read import read
from so8t.operate.search.folders import Folder, policy_mark
from so8t.operate.search.grams import normal
from so8t.operate.search.store import IndexStore, Known, Part

BATCH_FILES, BATCH_SECONDS = 200, 2.0  # of a transaction: what an interruption loses at most
FILE_CHARACTERS = 20_000_000
LIMITS = Limits(whole_bytes=128 << 20, document_characters=FILE_CHARACTERS)


@dataclass(slots=True)
class Report:
    """What an update did. `unread`: path -> why, of those read just now."""

    seen: int = 0
    read: int = 0
    removed: int = 0
    seconds: float = 0.0
    unread: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"seen": self.seen, "read": self.read, "removed": self.removed, "seconds": round(self.seconds, 3),
                "unread": self.unread}  # fmt: skip


def update(
    store: IndexStore,
    folders: Sequence[Folder],
    policy: Policy,
    progress: Progress,
    only: Collection[Path] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """`only`: look at these paths (a changed file, or one that has gone) instead of walking through all folders.

    May be interrupted at any time: the next call goes on from what was written.
    """
    begin, report = clock(), Report()
    known = store.known()
    mark = policy_mark(policy)
    found = dict(_current(folders, only, mark))
    report.seen = len(found)
    gone = [path for path in known if path not in found and (only is None or Path(path) in only)]
    changed = [(folder, new) for folder, new in found.values() if _differs(known.get(new.path), new)]
    with store.batch():
        for path in gone:
            store.remove(path)
    report.removed = len(gone)
    with progress.task("indexing", len(changed), "file") as task:
        for batch in _batches(changed, clock):
            with store.batch():
                for folder, new in batch:
                    _put(store, folder, new, policy, report)
                    task.advance()
    report.seconds = clock() - begin
    return report


def _differs(old: Known | None, new: Known) -> bool:
    return old is None or (old.folder, old.size, old.changed, old.terms) != (
        new.folder, new.size, new.changed, new.terms,
    )  # fmt: skip


def _current(
    folders: Sequence[Folder], only: Collection[Path] | None, mark: str
) -> Iterator[tuple[str, tuple[Folder, Known]]]:
    """A file that lies in two of the folders counts for the more secret one."""
    for folder in sorted(folders, key=lambda f: f.level):
        if only is None:
            files = folder.walk()
        else:
            wanted = {p for p in only if p.is_relative_to(folder.path)}
            parents = {p.parent for p in wanted}
            files = ((p, s) for p, s in folder.walk() if p in wanted) if parents else iter(())
        for path, stat in files:
            terms = f"{mark}:{folder.terms(path)}"
            yield str(path), (folder, Known(str(path), folder.name, stat.st_size, stat.st_mtime_ns, terms))


def _batches(
    changed: Sequence[tuple[Folder, Known]], clock: Callable[[], float]
) -> Iterator[Iterator[tuple[Folder, Known]]]:
    """One transaction after the other, each as long as its files and its time allow."""
    place = 0

    def batch() -> Iterator[tuple[Folder, Known]]:
        nonlocal place
        begin, first = clock(), place
        while place < len(changed) and place - first < BATCH_FILES and clock() - begin < BATCH_SECONDS:
            place += 1
            yield changed[place - 1]

    while place < len(changed):
        yield batch()


def _put(store: IndexStore, folder: Folder, new: Known, policy: Policy, report: Report) -> None:
    path = Path(new.path)
    parts, reason = _read(path)
    report.read += 1
    if not parts:
        report.unread[new.path] = reason
        store.put(Known(new.path, new.folder, new.size, new.changed, new.terms, reason), None, ())
        return
    level = max(folder.level_of(path, part.text, policy) for part in parts)
    store.put(Known(new.path, new.folder, new.size, new.changed, new.terms, reason), level, parts)


def _read(path: Path) -> tuple[list[Part], str]:
    """What the file holds, and why it is not all of it."""
    parts, characters, reason = list[Part](), 0, ""
    for item in read(path, LIMITS):
        if not isinstance(item, Document):
            reason = reason or f"{item.reason}{f' ({item.detail})' if item.detail else ''}"[:200]
            continue
        characters += len(item.text)
        if characters > FILE_CHARACTERS:
            reason = f"> {FILE_CHARACTERS} characters"
            break
        parts.append(Part(normal(item.place), normal(item.title), normal(item.text)))
    return parts, reason
