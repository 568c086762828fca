"""Resumed, shared out or in two processes: the parts are the same, and nothing is done twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from so8t.build.data import gathering as module
from so8t.build.data.gathering import UnitFolder, Workers, batched, gather, gather_shard, open_units
from so8t.build.data.parts import Recipe
from so8t.build.data.sources import Source, Unit, find_sources, units
from so8t.core.config import SourceConfig
from so8t.core.errors import StageBroken
from so8t.core.progress import Progress
from so8t.documents.document import Document, Skipped

from .conftest import different, write_records

ALL = 1 << 30


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_DOCUMENTS", 10)


@pytest.fixture
def corpus(tmp_path: Path) -> list[Source]:
    """Three files of 25 texts; every file is a unit of its own when units are small."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(3):
        write_records(folder / f"{n}.jsonl", [{"text": t} for t in different(75)[25 * n : 25 * n + 25]])
    return find_sources((SourceConfig(str(folder)),))


@pytest.fixture
def cut(corpus: list[Source], monkeypatch: pytest.MonkeyPatch) -> list[Unit]:
    from so8t.build.data import sources

    monkeypatch.setattr(sources, "UNIT_BYTES", 1)
    made = units(corpus)
    assert len(made) == 3
    return made


def run(
    sources: list[Source], cut: list[Unit], recipe: Recipe, work: Path, silent: Progress, wanted: int = ALL
) -> tuple[list[UnitFolder], bool]:
    opened = open_units(cut, recipe, work)
    with silent.task("t", 1, "text") as task:
        return opened, gather(opened, cut, sources[0], Workers(recipe, 1), wanted, task)


def content(work: Path) -> dict[str, bytes]:
    return {p.relative_to(work).as_posix(): p.read_bytes() for p in sorted((work / "units").rglob("part-*"))}


def test_every_text_in_order(
    corpus: list[Source], cut: list[Unit], recipe: Recipe, tmp_path: Path, silent: Progress
) -> None:
    opened, exhausted = run(corpus, cut, recipe, tmp_path / "w", silent)
    assert exhausted and [u.state.rows for u in opened] == [[10, 10, 5]] * 3
    assert sum(u.state.counts.documents for u in opened) == 75


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 4, 7])
def test_killed_anywhere_it_goes_on(
    corpus: list[Source],
    cut: list[Unit],
    recipe: Recipe,
    tmp_path: Path,
    silent: Progress,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: int,
) -> None:
    """A kill leaves parts without a checkpoint; they are made again to the same bytes."""
    whole = tmp_path / "whole"
    run(corpus, cut, recipe, whole, silent)
    work = tmp_path / "w"
    counter = itertools.count()
    add = UnitFolder.add

    def dies(self: UnitFolder, *arguments: object) -> None:
        if next(counter) == stop_after:
            monkeypatch.setattr(UnitFolder, "save", lambda self: None)  # as after SIGKILL: nothing more is written
            raise KeyboardInterrupt
        add(self, *arguments)  # type: ignore[arg-type]

    save = UnitFolder.save
    monkeypatch.setattr(UnitFolder, "add", dies)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, cut, recipe, work, silent)
    monkeypatch.setattr(UnitFolder, "add", add)
    monkeypatch.setattr(UnitFolder, "save", save)
    run(corpus, cut, recipe, work, silent)
    assert content(work) == content(whole)


def test_an_interrupt_keeps_the_finished_parts(
    corpus: list[Source],
    cut: list[Unit],
    recipe: Recipe,
    tmp_path: Path,
    silent: Progress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = module.make_part
    counter = itertools.count()

    def interrupted(*arguments: object) -> object:
        if next(counter) == 4:
            raise KeyboardInterrupt
        return made(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "make_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, cut, recipe, tmp_path / "w", silent)
    assert [sum(u.state.rows) for u in open_units(cut, recipe, tmp_path / "w")] == [25, 10, 0]
    run(corpus, cut, recipe, tmp_path / "w", silent)
    assert next(counter) == 10  # five parts were left to make, and only those were made


def test_it_stops_when_it_has_enough_and_reads_on_when_asked(
    corpus: list[Source], cut: list[Unit], recipe: Recipe, tmp_path: Path, silent: Progress
) -> None:
    opened, exhausted = run(corpus, cut, recipe, tmp_path / "w", silent, wanted=31)
    assert not exhausted and [sum(u.state.rows) for u in opened] == [25, 10, 0]
    opened, exhausted = run(corpus, cut, recipe, tmp_path / "w", silent, wanted=ALL)
    assert exhausted and [sum(u.state.rows) for u in opened] == [25, 25, 25]


def test_shards_together_are_the_whole(
    corpus: list[Source], cut: list[Unit], recipe: Recipe, tmp_path: Path, silent: Progress
) -> None:
    run(corpus, cut, recipe, tmp_path / "whole", silent)
    for shard in (1, 0):
        done = gather_shard(corpus, cut, recipe, tmp_path / "w", shard, 2, silent)
        assert done == [u.number for u in cut if u.number % 2 == shard]
    assert content(tmp_path / "w") == content(tmp_path / "whole")
    opened, exhausted = run(corpus, cut, recipe, tmp_path / "w", silent)
    assert exhausted and all(u.state.done for u in opened)


@pytest.mark.slow
def test_two_processes_make_the_same(
    corpus: list[Source], cut: list[Unit], recipe: Recipe, tmp_path: Path, silent: Progress
) -> None:
    run(corpus, cut, recipe, tmp_path / "whole", silent)
    opened = open_units(cut, recipe, tmp_path / "w")
    workers = Workers(recipe, 2)
    with silent.task("t", 1, "text") as task:
        assert gather(opened, cut, corpus[0], workers, ALL, task)
    workers.close()
    assert content(tmp_path / "w") == content(tmp_path / "whole")


def test_other_files_or_another_recipe_start_anew(
    corpus: list[Source], cut: list[Unit], recipe: Recipe, tmp_path: Path, silent: Progress
) -> None:
    import dataclasses

    run(corpus, cut, recipe, tmp_path / "w", silent)
    changed = dataclasses.replace(recipe, minimum_quality=0.2)
    assert [u.state.items for u in open_units(cut, changed, tmp_path / "w")] == [0, 0, 0]
    run(corpus, cut, recipe, tmp_path / "w", silent)
    write_records(cut[1].files[0], [{"text": t} for t in different(3)])
    assert [u.state.items for u in open_units(cut, recipe, tmp_path / "w")] == [25, 0, 25]


@pytest.mark.parametrize("suffix", [".jsonl", ".npy"])
def test_a_part_that_changed_or_is_gone_is_noticed(
    corpus: list[Source], cut: list[Unit], recipe: Recipe, tmp_path: Path, silent: Progress, suffix: str
) -> None:
    opened, _ = run(corpus, cut, recipe, tmp_path / "w", silent)
    path = opened[1].part(1).with_suffix(suffix)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StageBroken):
        open_units(cut, recipe, tmp_path / "w")
    path.unlink()
    with pytest.raises(StageBroken):
        open_units(cut, recipe, tmp_path / "w")


def test_a_limit_of_documents(
    cut: list[Unit], corpus: list[Source], recipe: Recipe, tmp_path: Path, silent: Progress
) -> None:
    import dataclasses

    few = [dataclasses.replace(corpus[0], maximum_documents=12)]
    opened, _ = run(few, cut[:1], recipe, tmp_path / "w", silent)
    assert opened[0].state.items == 12


def test_batches_end_at_documents_or_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    def items() -> Iterator[Document | Skipped]:
        yield from (Document("あ" * 60, str(n)) for n in range(25))
        yield Skipped("x", "y")

    monkeypatch.setattr(module, "PART_CHARACTERS", 10_000)
    assert [len(b) for b in batched(items())] == [10, 10, 6]
    monkeypatch.setattr(module, "PART_CHARACTERS", 300)
    assert [len(b) for b in batched(items())] == [5, 5, 5, 5, 5, 1]
    assert list(batched([])) == []
