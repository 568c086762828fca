"""The stage: a proved model in its folder, or none at all."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from so8t.build.burnin import stage
from so8t.build.burnin.fold import fold
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.core.config import Config
from so8t.core.errors import BaseUnusable, BurnInFailed
from so8t.core.progress import Progress
from so8t.core.run import Manifest, Run, StageContext


@pytest.fixture
def ctx(trained: Any, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageContext:
    """The stages before it are done: base, train, and validate, whose prompts are put in here."""
    monkeypatch.setattr(stage, "proof_prompts", lambda _ctx, count: ["依頼:閲覧権限", "報告は部外秘です", "x"][:count])
    tokenizer.save_pretrained(trained.base)
    run = Run(tmp_path / "run")
    for name in ("base", "train", "burnin"):
        run.stage(name).mkdir(parents=True)
        if name != "burnin":
            run.write(Manifest(name, "done", {}, {}, ""))
    (run.stage("base") / "base.json").write_text(json.dumps({"path": str(trained.base)}))
    shutil.copyfile(trained.adapter, run.stage("train") / "adapter.safetensors")
    config = dataclasses.replace(Config(profile="micro"), threads=1, train=trained.train)
    return StageContext(run, config, "burnin", Progress(stream=io.StringIO()))


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_model_and_proof(ctx: StageContext, trained: Any) -> None:
    facts = stage.run_burnin(ctx)
    model = ctx.folder / "model"
    assert facts == json.loads((ctx.folder / "burnin.json").read_text())
    assert all(c["passed"] for c in facts["checks"]) and facts["layers"] == 2 and 0 < facts["max_layer_error"] < 1e-10
    assert facts["prompts"]["count"] == 3 and facts["prompts"]["tokens"] > 3 and len(facts["prompts"]["sha256"]) == 64
    plain = fold(trained.model)[0]
    found = load_file(model / "model.safetensors")
    assert all(torch.equal(found[n], p) for n, p in plain.named_parameters())
    config = json.loads((model / "config.json").read_text())
    assert config["dtype"] == "float32" and config["architectures"] == ["Phi3ForCausalLM"]
    assert load_tokenizer(model).get_vocab() == load_tokenizer(trained.base).get_vocab()
    assert not ctx.work.joinpath("model").exists()
    assert not [name for name in names(ctx.folder) if "partial" in name]
    again = load_causal(model, torch.float32)
    assert torch.equal(again.lm_head.weight, plain.lm_head.weight)


def test_prompts_are_stated(ctx: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stage.run_burnin(ctx)["prompts"]
    assert first == stage.run_burnin(again(ctx))["prompts"]
    monkeypatch.setattr(stage, "proof_prompts", lambda *_: ["別の依頼"])
    other = stage.run_burnin(again(ctx))["prompts"]
    assert other["count"] == 1 and other["sha256"] != first["sha256"]


def again(ctx: StageContext) -> StageContext:
    shutil.rmtree(ctx.folder)
    ctx.folder.mkdir()
    return ctx


def test_generation_settings_of_the_base_are_kept(ctx: StageContext, trained: Any) -> None:
    own = trained.base / "generation_config.json"
    own.write_text('{"eos_token_id": [7, 8]}')
    stage.run_burnin(ctx)
    assert (ctx.folder / "model" / "generation_config.json").read_bytes() == own.read_bytes()
    own.unlink()
    stage.run_burnin(again(ctx))
    assert json.loads((ctx.folder / "model" / "generation_config.json").read_text())["eos_token_id"] == 0
    own.write_text(" " * (stage.MAX_GENERATION_BYTES + 1))
    with pytest.raises(BaseUnusable, match="bytes"):
        stage.run_burnin(again(ctx))


def test_failed_proof_leaves_figures_and_no_model(ctx: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    right = stage.written_model

    def bent(folder: Path) -> Any:
        model, weights = right(folder)
        place = weights.places["model.layers.1.self_attn.o_proj.weight"]
        return model, dataclasses.replace(
            weights, places={**weights.places, "model.layers.0.self_attn.o_proj.weight": place}
        )

    monkeypatch.setattr(stage, "written_model", bent)
    with pytest.raises(BurnInFailed, match="model fp32"):
        stage.run_burnin(ctx)
    assert names(ctx.folder) == ["burnin.json"] and not names(ctx.work)


@pytest.mark.parametrize("broken", ["write_folded", "_prove", "commit_folder"])
def test_interrupted_at_any_point_it_leaves_no_model(
    ctx: StageContext, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, broken, stop)
        with pytest.raises(KeyboardInterrupt):
            stage.run_burnin(ctx)
    assert not (ctx.folder / "model").exists() and not names(ctx.work)


def test_what_a_killed_start_left_is_not_taken_up(ctx: StageContext) -> None:
    left = ctx.work / "model"
    left.mkdir()
    (left / "model-00001-of-00002.safetensors").write_bytes(b"half")
    stage.run_burnin(ctx)
    assert not list((ctx.folder / "model").glob("model-0*")) and not names(ctx.work)


def test_no_prompts_prove_nothing(ctx: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "proof_prompts", lambda *_: [])
    with pytest.raises(BurnInFailed, match="prompts"):
        stage.run_burnin(ctx)
    assert not (ctx.folder / "model").exists()
