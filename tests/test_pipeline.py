"""Order, resuming, refusing: with stages that only write a line; and the real ones on profile micro."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from so8t import pipeline
from so8t.core.config import CheckpointConfig, Config, SourceConfig, load_config
from so8t.core.errors import ConfigChanged, DiskFull, MemoryShort, RunBusy, StageBroken, StageMissing
from so8t.core.files import hash_folder
from so8t.core.packaged import policy_text
from so8t.core.progress import Progress
from so8t.core.run import STAGES, Manifest, Run, StageContext, stage_config
from so8t.pipeline import STAGE_TABLE, Pipeline


class Stages:
    """Fake stages: each writes its own settings and what it read; `before` may harm."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.before: dict[str, Callable[[StageContext], None]] = {}

    def step(self, name: str) -> pipeline.Step:
        def work(ctx: StageContext) -> dict[str, Any]:
            self.made.append(name)
            if name in self.before:
                self.before[name](ctx)
            read = {n: (ctx.input(n) / "out.json").read_text() for n in STAGE_TABLE[name].inputs}
            own = stage_config(ctx.config, STAGE_TABLE[name].sections)
            (ctx.folder / "out.json").write_text(json.dumps([own, read], sort_keys=True))
            return {"stage": name}

        return work


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    made = Stages()
    monkeypatch.setattr(pipeline, "step", made.step)
    return made


@pytest.fixture
def config() -> Config:
    return load_config("micro")


def piped(folder: Path, config: Config, accept: bool = False) -> Pipeline:
    return Pipeline(Run(folder / "r"), config, Progress(stream=io.StringIO()), accept)


def changed(config: Config, section: str, **values: Any) -> Config:
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})


def downstream(*changed_: str) -> list[str]:
    """These stages and all that build on them, in order."""
    found: set[str] = set()
    for stage in STAGES:
        if stage in changed_ or found & set(STAGE_TABLE[stage].inputs):
            found.add(stage)
    return [s for s in STAGES if s in found]


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*") if p.is_file() and p.name != ".lock"
    }


def test_every_input_is_an_earlier_stage_and_budgets_fit_ten_minutes() -> None:
    assert tuple(STAGE_TABLE) == STAGES
    for number, name in enumerate(STAGES):
        assert set(STAGE_TABLE[name].inputs) <= set(STAGES[:number])
    assert 120 + sum(s.budget for s in STAGE_TABLE.values()) <= 600


def test_order_and_manifests(tmp_path: Path, stages: Stages, config: Config) -> None:
    manifests = piped(tmp_path, config).start()
    assert stages.made == list(STAGES) == [m.stage for m in manifests]
    run = Run(tmp_path / "r")
    for name in STAGES:
        manifest = run.manifest(name)
        assert (
            manifest and manifest.done and set(manifest.outputs) == {"out.json"} and manifest.facts == {"stage": name}
        )
        assert manifest.inputs == {n: m.digest for n in STAGE_TABLE[name].inputs if (m := run.manifest(n))}


def test_finished_stages_are_not_repeated(tmp_path: Path, stages: Stages, config: Config) -> None:
    piped(tmp_path, config).start()
    before = snapshot(tmp_path)
    again = piped(tmp_path, config)
    again.start()
    assert stages.made == list(STAGES) and again.done_before == set(STAGES)
    assert snapshot(tmp_path) == before


def test_to_and_only(tmp_path: Path, stages: Stages, config: Config) -> None:
    piped(tmp_path, config).start(to="validate")
    assert stages.made == ["collect", "synth", "multimodal", "validate"]
    piped(tmp_path, config).start(only="base")
    assert stages.made[4:] == ["base"]
    with pytest.raises(StageMissing) as caught:
        piped(tmp_path, config).start(only="bundle")
    assert stages.made[5:] == [] and caught.value.exit_code == 4


def test_a_changed_config_is_refused_before_anything_is_touched(tmp_path: Path, stages: Stages, config: Config) -> None:
    piped(tmp_path, config).start()
    before = snapshot(tmp_path)
    with pytest.raises(ConfigChanged) as caught:
        piped(tmp_path, changed(changed(config, "base", steps=99), "collect", longest=99)).start()
    assert "base.steps: 2 -> 99" in caught.value.detail and "collect.longest: 800 -> 99" in caught.value.detail
    assert snapshot(tmp_path) == before and stages.made == list(STAGES)


def test_changed_contents_behind_the_configuration_are_noticed(tmp_path: Path, stages: Stages, config: Config) -> None:
    """A file added to a source, or an edited policy, is a change like one of the configuration itself."""
    texts, policy = tmp_path / "texts", tmp_path / "policy.toml"
    texts.mkdir()
    (texts / "a.txt").write_text("一つ目の文章です。", encoding="utf-8")
    policy.write_text(policy_text("demo")[0], encoding="utf-8")
    own = changed(changed(config, "collect", sources=(SourceConfig(str(texts)),)), "prove", policy=str(policy))
    piped(tmp_path, own).start()
    piped(tmp_path, own).start()
    assert stages.made == list(STAGES)
    (texts / "b.txt").write_text("二つ目の文章です。", encoding="utf-8")
    with pytest.raises(ConfigChanged, match="files"):
        piped(tmp_path, own).start()
    (texts / "b.txt").unlink()
    policy.write_text(policy_text("demo")[0] + "# 直した\n", encoding="utf-8")
    with pytest.raises(ConfigChanged, match="policy"):
        piped(tmp_path, own).start()


def test_a_change_of_a_stage_not_yet_begun_is_no_change(tmp_path: Path, stages: Stages, config: Config) -> None:
    piped(tmp_path, config).start(to="validate")
    piped(tmp_path, changed(config, "base", steps=99)).start()
    assert stages.made == list(STAGES)


def test_a_change_of_a_stage_cut_short_is_refused_too(tmp_path: Path, stages: Stages, config: Config) -> None:
    def stop(ctx: StageContext) -> None:
        raise KeyboardInterrupt

    stages.before["base"] = stop
    with pytest.raises(KeyboardInterrupt):
        piped(tmp_path, config).start()
    with pytest.raises(ConfigChanged, match=r"base\.steps"):
        piped(tmp_path, changed(config, "base", steps=99)).start()


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("collect", {"minimum_quality": 0.6}),
        ("synth", {"seed": 9}),
        ("base", {"steps": 3}),
        ("train", {"epochs": 9.0}),
        ("prompt", {"style": "full"}),
        ("export", {"context": 512}),
        ("prove", {"bootstrap": 10}),
        ("demo", {"maximum_tokens": 4}),
    ],
)
def test_accept_change_redoes_what_depends_on_it(
    tmp_path: Path, stages: Stages, config: Config, section: str, values: dict[str, Any]
) -> None:
    piped(tmp_path, config).start()
    stages.made.clear()
    piped(tmp_path, changed(config, section, **values), accept=True).start()
    assert stages.made == downstream(*(s for s in STAGES if depends(s, section, *values)))
    assert depends(stages.made[0], section, *values)
    stages.made.clear()
    piped(tmp_path, changed(config, section, **values)).start()  # from now on this is the configuration
    assert stages.made == []


def depends(stage: str, section: str, *keys: str) -> bool:
    """Does a stage depend on these keys of a section, named as a whole or one by one?"""
    named = {section, *(f"{section}.{key}" for key in keys)}
    return not named.isdisjoint(STAGE_TABLE[stage].sections)


def test_every_section_that_a_stage_is_named_after_is_its_own() -> None:
    for name in STAGES:
        assert name in ("bundle", "train") or name in STAGE_TABLE[name].sections
    assert "prompt" in STAGE_TABLE["train"].sections


def test_how_training_is_looked_after_is_no_part_of_it(tmp_path: Path, stages: Stages, config: Config) -> None:
    """When to save and when a card is too hot may change on the way; all else that is learned with may not."""
    keys = {f.name for f in dataclasses.fields(config.train)}
    own = {s.removeprefix("train.") for s in STAGE_TABLE["train"].sections if s.startswith("train.")}
    assert keys - own == {"checkpoint", "gpu", "sharding"}
    piped(tmp_path, config).start()
    stages.made.clear()
    piped(tmp_path, changed(config, "train", checkpoint=CheckpointConfig(seconds=7.0))).start()
    assert stages.made == []


def test_accept_change_forgets_checkpoints(tmp_path: Path, stages: Stages, config: Config) -> None:
    def checkpoint(ctx: StageContext) -> None:
        (ctx.work / "step-1").touch()

    stages.before["train"] = checkpoint
    piped(tmp_path, config).start()
    seen = []
    stages.before["train"] = lambda ctx: seen.extend(os.listdir(ctx.work))
    piped(tmp_path, changed(config, "train", epochs=9.0), accept=True).start()
    assert seen == []


def test_a_stage_redone_for_other_inputs_forgets_checkpoints(tmp_path: Path, stages: Stages, config: Config) -> None:
    stages.before["train"] = lambda ctx: (ctx.work / "step-1").touch()
    piped(tmp_path, config).start()
    seen: list[str] = []
    stages.before["train"] = lambda ctx: seen.extend(os.listdir(ctx.work))
    piped(tmp_path, changed(config, "base", steps=9), accept=True).start()
    assert seen == []


def test_a_stage_cut_short_keeps_its_checkpoints(tmp_path: Path, stages: Stages, config: Config) -> None:
    def stop(ctx: StageContext) -> None:
        (ctx.work / "step-1").touch()
        (ctx.folder / "half").touch()
        raise KeyboardInterrupt

    stages.before["train"] = stop
    with pytest.raises(KeyboardInterrupt):
        piped(tmp_path, config).start()
    run = Run(tmp_path / "r")
    assert (run.manifest("train") or Manifest("", "", {}, {}, "")).status == "running"
    seen: list[list[str]] = []
    stages.before["train"] = lambda ctx: seen.extend([os.listdir(ctx.work), os.listdir(ctx.folder)])
    stages.made.clear()
    piped(tmp_path, config).start()
    assert seen == [["step-1"], []]  # the checkpoint stays, what the stage had half written does not
    assert stages.made == list(STAGES[STAGES.index("train") :])


def test_a_changed_output_is_refused(tmp_path: Path, stages: Stages, config: Config) -> None:
    piped(tmp_path, config).start()
    file = tmp_path / "r" / "validate" / "out.json"
    file.write_text("x")
    with pytest.raises(StageBroken) as caught:
        piped(tmp_path, config).start()
    assert caught.value.where == str(file) and caught.value.exit_code == 4


def test_an_earlier_stage_done_anew_redoes_what_follows(tmp_path: Path, stages: Stages, config: Config) -> None:
    piped(tmp_path, config).start()
    run = Run(tmp_path / "r")
    (run.stage("base") / "out.json").write_text("another base")
    manifest = run.manifest("base")
    assert manifest
    run.finish(manifest)
    stages.made.clear()
    piped(tmp_path, config).start()
    assert stages.made == [s for s in downstream("base") if s != "base"]


def test_the_same_output_again_redoes_nothing_that_follows(tmp_path: Path, stages: Stages, config: Config) -> None:
    piped(tmp_path, config).start()
    Run(tmp_path / "r").manifest_path("collect").unlink()
    stages.made.clear()
    piped(tmp_path, config).start()
    assert stages.made == ["collect"]


def test_killed_between_the_end_of_a_stage_and_its_manifest(
    tmp_path: Path, stages: Stages, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Run.finish

    def killed(self: Run, manifest: Manifest) -> None:
        if manifest.stage == "base":
            raise SystemExit("killed")
        finish(self, manifest)

    monkeypatch.setattr(Run, "finish", killed)
    with pytest.raises(SystemExit):
        piped(tmp_path, config).start()
    assert (tmp_path / "r" / "base" / "out.json").exists()
    monkeypatch.setattr(Run, "finish", finish)
    stages.made.clear()
    piped(tmp_path, config).start()
    assert stages.made == list(STAGES[STAGES.index("base") :])


def test_two_processes_do_not_work_on_one_run(tmp_path: Path, stages: Stages, config: Config) -> None:
    (tmp_path / "r").mkdir()
    with FileLock(tmp_path / "r" / ".lock"), pytest.raises(RunBusy) as caught:
        piped(tmp_path, config).start()
    assert caught.value.where == str(tmp_path / "r") and stages.made == []
    piped(tmp_path, config).start()  # a lock that nobody holds is no hindrance


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(OSError(errno.ENOSPC, "full"), DiskFull), (MemoryError(), MemoryShort), (OSError(errno.EIO, "broken"), OSError)],
)
def test_what_a_stage_raises(
    tmp_path: Path, stages: Stages, config: Config, raised: BaseException, expected: type[Exception]
) -> None:
    def fail(ctx: StageContext) -> None:
        raise raised

    stages.before["synth"] = fail
    with pytest.raises(expected) as caught:
        piped(tmp_path, config).start()
    assert type(caught.value) is expected
    del stages.before["synth"]
    stages.made.clear()
    piped(tmp_path, config).start()
    assert stages.made == list(STAGES[1:])


def test_a_manifest_that_cannot_be_written_is_a_full_disk(
    tmp_path: Path, stages: Stages, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("so8t.core.files.os.fsync", fsync)
    with pytest.raises(DiskFull):
        piped(tmp_path, config).start()
    monkeypatch.undo()
    assert Run(tmp_path / "r").manifest("collect") is None


# ---- the real stages ---------------------------------------------------------------------------------------------

OUTPUTS = {
    "collect": ["domain_model.npz", "collection_stats.json"],
    "synth": ["written.jsonl", "synthesis_report.json"],
    "multimodal": ["multimodal_report.json", "synthetic_medical.jsonl"],
    "validate": ["train.jsonl", "test.jsonl", "statistics.json", "report.md", "report.html"],
    "base": ["base.json", "model/model.safetensors"],
    "train": ["adapter.safetensors", "history.jsonl"],
    "burnin": ["burnin.json", "model/model.safetensors"],
    "export": ["gguf/model-F16.gguf", "gguf/model-Q8_0.gguf", "gguf/model-Q4_K_M.gguf", "parity.json", "policy.toml"],
    "prove": ["calibration.json", "card.json", "card.html"],
    "bundle": ["bundle.json", "bundle.sig", "Modelfile.Q8_0"],
    "demo": ["demo.json"],
}


def test_all_stages(micro_run: Path) -> None:
    run = Run(micro_run)
    for name in STAGES:
        run.verify(name)
        manifest = run.manifest(name)
        assert manifest and set(OUTPUTS[name]) <= set(manifest.outputs), name
        assert manifest.outputs == hash_folder(run.stage(name))  # nothing unlisted lies there
    facts = (run.manifest("demo") or Manifest("", "", {}, {}, "")).facts
    assert facts["requests"] == 12 and facts["ledger_ok"] is True
    assert facts["ledger_entries"] == 14  # open, bundle, twelve decisions


def test_the_log_keeps_every_stage(micro_run: Path) -> None:
    records = [json.loads(line) for line in (micro_run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [r["stage"] for r in records if r["event"] == "start"] == list(STAGES)
    assert [r["stage"] for r in records if r["event"] == "done"] == list(STAGES)
    assert {r["stage"] for r in records if r["event"] == "progress"} >= {
        "collect",
        "synth",
        "base",
        "train",
        "prove",
        "demo",
    }


def test_no_stage_left_a_partial_file(micro_run: Path) -> None:
    assert [p for p in micro_run.rglob("*") if "partial" in p.name or p.name.endswith(".tmp")] == []


def test_a_second_start_does_nothing(micro_run: Path, micro_runs: Path, so8t_process: Any) -> None:
    before = snapshot(micro_run)
    done = so8t_process("run", "--profile", "micro", "--yes", "--runs", micro_runs, "--json")
    assert done.returncode == 0, done.stderr
    assert [s["stage"] for s in json.loads(done.stdout)["stages"]] == list(STAGES)
    after = snapshot(micro_run)
    log = str(micro_run / "log.jsonl")
    assert {k: v for k, v in after.items() if k != log} == {k: v for k, v in before.items() if k != log}


def test_a_changed_config_shows_the_difference(micro_runs: Path, tmp_path: Path, so8t_process: Any) -> None:
    (tmp_path / "so8t.toml").write_text("[train]\nepochs = 7.0\n", encoding="utf-8")
    done = so8t_process("run", "--profile", "micro", "--config", tmp_path / "so8t.toml", "--yes", "--runs", micro_runs)
    assert done.returncode == 4
    assert "train.epochs: 0.12 -> 7.0" in done.stderr and "--accept-change" in done.stderr


def kill_when(condition: Callable[[], bool], runs: Path, environment: dict[str, str]) -> bool:
    """Start the run up to train and SIGKILL it once the condition holds; True when it was killed in time."""
    command = [sys.executable, "-m", "so8t", "run", "--profile", "micro", "--yes", "--to", "train", "--runs", str(runs)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < end:
        if condition():
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.01)
    process.wait(10)
    return False


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_kill_and_resume(micro_run: Path, tmp_path: Path, environment: dict[str, str], so8t_process: Any) -> None:
    """Killed twice, at a random boundary or in the middle of a stage, and finished: the same bytes."""
    runs = tmp_path / "runs"
    run, generator = Run(runs / "micro"), random.Random()
    seed = generator.randrange(1 << 30)
    generator.seed(seed)
    print(f"seed {seed}")
    # Not base: on a fast machine training is over before the first kill, and there is nothing left for the second.
    boundary = generator.choice(["synth", "multimodal", "validate"])
    wait = generator.uniform(0.0, 0.5)

    def at_boundary() -> bool:
        return run.manifest_path(boundary).exists() and (time.sleep(wait) or True)

    def in_training() -> bool:
        log = run.work("train") / "history.jsonl"
        return log.exists() and log.read_bytes().count(b"\n") >= 5

    assert kill_when(at_boundary, runs, environment)
    assert kill_when(in_training, runs, environment)
    manifest = run.manifest("train")
    assert manifest and not manifest.done
    done = so8t_process("run", "--profile", "micro", "--yes", "--to", "train", "--runs", runs)
    assert done.returncode == 0, done.stderr[-2000:]
    whole = Run(micro_run)
    for name in STAGES[: STAGES.index("train") + 1]:
        ours, theirs = run.manifest(name), whole.manifest(name)
        assert ours and theirs and ours.outputs == theirs.outputs, (seed, name)
