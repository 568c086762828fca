"""A run is a folder with one folder a stage; a stage is finished when its manifest says so and its files agree.

runs/NAME/STAGE/            what the stage made, nothing else
runs/NAME/manifests/STAGE.json   config, inputs, code and output hashes, written last
runs/NAME/work/STAGE/       checkpoints and other state that is no output
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from so8t.core.config import Config, differences
from so8t.core.errors import StageBroken, StageMissing
from so8t.core.files import hash_folder, read_json, sha256_file, write_json
from so8t.core.progress import Progress
from so8t.core.types import canonical_json

STAGES = ("collect", "synth", "multimodal", "validate", "base", "train", "burnin", "export", "prove", "bundle", "demo")


@cache
def code_digest() -> str:
    """Hash of the package's own source, so that a manifest says which code made it."""
    root = Path(__file__).parents[1]
    files = sorted(root.rglob("*.py"))
    listing = {p.relative_to(root).as_posix(): sha256_file(p) for p in files}
    return hashlib.sha256(canonical_json(listing).encode()).hexdigest()


@dataclass(slots=True)
class Manifest:
    """Config, inputs, outputs and code of one stage. `status` is running until everything is written."""

    stage: str
    status: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    code: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    adjustments: list[str] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mb: float = 0.0

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def digest(self) -> str:
        """What the next stage depends on: the outputs, not the time they took."""
        return hashlib.sha256(canonical_json(dict(self.outputs)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Run:
    """`folder` holds the stages; it is created by pipeline.run."""

    folder: Path

    def stage(self, name: str) -> Path:
        return self.folder / name

    def work(self, name: str) -> Path:
        """A stage's place for checkpoints: kept between starts, never an output."""
        folder = self.folder / "work" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def manifest_path(self, name: str) -> Path:
        return self.folder / "manifests" / f"{name}.json"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def keys(self) -> Path:
        """Keys lie beside the runs, not in them: a run is copied, a key is not."""
        return self.folder.parent / "keys"

    def manifest(self, name: str) -> Manifest | None:
        path = self.manifest_path(name)
        return Manifest(**read_json(path)) if path.exists() else None

    def write(self, manifest: Manifest) -> None:
        path = self.manifest_path(manifest.stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {name: getattr(manifest, name) for name in Manifest.__slots__})

    def finish(self, manifest: Manifest) -> None:
        """Hash what the stage wrote, then mark it done: the last thing that happens."""
        manifest.outputs = hash_folder(self.stage(manifest.stage))
        manifest.status = "done"
        self.write(manifest)

    def require(self, name: str) -> Path:
        """Folder of a finished stage, or StageMissing."""
        manifest = self.manifest(name)
        if manifest is None or not manifest.done:
            raise StageMissing(where=self.stage(name))
        return self.stage(name)

    def verify(self, name: str) -> None:
        """Raises StageBroken when a finished stage's files are not what its manifest lists."""
        manifest = self.manifest(name)
        if manifest is None or not manifest.done:
            raise StageMissing(where=self.stage(name))
        found = hash_folder(self.stage(name))
        for file in sorted({*found, *manifest.outputs}):
            if found.get(file) != manifest.outputs.get(file):
                raise StageBroken(where=self.stage(name) / file)

    def config_changes(self, name: str, config: Mapping[str, Any]) -> list[str]:
        """How the configuration differs from the one this stage was started with."""
        manifest = self.manifest(name)
        return differences(dict(manifest.config), dict(config)) if manifest else []


@dataclass(slots=True)
class StageContext:
    """What a stage is given: its folder to write into, the earlier stages to read, and a place for checkpoints."""

    run: Run
    config: Config
    stage: str
    progress: Progress
    adjustments: list[str] = field(default_factory=list)
    resume_from: Path | None = None  # a checkpoint of the training to go back to

    @property
    def folder(self) -> Path:
        return self.run.stage(self.stage)

    @property
    def work(self) -> Path:
        return self.run.work(self.stage)

    def input(self, stage: str) -> Path:
        """Folder of an earlier, finished stage. Raises StageMissing."""
        return self.run.require(stage)

    def facts(self, stage: str) -> dict[str, Any]:
        """What an earlier stage reported of itself."""
        manifest = self.run.manifest(stage)
        return dict(manifest.facts) if manifest else {}

    def adjust(self, ja: str, en: str) -> None:
        """A departure from the configuration that the machine forces: said, and kept in the manifest."""
        self.adjustments.append(en)
        self.progress.say(f"      {ja}", f"      {en}")


def stage_config(config: Config, sections: Iterable[str]) -> dict[str, Any]:
    """The part of the configuration a stage depends on, in JSON values: whole sections, or "section.key"."""
    parts = {}
    for name in sections:
        section, _, key = name.partition(".")
        values = _listed(config.section(section))
        parts[name] = values[key] if key else values
    return parts


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, (list, tuple)) else value
