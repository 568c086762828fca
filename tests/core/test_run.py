"""A stage is finished when its manifest says so and its files agree."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from so8t.core.config import Config, load_config
from so8t.core.errors import StageBroken, StageMissing
from so8t.core.progress import Progress
from so8t.core.run import STAGES, Manifest, Run, StageContext, code_digest, stage_config


def finished(run: Run, name: str = "collect", files: dict[str, str] | None = None) -> Manifest:
    folder = run.stage(name)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in (files or {"a.jsonl": "1"}).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    manifest = Manifest(name, "running", {"collect": {"x": 1}}, {}, "code")
    run.finish(manifest)
    return manifest


def test_the_order_of_the_stages() -> None:
    assert STAGES == (
        "collect",
        "synth",
        "multimodal",
        "validate",
        "base",
        "train",
        "burnin",
        "export",
        "prove",
        "bundle",
        "demo",
    )


def test_finish_lists_every_file(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    manifest = finished(run, files={"a": "1", "sub/b": "2"})
    assert set(manifest.outputs) == {"a", "sub/b"} and manifest.done
    assert run.manifest("collect") == manifest
    run.verify("collect")
    assert run.require("collect") == tmp_path / "r" / "collect"


def test_the_digest_is_of_the_outputs_alone(tmp_path: Path) -> None:
    a = finished(Run(tmp_path / "a"))
    b = finished(Run(tmp_path / "b"))
    b.seconds, b.facts, b.code = 99.0, {"n": 1}, "other"
    assert a.digest == b.digest
    assert a.digest != finished(Run(tmp_path / "c"), files={"a.jsonl": "2"}).digest
    assert a.digest != finished(Run(tmp_path / "d"), files={"b.jsonl": "1"}).digest


@pytest.mark.parametrize("harm", ["change", "remove"])
def test_broken_outputs_are_named(tmp_path: Path, harm: str) -> None:
    run = Run(tmp_path / "r")
    finished(run)
    file = run.stage("collect") / "a.jsonl"
    if harm == "change":
        file.write_text("2")
    else:
        file.unlink()
    with pytest.raises(StageBroken) as caught:
        run.verify("collect")
    assert caught.value.where == str(file)


def test_an_unfinished_stage_is_missing(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    for call in (run.require, run.verify):
        with pytest.raises(StageMissing):
            call("collect")
    run.write(Manifest("collect", "running", {}, {}, ""))
    for call in (run.require, run.verify):
        with pytest.raises(StageMissing):
            call("collect")


def test_config_changes(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    assert run.config_changes("collect", {"collect": {"x": 2}}) == []
    finished(run)
    assert run.config_changes("collect", {"collect": {"x": 1}}) == []
    assert run.config_changes("collect", {"collect": {"x": 2}}) == ["collect.x: 1 -> 2"]


def test_stage_config_survives_json(micro_config: Config) -> None:
    for section in ("collect", "train", "export"):
        value = stage_config(micro_config, (section,))
        assert json.loads(json.dumps(value)) == value  # tuples would come back as lists and look changed
    assert stage_config(load_config("micro"), ("train",)) == stage_config(micro_config, ("train",))


def test_keys_lie_beside_the_runs_not_in_them(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "r")
    assert run.keys == tmp_path / "runs" / "keys"
    assert not run.keys.is_relative_to(run.folder)


def test_an_adjustment_is_said_and_kept(tmp_path: Path, micro_config: Config) -> None:
    stream = io.StringIO()
    context = StageContext(Run(tmp_path / "r"), micro_config, "train", Progress(stream=stream))
    context.adjust("代わりに", "instead")
    assert context.adjustments == ["instead"] and "代わりに" in stream.getvalue()
    assert context.work == tmp_path / "r" / "work" / "train" and context.work.is_dir()


def test_code_digest_is_stable() -> None:
    assert code_digest() == code_digest() and len(code_digest()) == 64
