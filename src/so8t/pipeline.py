"""The order of the stages, and how a run is started, resumed, refused or redone. Imports houses when needed."""

from __future__ import annotations

import errno
import hashlib
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from so8t.core.config import Config, TrainConfig
from so8t.core.errors import ConfigChanged, DiskFull, MemoryShort, RunBusy, RunMissing, UsageError
from so8t.core.files import fresh_folder, sha256_file
from so8t.core.launch import launched
from so8t.core.packaged import policy_text
from so8t.core.progress import Progress
from so8t.core.run import STAGES, Manifest, Run, StageContext, code_digest, stage_config

Step = Callable[[StageContext], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A name, what of the configuration and which earlier stages it depends on, and its share of the ten minutes."""

    name: str
    sections: tuple[str, ...]
    inputs: tuple[str, ...]
    budget: float  # seconds on two cores, profile tiny


# What the tiny base shares with training: which requests, how often, how long, in which order.
TRAINING_DATA = ("train.seed", "train.maximum_tokens", "train.text_share", "train.written_repeats")
# How often to save and when a card is too hot are no part of what is learned: they may change on the way.
TRAINING = tuple(f"train.{f.name}" for f in fields(TrainConfig) if f.name not in ("checkpoint", "gpu", "sharding"))
# Set-up has 120 s of the 600; the rest is spent here (issue "The main job").
STAGE_TABLE: dict[str, Stage] = {
    s.name: s
    for s in (
        Stage("collect", ("collect",), (), 15),
        Stage("synth", ("synth", "prove.policy"), (), 15),
        Stage("multimodal", ("multimodal", "prove.policy"), (), 30),
        Stage("validate", ("validate",), ("collect", "synth", "multimodal"), 15),
        Stage("base", ("base", "prompt", *TRAINING_DATA), ("validate",), 120),
        Stage("train", (*TRAINING, "prompt"), ("validate", "base"), 120),
        Stage("burnin", ("burnin",), ("validate", "base", "train"), 15),
        Stage("export", ("export", "prompt", "prove.policy", "prove.deploy"), ("collect", "validate", "burnin"), 30),
        Stage("prove", ("prove",), ("validate", "export"), 90),
        Stage("bundle", (), ("export", "prove"), 5),
        Stage("demo", ("demo",), ("bundle",), 25),
    )
}


# Where a stage's function lies; the others are in build/steps.py.
PLACES = {
    "train": "so8t.build.train.stage", "burnin": "so8t.build.burnin.stage", "export": "so8t.build.export.stage",
    "prove": "so8t.prove.stage", "bundle": "so8t.build.assemble", "demo": "so8t.operate.demo",
}  # fmt: skip


def step(name: str) -> Step:
    """The function of a stage; torch is loaded only when a stage of build is asked for."""
    module = importlib.import_module(PLACES.get(name, "so8t.build.steps"))
    found: Step = getattr(module, f"run_{name}")
    return found


@dataclass(slots=True)
class Pipeline:
    """One run under one configuration."""

    run: Run
    config: Config
    progress: Progress
    accept_change: bool = False
    resume_from: Path | None = None
    done_before: set[str] = field(default_factory=set)

    def start(self, to: str = STAGES[-1], only: str = "") -> list[Manifest]:
        """Make every stage up to `to` (or `only` one) that is not finished; returns the manifests.

        Raises ConfigChanged before anything is touched, RunBusy, StageMissing, StageBroken, or what the stage raises.
        """
        from filelock import FileLock, Timeout

        names = (only,) if only else STAGES[: STAGES.index(to) + 1]
        if launched().processes > 1 and names != ("train",):
            raise UsageError(detail="torchrun -m so8t train")
        if launched().rank:
            return self._follow(names[0])
        self.run.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.run.folder / ".lock", timeout=0):
                self._refuse_changes(names)
                return [self._make(name) for name in names]
        except Timeout:
            raise RunBusy(where=self.run.folder) from None

    def _follow(self, name: str) -> list[Manifest]:
        """As one of several processes: the first one decides, verifies and writes, this one only takes part."""
        stage = STAGE_TABLE[name]
        for needed in stage.inputs:
            self.run.require(needed)
        changed = self.run.config_changes(name, self._settings(name))
        if self._finished(stage) is None or changed or self.resume_from:
            step(name)(StageContext(self.run, self.config, name, self.progress, [], self.resume_from))
        return []

    def _refuse_changes(self, names: tuple[str, ...]) -> None:
        changes: list[str] = []
        for name in names:
            changed = self.run.config_changes(name, self._settings(name))
            if changed and self.accept_change:
                self.run.manifest_path(name).unlink()
                if self.run.work(name).exists():
                    fresh_folder(self.run.work(name))
            changes += [c for c in changed if c not in changes]
        if changes and not self.accept_change:
            raise ConfigChanged(where=self.run.folder, detail="; ".join(changes))

    def _settings(self, name: str) -> dict[str, Any]:
        """What a stage depends on: its part of the configuration, and what lies in the files that this names."""
        settings = stage_config(self.config, STAGE_TABLE[name].sections)
        if name == "collect":
            from so8t.build.data.sources import find_sources, sources_digest

            settings["files"] = sources_digest(find_sources(self.config.collect.sources))
        if "prove.policy" in STAGE_TABLE[name].sections:
            settings["policy"] = hashlib.sha256(policy_text(self.config.prove.policy)[0].encode()).hexdigest()
        labelled = Path(self.config.prove.calibration or ".").expanduser()
        if "prove" in STAGE_TABLE[name].sections and labelled.is_file():  # without it prove itself refuses
            settings["calibration"] = sha256_file(labelled)
        return settings

    def _make(self, name: str) -> Manifest:
        """Skip a finished stage whose inputs are the same and whose folder is there; else do it, its manifest last."""
        stage = STAGE_TABLE[name]
        for needed in stage.inputs:
            self.run.verify(needed)
        inputs, old, number = self._inputs(stage), self.run.manifest(name), STAGES.index(name) + 1
        finished = self._finished(stage)
        if finished is not None and not (name == "train" and self.resume_from):
            self.run.verify(name)
            self.done_before.add(name)
            self.progress.say(f"[{number}/{len(STAGES)}] {name}: 済み", f"[{number}/{len(STAGES)}] {name}: done before")
            return finished
        if old is not None and dict(old.inputs) != inputs:
            fresh_folder(self.run.work(name))  # checkpoints made from other inputs are worth nothing
        return self._do(stage, number, inputs)

    def _inputs(self, stage: Stage) -> dict[str, str]:
        return {n: m.digest for n in stage.inputs if (m := self.run.manifest(n))}

    def _finished(self, stage: Stage) -> Manifest | None:
        """The manifest of a stage that was made from just these inputs and whose folder is there."""
        old = self.run.manifest(stage.name)
        if old is None or not old.done or dict(old.inputs) != self._inputs(stage):
            return None
        return old if self.run.stage(stage.name).is_dir() else None

    def _do(self, stage: Stage, number: int, inputs: dict[str, str]) -> Manifest:
        manifest = Manifest(stage.name, "running", self._settings(stage.name), inputs, code_digest())
        self.run.write(manifest)
        fresh_folder(self.run.stage(stage.name))
        context = StageContext(self.run, self.config, stage.name, self.progress, manifest.adjustments, self.resume_from)
        begin = time.monotonic()
        with self.progress.stage(stage.name, number, len(STAGES)):
            try:
                manifest.facts = step(stage.name)(context)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise DiskFull(where=self.run.stage(stage.name)) from error
                raise
            except MemoryError as error:
                raise MemoryShort(where=stage.name) from error
        manifest.seconds = round(time.monotonic() - begin, 2)
        manifest.peak_mb = peak_megabytes()
        self.run.finish(manifest)
        return manifest


def peak_megabytes() -> float:
    """Peak resident memory of this process so far and of its children, in MB; 0 where the system does not tell."""
    if sys.platform == "win32":
        import psutil

        return float(round(psutil.Process().memory_info().peak_wset / 2**20, 1))
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round((own + children) * unit / 2**20, 1)


def budget_rows(manifests: list[Manifest], setup_seconds: float | None) -> list[tuple[str, float, float]]:
    """(stage, seconds, budget) for the table at the end."""
    rows = [] if setup_seconds is None else [("setup", setup_seconds, 120.0)]
    return rows + [(m.stage, m.seconds, STAGE_TABLE[m.stage].budget) for m in manifests]


def find_run(name: str, runs: Path) -> Run:
    """A run by name or by path. Raises RunMissing."""
    for folder in (Path(name), runs / name):
        if (folder / "manifests").is_dir():
            return Run(folder)
    raise RunMissing(where=runs / name)
