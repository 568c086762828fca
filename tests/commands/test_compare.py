"""so8t compare: trainings made on shared data and resumed, finished ones paired or refused, none written into."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t import cli
from so8t.commands import compared_runs
from so8t.commands.compare import ALLOWED
from so8t.commands.compared_runs import Study, Wanted, make_cells
from so8t.core.config import Config
from so8t.core.errors import ConfigChanged, RunBusy, StageMissing, TrainingDiverged
from so8t.core.files import hash_folder, read_json, write_json
from so8t.core.progress import Progress
from so8t.core.run import Manifest, Run, code_digest, stage_config
from so8t.pipeline import STAGE_TABLE, Pipeline
from so8t.prove.ablation.factors import factor_of

Call = Callable[..., tuple[int, str, str]]
Record = dict[str, Any]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """main() in this process: (exit code, stdout, stderr)."""

    def main(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return main


def finish(run: Run, stage: str, config: Record, inputs: dict[str, str] | None = None, **facts: Any) -> None:
    """A finished stage whose folder holds one file."""
    run.stage(stage).mkdir(parents=True, exist_ok=True)
    (run.stage(stage) / "made.txt").write_text(f"{stage} {sorted(config.items())}", encoding="utf-8")
    run.finish(Manifest(stage, "running", config, inputs or {}, code_digest(), facts=facts))


def trained(folder: Path, config: Config, seed: int, on: bool, data: str = "d") -> Run:
    """A run as the stage train leaves it, without a model: measuring is faked."""
    run = Run(folder)
    train = dataclasses.replace(config.train, seed=seed, pet=dataclasses.replace(config.train.pet, enabled=on))
    settings = stage_config(dataclasses.replace(config, train=train), STAGE_TABLE["train"].sections)
    run.stage("train").mkdir(parents=True)
    losses = [3.0 + 0.01 * seed - 0.001 * i + 0.05 * (i % 3) * (2 - on) for i in range(40)]
    text = "".join(json.dumps({"step": i, "loss": loss}) + "\n" for i, loss in enumerate(losses))
    (run.stage("train") / "history.jsonl").write_text(text, encoding="utf-8")
    (run.stage("train") / "adapter.safetensors").write_bytes(f"{seed} {on}".encode())
    run.finish(Manifest("train", "running", settings, {"validate": data, "base": f"b{seed}"}, code_digest()))
    return run


def fake_measure(run: Run, scope: Any, threads: int, progress: Progress) -> Record:
    """A model that is 0.5 better with PET, and 0.1 a seed worse."""
    manifest = run.manifest("train")
    assert manifest is not None
    seed, on = manifest.config["train.seed"], manifest.config["train.pet"]["enabled"]
    loss = 3.0 + 0.1 * seed - (0.5 + 0.01 * (seed % 3)) * on
    documents = {"ids": [f"d{i}" for i in range(20)], "sums": [[loss + 0.01 * i, 1] for i in range(20)]}
    cells = [[0.0] * 9 for _ in range(20)]
    for i, row in enumerate(cells):
        row[4 * (i % 3)] = 1
    return {
        "units": {"answers": documents, "long": documents, "roughness": documents,
                  "decisions": {"ids": documents["ids"], "sums": cells}},
        "texts": [], "angle": 2.0, "positions": [[0, scope.window, loss, 1]],
        "facts": {"split": "validation", "window": scope.window, "trained_tokens": 256, "context": 1024},
    }  # fmt: skip


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs that were measured, instead of measuring them."""
    seen: list[str] = []

    def measure(run: Run, *rest: Any) -> Record:
        seen.append(run.folder.name)
        return fake_measure(run, *rest)

    monkeypatch.setattr("so8t.build.ablation.measure.measure", measure)
    return seen


@pytest.fixture
def six(tmp_path: Path, micro_config: Config) -> Path:
    """runs/off-8 on-8 off-9 on-9 off-10 on-10."""
    for seed in (8, 9, 10):
        for on in (False, True):
            trained(tmp_path / "runs" / f"{'on' if on else 'off'}-{seed}", micro_config, seed, on)
    return tmp_path / "runs"


NAMES = ["off-8", "on-8", "off-9", "on-9", "off-10", "on-10"]


def test_finished_runs_in_pairs(call: Call, six: Path, measuring: list[str]) -> None:
    before = hash_folder(six)
    code, out, _ = call("compare", *NAMES, "--runs", six, "--json")
    result = json.loads(out)
    assert code == 0 and (result["factor"], result["control"]) == ("train.pet.enabled", "false")
    (part,) = result["comparisons"]
    assert part["seeds"] == [8, 9, 10]
    rows = {row["name"]: row for row in part["figures"]}
    assert rows["validation_loss"]["verdict"] == "effect" and rows["validation_loss"]["mean"] == pytest.approx(-0.51)
    assert rows["accuracy"]["verdict"] == "none" and rows["bleu"]["verdict"] == "unmeasured"
    assert Path(result["page"]).parent == six / "compare-off-8-on-8" and read_json(Path(result["record"]))["factor"]
    assert sorted(measuring) == sorted(NAMES)
    assert {
        k: v for k, v in hash_folder(six).items() if not k.startswith("compare-")
    } == before  # nothing written there


def test_the_table_in_both_languages(call: Call, six: Path, measuring: list[str]) -> None:
    code, out, _ = call("compare", *NAMES, "--runs", six, "--lang", "ja")
    assert code == 0 and "効果は示されなかった" in out and "差がある(良くなった)" in out and "Holm" in out
    assert "検証用の分割(validation)だけ" in out and "-0.5100" in out and "外挿" in out
    code, out, _ = call("compare", *NAMES, "--runs", six, "--lang", "en")
    assert "no effect shown" in out and "never on the test split" in out
    assert len(measuring) == len(NAMES)  # the second time nothing is measured again


def test_what_is_no_pair_is_refused_and_shown(
    call: Call, six: Path, measuring: list[str], micro_config: Config, tmp_path: Path
) -> None:
    trained(six / "elsewhere", micro_config, 8, True, data="other data")
    code, out, err = call("compare", "off-8", "elsewhere", "--runs", six)
    assert (code, out) == (4, "") and "[R05]" in err
    assert "input.validate" in err and "train.pet.enabled: false | true" in err
    assert not measuring and not list(six.glob("compare-*"))  # before anything is measured
    code, out, _ = call("compare", "off-8", "elsewhere", "--runs", six, "--unpaired", "--lang", "ja")
    assert code == 0 and "input.validate" in out and "判定はありません" in out and "差がある" not in out
    code, _, err = call("compare", "off-8", "on-8", "--vary", "gate", "--runs", six, "--lang", "en")
    assert code == 4 and "train.gate.enabled: =" in err


def test_one_pair_is_shown_and_not_judged(call: Call, six: Path, measuring: list[str]) -> None:
    code, out, _ = call("compare", "off-8", "on-8", "--runs", six, "--json")
    rows = json.loads(out)["comparisons"][0]["figures"]
    assert code == 0 and {r["verdict"] for r in rows} == {"undecided", "unmeasured"}


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["one"], ["one", "one"], ["--vary", "nothing"], ["--vary", "pet", "--seeds", "0"],
        ["--vary", "pet", "--seeds", "51"], ["--vary", "train.seed=1,2"], ["a", "b", "--window", "3"],
        ["--vary", "pet", "--draws", "1"],
        ["--vary", "pet", "--draws", "0"], ["--vary", "pet", "--windows", "0"],
        ["--vary", "pet", "--requests", "-4"], ["--vary", "pet", "--windows", "-1"],
    ],
)  # fmt: skip
def test_wrong_usage(call: Call, tmp_path: Path, arguments: list[str]) -> None:
    code, _, err = call("compare", *arguments, "--runs", tmp_path / "runs", "--profile", "micro")
    assert code == 2 and "次に" in err
    assert not list(tmp_path.rglob("cells"))


def test_a_run_that_is_not_there(call: Call, six: Path) -> None:
    code, _, err = call("compare", "off-8", "nowhere", "--runs", six)
    assert code == 4 and "[R06]" in err


# ---- trainings made for the comparison ---------------------------------------------------------------------------


def prepared(folder: Path, config: Config) -> Run:
    """A run whose stages up to base are finished, as the pipeline would leave them."""
    run = Run(folder)
    inputs: dict[str, str] = {}
    pipeline = Pipeline(run, config, Progress(stream=io.StringIO()))
    for name in compared_runs.SHARED:
        finish(run, name, pipeline._settings(name), {n: inputs[n] for n in STAGE_TABLE[name].inputs})
        made = run.manifest(name)
        assert made is not None
        inputs[name] = made.digest
    return run


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch, micro_config: Config) -> list[str]:
    """Cells that were trained, instead of training them."""
    seen: list[str] = []

    def start(self: Pipeline, to: str = "", only: str = "") -> list[Manifest]:
        if only == "train" and self.run.manifest("train") is None:
            assert (self.run.stage("base") / "made.txt").is_file() and (
                self.run.stage("validate") / "made.txt"
            ).is_file()
            seen.append(self.run.folder.name)
            folder = self.run.folder.with_name(".trained")
            train = self.config.train
            made = trained(folder, self.config, train.seed, train.pet.enabled)
            made.stage("train").rename(self.run.stage("train"))
            manifest = made.manifest("train")
            assert manifest is not None
            self.run.write(dataclasses.replace(manifest, inputs={"validate": "d", "base": "b"}))
            shutil.rmtree(folder)
            (self.run.work("train") / "step-00000001").mkdir()
        return []

    monkeypatch.setattr(Pipeline, "start", start)
    return seen


def study(folder: Path, **options: Any) -> Study:
    folder.mkdir(parents=True, exist_ok=True)
    return Study(folder, Progress(stream=io.StringIO()), Wanted(), **options)


def test_trainings_are_made_once_on_linked_stages(
    tmp_path: Path, micro_config: Config, training: list[str], measuring: list[str]
) -> None:
    source, factor = prepared(tmp_path / "source", micro_config), factor_of("pet", ALLOWED)
    ours = study(tmp_path / "study")
    cells, diverged = make_cells(ours, micro_config, factor, 2, source.folder)
    names = ["pet.enabled=false-seed8", "baseline-seed8", "pet.enabled=false-seed9", "baseline-seed9"]
    assert [c.name for c in cells] == names == training == measuring and not diverged
    linked = cells[0].run.stage("base") / "made.txt"
    assert linked.samefile(source.stage("base") / "made.txt")  # one file, several names
    assert not list(cells[0].run.work("train").glob("step-*"))  # checkpoints are gone, weights are there
    assert (cells[0].run.stage("train") / "adapter.safetensors").is_file()
    make_cells(ours, micro_config, factor, 3, None)
    assert training == [*names, "pet.enabled=false-seed10", "baseline-seed10"] == measuring
    make_cells(ours, micro_config, factor_of("gate", ALLOWED), 1, None)
    assert training[-1] == measuring[-1] == "gate.enabled=false-seed8" and len(training) == 7  # the baseline is there


def test_the_progress_tells_the_time_left(
    tmp_path: Path, micro_config: Config, training: list[str], measuring: list[str]
) -> None:
    source, out = prepared(tmp_path / "source", micro_config), io.StringIO()
    ours = dataclasses.replace(study(tmp_path / "study"), progress=Progress(tmp_path / "log", out))
    make_cells(ours, micro_config, factor_of("pet", ALLOWED), 2, source.folder)
    assert "[4/4] baseline-seed9" in out.getvalue() and "残り" in out.getvalue()
    records = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert records[-1]["task"] == "compare" and records[-1]["done"] == 4 and records[-1]["seconds_left"] == 0


def test_ctrl_c_keeps_what_is_done(
    tmp_path: Path, micro_config: Config, training: list[str], measuring: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, ours = prepared(tmp_path / "source", micro_config), study(tmp_path / "study")
    original = Pipeline.start

    def stopped(self: Pipeline, to: str = "", only: str = "") -> list[Manifest]:
        if len(training) == 3:
            raise KeyboardInterrupt
        return original(self, to, only)

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "start", stopped)
        with pytest.raises(KeyboardInterrupt):
            make_cells(ours, micro_config, factor_of("pet", ALLOWED), 2, source.folder)
    make_cells(ours, micro_config, factor_of("pet", ALLOWED), 2, source.folder)
    assert len(training) == len(set(training)) == 4 == len(measuring)


def test_a_training_that_diverges_is_said_and_the_others_go_on(
    tmp_path: Path, micro_config: Config, training: list[str], measuring: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, original = prepared(tmp_path / "source", micro_config), Pipeline.start

    def diverging(self: Pipeline, to: str = "", only: str = "") -> list[Manifest]:
        if only and self.config.train.seed == 9 and not self.config.train.pet.enabled:
            raise TrainingDiverged(where="step 3")
        return original(self, to, only)

    monkeypatch.setattr(Pipeline, "start", diverging)
    cells, diverged = make_cells(study(tmp_path / "s"), micro_config, factor_of("pet", ALLOWED), 3, source.folder)
    assert diverged == ["pet.enabled=false-seed9"] and len(cells) == 5


def test_another_source_or_a_missing_one(
    tmp_path: Path, micro_config: Config, training: list[str], measuring: list[str]
) -> None:
    factor, ours = factor_of("pet", ALLOWED), study(tmp_path / "study")
    with pytest.raises(StageMissing):
        make_cells(ours, micro_config, factor, 1, tmp_path / "nowhere")
    make_cells(ours, micro_config, factor, 1, prepared(tmp_path / "source", micro_config).folder)
    other = prepared(tmp_path / "other", dataclasses.replace(micro_config, threads=2))
    (other.stage("validate") / "made.txt").write_text("other data", encoding="utf-8")
    manifest = other.manifest("validate")
    assert manifest is not None
    other.finish(manifest)
    with pytest.raises(ConfigChanged) as caught:
        make_cells(ours, micro_config, factor, 1, other.folder)
    assert "validate" in caught.value.detail


def test_trained_by_other_code(tmp_path: Path, micro_config: Config, training: list[str], measuring: list[str]) -> None:
    source, factor = prepared(tmp_path / "source", micro_config), factor_of("pet", ALLOWED)
    cells, _ = make_cells(study(tmp_path / "study"), micro_config, factor, 1, source.folder)
    path = cells[0].run.manifest_path("train")
    write_json(path, read_json(path) | {"code": "older"})
    shutil.rmtree(cells[0].run.stage("train"))
    make_cells(study(tmp_path / "study", accept_change=True), micro_config, factor, 1, None)
    assert training.count(cells[0].name) == 2 and training.count(cells[1].name) == 1


def test_two_at_once_on_one_folder(tmp_path: Path, micro_config: Config) -> None:
    from filelock import FileLock

    ours = study(tmp_path / "study")
    with FileLock(ours.folder / ".lock"), pytest.raises(RunBusy):
        make_cells(ours, micro_config, factor_of("pet", ALLOWED), 1, None)


def test_copies_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "a").write_text("x", encoding="utf-8")
    compared_runs._link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text(encoding="utf-8") == "x" and not (tmp_path / "b").samefile(tmp_path / "a")


@pytest.mark.slow
def test_a_real_comparison(micro_runs: Path, tmp_path: Path, so8t_process: Any) -> None:
    """Six micro trainings on the finished run's data and base, then the same command again in no time."""
    command = [
        "compare", "--profile", "micro", "--vary", "pet", "--from", micro_runs / "micro", "--runs", tmp_path,
        "--window", 320, "--windows", 2, "--requests", 12, "--json",
    ]  # fmt: skip
    done = so8t_process(*command)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    rows = {r["name"]: r for r in result["comparisons"][0]["figures"]}
    assert all(len(r.get("differences", [0, 0, 0])) == 3 for r in rows.values())
    assert rows["train_loss"]["verdict"] in ("effect", "none") and result["method"]["family"] >= 5
    page = (tmp_path / "compare-micro" / "compare-pet.html").read_text(encoding="utf-8")
    assert "<svg" in page and "<script" not in page
    again = so8t_process(*command)
    assert json.loads(again.stdout) == result


def test_options_have_defaults() -> None:
    options = cli.build_parser().parse_args(["compare", "--vary", "pet"])
    assert isinstance(options, argparse.Namespace)
    assert (options.seeds, options.draws, options.names, options.unpaired) == (3, 2000, [], False)
