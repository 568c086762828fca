"""Work through the units of a source part by part: resumable, in any number of processes, on any number of machines.

units/00012/part-00003.jsonl and .npy    kept texts and their signatures
units/00012/journal/checkpoint-*.json    how far the unit is, every 180 s and at its end (SPEC D5)
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from so8t.build.data.journal import Journal
from so8t.build.data.parts import PART_DOCUMENTS, Counts, Item, Part, Recipe, make_part
from so8t.build.data.sources import Source, Unit, read_unit
from so8t.core.errors import StageBroken
from so8t.core.files import fresh_folder, sha256_file, write_bytes, write_jsonl
from so8t.core.progress import Progress, Task
from so8t.documents.document import Document

PART_CHARACTERS = 4_000_000
NAMED = 200  # skipped items of a unit that are named; all are counted


@dataclass(slots=True)
class State:
    """How far a unit is: items read from it, and the parts on the disk."""

    items: int = 0
    rows: list[int] = field(default_factory=list)
    sha256: str = ""  # over those of all parts, in order
    done: bool = False
    counts: Counts = field(default_factory=Counts)
    skipped: list[list[str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"counts": self.counts.to_json()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        return cls(**record | {"counts": Counts.from_json(record["counts"])})


class UnitFolder:
    """The parts of one unit and where it stands; whatever was made from other files or by another recipe is dropped."""

    def __init__(self, folder: Path, unit: Unit, recipe: Recipe) -> None:
        self.folder, self._key = folder, [unit.digest, recipe.digest]
        self.journal = Journal(folder / "journal")
        saved = self.journal.load()
        if saved is None or saved["key"] != self._key:
            fresh_folder(folder)
            self.journal = Journal(folder / "journal")
            self.state = State()
        else:
            self.state = State.from_json(saved["state"])

    def part(self, number: int) -> Path:
        return self.folder / f"part-{number:05}.jsonl"

    def parts(self) -> Iterator[Path]:
        return (self.part(number) for number in range(len(self.state.rows)))

    def known(self, what: str) -> Iterator[NDArray[Any]]:
        """One field of parts.KNOWN of every part, mapped and not read."""
        for path in self.parts():
            yield np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)[what]

    def add(self, part: Part, items: int) -> None:
        path = self.part(len(self.state.rows))
        write_bytes(path, part.rows)
        write_bytes(path.with_suffix(".npy"), part.known_bytes())
        write_jsonl(path.with_suffix(".rejected"), part.rejected)
        self.state.sha256 = _chained(self.state.sha256, path)
        self.state.rows.append(len(part.known))
        self.state.items += items
        self.state.counts.add(part.counts)
        named = [[s.place, s.reason, s.detail] for s in part.skipped]
        self.state.skipped = (self.state.skipped + named)[:NAMED]
        if self.journal.due():
            self.save()

    def save(self) -> None:
        self.journal.save({"key": self._key, "state": self.state.to_json()})

    def verify(self) -> None:
        """Raises StageBroken when a part is not what the checkpoint says."""
        chain = ""
        for path in self.parts():
            try:
                chain = _chained(chain, path)
            except FileNotFoundError:
                raise StageBroken(where=path) from None
        if chain != self.state.sha256:
            raise StageBroken(where=self.folder)


def _chained(chain: str, path: Path) -> str:
    """SHA-256 over the chain so far and a part's two files."""
    return hashlib.sha256(f"{chain}{sha256_file(path)}{sha256_file(path.with_suffix('.npy'))}".encode()).hexdigest()


def open_units(units: Sequence[Unit], recipe: Recipe, folder: Path) -> list[UnitFolder]:
    opened = [UnitFolder(folder / "units" / f"{unit.number:05}", unit, recipe) for unit in units]
    for unit in opened:
        unit.verify()
    return opened


class Workers:
    """Makes parts in order: here when `processes` is 1 or there is only one, else in processes of their own."""

    def __init__(self, recipe: Recipe, processes: int) -> None:
        self._recipe, self._processes = recipe, processes
        self._pool: Executor | None = None

    def parts(self, batches: Iterable[list[Item]]) -> Generator[tuple[int, Part], None, None]:
        """(items, part) of every batch; the first is made here while one looks whether there is a second."""
        batches = iter(batches)
        if self._processes == 1:
            yield from ((len(batch), make_part(batch, self._recipe)) for batch in batches)
            return
        first, second = next(batches, None), next(batches, None)
        if first is not None and second is None and self._pool is None:
            yield len(first), make_part(first, self._recipe)
            return
        yield from self._in_processes(itertools.chain((b for b in (first, second) if b is not None), batches))

    def _in_processes(self, batches: Iterator[list[Item]]) -> Iterator[tuple[int, Part]]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, context, initializer=_leave_interrupts_to_the_parent)
        waiting: deque[tuple[int, Future[Part]]] = deque()
        for batch in batches:
            waiting.append((len(batch), self._pool.submit(make_part, batch, self._recipe)))
            if len(waiting) > 2 * self._processes:
                items, future = waiting.popleft()
                yield items, future.result()
        while waiting:
            items, future = waiting.popleft()
            yield items, future.result()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def gather(
    opened: Sequence[UnitFolder], units: Sequence[Unit], source: Source, workers: Workers, wanted: int, task: Task
) -> bool:
    """Read on until the units of `source` have `wanted` kept texts; True when there is nothing more to read.

    An interrupt leaves everything up to the last finished part.
    """
    for folder, unit in zip(opened, units, strict=True):
        kept = sum(sum(o.state.rows) for o in opened)
        if kept >= wanted:
            return all(o.state.done for o in opened)
        if not folder.state.done:
            _work_through(folder, unit, source, workers, wanted - kept, task)
    return all(o.state.done for o in opened)


def _work_through(folder: UnitFolder, unit: Unit, source: Source, workers: Workers, wanted: int, task: Task) -> None:
    left = source.maximum_documents - folder.state.items if source.maximum_documents else None
    items = itertools.islice(read_unit(unit, source, folder.state.items), left)
    before = sum(folder.state.rows)
    try:
        with closing(workers.parts(batched(items))) as parts:
            for count, part in parts:
                folder.add(part, count)
                task.advance(len(part.known), read=folder.state.counts.documents)
                if sum(folder.state.rows) - before >= wanted:
                    return
        folder.state.done = True
    finally:
        folder.save()


def batched(items: Iterable[Item]) -> Iterator[list[Item]]:
    """PART_DOCUMENTS items, or fewer when they are long."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.text) if isinstance(item, Document) else 0
        if len(batch) >= PART_DOCUMENTS or size >= PART_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def gather_shard(
    sources: Sequence[Source],
    units: Sequence[Unit],
    recipe: Recipe,
    folder: Path,
    shard: int,
    of: int,
    progress: Progress,
) -> list[int]:
    """Units number `shard`, `shard` + `of`, ... to their ends, nothing else; returns their numbers (SPEC T7).

    The collect stage then finds them done. Shards may run at the same time: no two touch the same unit.
    """
    mine = [unit for unit in units if unit.number % of == shard]
    workers = Workers(recipe, 1)
    for unit in mine:
        opened = open_units([unit], recipe, folder)
        with progress.task(f"unit {unit.number}", 0, "text") as task:
            gather(opened, [unit], sources[unit.source], workers, 1 << 62, task)
    return [unit.number for unit in mine]
