"""The trainings that so8t compare looks at: made on shared data and base where they are missing, measured once each.

FOLDER/shared/      the stages collect to base, made once
FOLDER/cells/NAME/  a run with its own stage train; validate and base are links to the shared ones
FOLDER/measured/    what was measured, named by all that it depends on
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from so8t.core.config import Config
from so8t.core.errors import ConfigChanged, RunBusy, StageMissing, TrainingDiverged
from so8t.core.files import fresh_folder, read_json, sync_folder, write_json
from so8t.core.progress import Progress
from so8t.core.run import STAGES, Manifest, Run, code_digest
from so8t.core.types import canonical_json
from so8t.pipeline import Pipeline
from so8t.prove.ablation.factors import Factor, varied
from so8t.prove.ablation.measured import Measured, measured

SHARED = STAGES[: STAGES.index("base") + 1]
LINKED = ("validate", "base")  # what the stage train reads


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much is measured of each training; window 0 = as long as the trainings ask for."""

    window: int = 0
    windows: int = 8
    requests: int = 0
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Study:
    """Where the results of a comparison lie, and who is told how far it is."""

    folder: Path
    progress: Progress
    wanted: Wanted = field(default_factory=Wanted)
    accept_change: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of a comparison; `config` None = it was made before, by somebody else."""

    name: str
    run: Run
    config: Config | None = None


def measure_all(study: Study, cells: Sequence[Cell]) -> dict[str, Measured]:
    """Every training by name, measured now or taken from an earlier start. Raises what measuring raises."""
    window = study.wanted.window or _window(cells)
    return {cell.name: _measure(study, cell, window) for cell in cells}


def _window(cells: Sequence[Cell]) -> int:
    """One length for all: what the one with the longest training rows asks for."""
    from so8t.build.ablation.measure import scope_window

    return max(scope_window(int(finished(cell).config["train.maximum_tokens"])) for cell in cells)


def finished(cell: Cell) -> Manifest:
    """Raises StageMissing where the training is not."""
    manifest = cell.run.manifest("train")
    if manifest is None or not manifest.done:
        raise StageMissing(where=cell.run.stage("train"))
    return manifest


def _measure(study: Study, cell: Cell, window: int) -> Measured:
    """The record is named by all that it depends on: outputs, inputs, extent and code."""
    manifest, wanted = finished(cell), study.wanted
    facts = [manifest.digest, dict(manifest.inputs), window, wanted.windows, wanted.requests, code_digest()]
    key = hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:16]
    path = study.folder / "measured" / f"{_safe(Path(cell.name).name)}-{key}.json"
    if not path.is_file():
        from so8t.build.ablation.measure import Scope, measure

        study.progress.say(f"      測っています: {cell.name}", f"      measuring {cell.name}")
        scope = Scope(window, wanted.windows, wanted.windows, wanted.requests)
        record = measure(cell.run, scope, wanted.threads, study.progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, record)
    return measured(read_json(path), cell.run.stage("train") / "history.jsonl", str(path))


def make_cells(
    study: Study, config: Config, factor: Factor, seeds: int, source: Path | None
) -> tuple[list[Cell], list[str]]:
    """Train every value of the factor with every seed; (finished ones, names of those that diverged).

    The same call resumes. Raises RunBusy, ConfigChanged, StageBroken, StoppedByUser, or what a stage raises.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(study.folder / ".lock", timeout=0):
            shared = _shared(study, config, source)
            return _train_all(study, shared, _cells(study, config, factor, seeds))
    except Timeout:
        raise RunBusy(where=study.folder) from None


def _shared(study: Study, config: Config, source: Path | None) -> Run:
    """Data and base, taken from a finished run or made here."""
    shared = Run(study.folder / "shared")
    if source is not None:
        _take(Run(source), shared, SHARED)
    Pipeline(shared, config, study.progress, study.accept_change).start(to="base")
    return shared


def _cells(study: Study, config: Config, factor: Factor, seeds: int) -> list[Cell]:
    """Seed by seed, so that whole pairs come first. What the profile has already is called baseline for any factor."""
    cells = []
    for seed in range(config.train.seed, config.train.seed + seeds):
        for value in factor.values:
            changed = varied(config, factor.key, value)
            what = "baseline" if changed == config else f"{factor.key.removeprefix('train.')}={_word(value)}"
            name = f"{_safe(what)}-seed{seed}"
            made = replace(changed, train=replace(changed.train, seed=seed))
            cells.append(Cell(name, Run(study.folder / "cells" / name), made))
    return cells


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _safe(text: str) -> str:
    """A file name on any system."""
    return re.sub(r"[^\w.=-]", "_", text)[:80]


def _train_all(study: Study, shared: Run, cells: Sequence[Cell]) -> tuple[list[Cell], list[str]]:
    done, diverged = [], []
    before = sum(_is_finished(cell) for cell in cells)
    with study.progress.task("compare", len(cells), "run", before) as task:
        for number, cell in enumerate(cells, 1):
            was, text = _is_finished(cell), f"[{number}/{len(cells)}] {cell.name}"
            study.progress.say(text, text)
            try:
                _train(study, shared, cell)
            except TrainingDiverged as error:
                study.progress.say(error.render("ja"), error.render("en"))
                diverged.append(cell.name)
            else:
                done.append(cell)
                measure_all(study, [cell])
            if not was:
                task.advance()
    return done, diverged


def _is_finished(cell: Cell) -> bool:
    manifest = cell.run.manifest("train")
    return manifest is not None and manifest.done


def _train(study: Study, shared: Run, cell: Cell) -> None:
    """One training; its checkpoints go once it is finished, the weights it kept stay."""
    _take(shared, cell.run, LINKED)
    manifest = cell.run.manifest("train")
    if study.accept_change and manifest is not None and manifest.code != code_digest():
        cell.run.manifest_path("train").unlink()  # by other code than the rest: no pair
        fresh_folder(cell.run.work("train"))
    assert cell.config is not None
    Pipeline(cell.run, cell.config, study.progress, study.accept_change).start(only="train")
    for checkpoint in cell.run.work("train").glob("step-*"):
        shutil.rmtree(checkpoint)


def _take(source: Run, target: Run, stages: Sequence[str]) -> None:
    """Finished stages of one run into another, as links where the disk allows it. What is there must be the same.

    Raises StageMissing, and ConfigChanged where the target has a stage made of something else.
    """
    for stage in stages:
        source.require(stage)
        theirs, ours = source.manifest(stage), target.manifest(stage)
        assert theirs is not None
        if ours is not None and ours.done and target.stage(stage).is_dir():
            if ours.digest != theirs.digest:
                raise ConfigChanged(where=target.folder, detail=f"{stage} ({source.folder})")
            continue
        partial = fresh_folder(target.folder / f".{stage}.partial")
        _link_folder(source.stage(stage), partial)
        shutil.rmtree(target.stage(stage), ignore_errors=True)
        os.replace(partial, target.stage(stage))
        sync_folder(target.folder)
        target.write(theirs)


def _link_folder(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(path, place)


def _link(source: Path, target: Path) -> None:
    """A second name of the same file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
