"""Bring the index up to date with the folders: what is new or changed is read, what has gone is removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from so8t.core.progress import Progress
from so8t.decide.policy import Policy
from so8t.documents.document import Document, Skipped
from so8t.documents.kinds import Kind, kind_of
from so8t.documents.limits import Limits
from so8t.documents.read import read
from so8t.documents.scans import PageReader, PageReading
from so8t.documents.unreadable import Reason
from so8t.operate.search.folders import Folder, policy_mark
from so8t.operate.search.grams import normal
from so8t.operate.search.store import IndexStore, Known, Part

WAITS = "waits for OCR"
BATCH_FILES, BATCH_SECONDS = 200, 2.0  # of a transaction: what an interruption loses at most
FILE_CHARACTERS = 20_000_000
LIMITS = Limits(whole_bytes=128 << 20, document_characters=FILE_CHARACTERS)


@dataclass(frozen=True, slots=True)
class File:
    """A file as it lies there now."""

    path: Path
    folder: Folder
    known: Known


@dataclass(slots=True)
class Report:
    """What an update did. `unread`: path -> why, of those read just now. `waiting`: those that only OCR can read."""

    seen: int = 0
    read: int = 0
    removed: int = 0
    seconds: float = 0.0
    unread: dict[str, str] = field(default_factory=dict)
    waiting: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"seen": self.seen, "read": self.read, "removed": self.removed, "seconds": round(self.seconds, 3),
                "unread": self.unread, "waiting": self.waiting}  # fmt: skip


def update(
    store: IndexStore,
    folders: Sequence[Folder],
    policy: Policy,
    progress: Progress,
    only: Collection[Path] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """`only`: look at these paths (a changed file, or one that has gone) instead of walking through all folders.

    May be interrupted at any time: the next call goes on from what was written. What needs OCR is only noted: that is
    read_waiting's, when all that is quickly read is there.
    """
    begin, report = clock(), Report()
    known = store.known()
    mark = policy_mark(policy)
    found = dict(_current(folders, only, mark))
    report.seen = len(found)
    looked = None if only is None else {storable(path) for path in only}
    gone = [path for path in known if path not in found and (looked is None or path in looked)]
    changed = [file for file in found.values() if _differs(known.get(file.known.path), file.known)]
    with store.batch():
        for path in gone:
            store.remove(path)
    report.removed = len(gone)
    with progress.task("indexing", len(changed), "file") as task:
        for batch in _batches(changed, clock):
            with store.batch():
                for file in batch:
                    _put(store, file, policy, report)
                    task.advance()
    report.seconds = clock() - begin
    return report


def _differs(old: Known | None, new: Known) -> bool:
    return old is None or (old.folder, old.size, old.changed, old.terms) != (
        new.folder, new.size, new.changed, new.terms,
    )  # fmt: skip


def _current(folders: Sequence[Folder], only: Collection[Path] | None, mark: str) -> Iterator[tuple[str, File]]:
    """A file that lies in two of the folders counts for the more secret one."""
    for folder in sorted(folders, key=lambda f: f.level):
        named = ((path, folder.at(path)) for path in only or ())
        files = folder.walk() if only is None else ((path, stat) for path, stat in named if stat is not None)
        for path, stat in files:
            terms = f"{mark}:{folder.terms(path)}"
            known = Known(storable(path), folder.name, stat.st_size, stat.st_mtime_ns, terms)
            yield known.path, File(path, folder, known)


def storable(path: Path) -> str:
    """A name may hold bytes that are no text; these are written out, so that SQLite and JSON take them."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def _batches(changed: Sequence[File], clock: Callable[[], float]) -> Iterator[Iterator[File]]:
    """One transaction after the other, each as long as its files and its time allow."""
    place = 0

    def batch() -> Iterator[File]:
        nonlocal place
        begin, first = clock(), place
        while place < len(changed) and place - first < BATCH_FILES and clock() - begin < BATCH_SECONDS:
            place += 1
            yield changed[place - 1]

    while place < len(changed):
        yield batch()


def _put(store: IndexStore, file: File, policy: Policy, report: Report) -> None:
    content = _read(file.path, _Unread() if file.folder.images else None)
    report.read += 1
    if content.waits:  # nothing of it is found yet: a page that is still to be read may be marked
        report.waiting += 1
        store.put(replace(file.known, reason=WAITS, waiting=True), None, ())
        return
    _keep(store, file, content, policy, report)


def _keep(store: IndexStore, file: File, content: _Content, policy: Policy, report: Report) -> None:
    known = replace(file.known, reason=content.reason)
    if not content.parts:
        report.unread[known.path] = content.reason
        store.put(known, None, ())
        return
    level = file.folder.level_of(file.path, content.parts, policy, illegible=content.illegible, around=content.around)
    store.put(known, level, content.parts)


def read_waiting(
    store: IndexStore,
    folders: Sequence[Folder],
    policy: Policy,
    progress: Progress,
    ocr: PageReader,
    go_on: Callable[[], bool] = lambda: True,
    stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Read by OCR what waits for it, file by file, each written as soon as it is read; an interruption repeats one file
    at most. `go_on` is asked before each: False leaves the rest for the next call. What was being read when `stopped`
    became true is not kept, for its reader was ended.
    """
    begin, report, waiting = clock(), Report(), store.waiting()
    current = dict(_current(folders, [Path(path) for path in waiting], policy_mark(policy)))
    with progress.task("ocr", len(waiting), "file") as task:
        for path in waiting:
            if not go_on():
                break
            report.seen += 1
            file = current.get(path)
            if file is None:  # gone meanwhile
                with store.batch():
                    store.remove(path)
                report.removed += 1
            else:
                content = _read(file.path, ocr)  # outside of any transaction: it may take minutes
                if stopped():
                    break
                with store.batch():
                    _keep(store, file, content, policy, report)
                report.read += 1
            task.advance()
    report.waiting = len(waiting) - report.seen
    report.seconds = clock() - begin
    return report


def _shown(name: str) -> str:
    return normal(name.encode("utf-8", "backslashreplace").decode())


@dataclass(frozen=True, slots=True)
class _Content:
    """What a file holds. `reason`: why it is not all of it. `illegible`: a page of it could not be made out. `around`:
    what is printed on its pages besides, where levels are stamped."""

    parts: list[Part]
    reason: str = ""
    illegible: bool = False
    waits: bool = False
    around: str = ""


class _Unread:
    """Stands where OCR would, and notes that it is needed."""

    def pages(self, content: bytes, packed: str, numbers: Sequence[int] | None = None) -> Iterator[PageReading]:
        raise _NeedsOcr
        yield


class _NeedsOcr(Exception):
    """Raised through a file's reader at its first page that is a picture."""


def _read(path: Path, ocr: PageReader | None) -> _Content:
    try:
        return _parts(path, read(path, LIMITS, ocr))
    except _NeedsOcr:
        return _Content([], WAITS, waits=True)


def _parts(path: Path, items: Iterable[Document | Skipped]) -> _Content:
    parts, around, characters, reason, illegible = list[Part](), dict[str, None](), 0, "", False
    for item in items:
        if not isinstance(item, Document):
            illegible = illegible or item.reason in (Reason.ILLEGIBLE, Reason.READER_FAILED)
            if item.reason != Reason.BLANK:
                reason = reason or f"{item.reason}{f' ({item.detail})' if item.detail else ''}"[:200]
            continue
        around[item.around] = None
        characters += len(item.text)
        if characters > FILE_CHARACTERS:
            reason = f"> {FILE_CHARACTERS} characters"
            break
        told = item.confidence, item.page
        parts.append(Part(_shown(item.place), normal(item.title), normal(item.text), *told))
    if len(parts) > 1 and (kind_of(path.name) or (None,))[0] is Kind.TEXT:  # read by paragraphs: here it is one text
        parts = [Part(_shown(path.name), "", "\n\n".join(part.text for part in parts))]
    elif len(parts) == 1:
        parts = [replace(parts[0], place=_shown(path.name))]
    return _Content(parts, reason or ("" if parts else Reason.NO_TEXT), illegible, around="\n".join(around))
