"""From folders: the streamed fold is the fold in memory bit for bit, and nothing that does not fit gets through."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

from so8t.build.burnin.fold import Folded, fold
from so8t.build.burnin.proof import prove
from so8t.build.burnin.shards import write_shards
from so8t.build.burnin.skeleton import gated_model, plain_names, skeleton, stored_model, written_model
from so8t.build.burnin.weights import Held
from so8t.build.model.attach import GatedModel, attach
from so8t.build.model.loading import load_causal
from so8t.core.config import BurnInConfig, GateConfig
from so8t.core.errors import BaseUnusable, BurnInFailed, StageBroken, TrainingDiverged

PROMPTS = [list(range(i, i + 24)) for i in (1, 40, 90)]


def streamed(trained: Any, out: Path, limit: int = 10**9, train: Any = None) -> tuple[GatedModel, Any, float]:
    """(model, its weights, layer error) with the folded model in `out`."""
    out.mkdir()
    model, weights = gated_model(trained.base, trained.adapter, train or trained.train)
    folded = Folded(model, weights)
    with torch.no_grad():
        names = plain_names(skeleton(trained.base))
        write_shards(out, {name: folded.shape(name) for name in names}, folded.pieces, limit)
    skeleton(trained.base).config.save_pretrained(out)
    return model, weights, folded.largest_error()


def same_as_in_memory(trained: Any, out: Path) -> None:
    plain, error = fold(trained.model)
    found = {name: t for file in out.glob("*.safetensors") for name, t in load_file(file).items()}
    assert sorted(found) == sorted(plain_names(plain))
    assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in found.items())
    assert error < 1e-10


@pytest.mark.parametrize("limit", [10**9, 30_000])
def test_streamed_fold_is_bit_for_bit_the_one_in_memory(trained: Any, tmp_path: Path, limit: int) -> None:
    model, weights, error = streamed(trained, tmp_path / "out", limit)
    assert (len(list((tmp_path / "out").glob("*.safetensors"))) > 1) == (limit == 30_000)
    same_as_in_memory(trained, tmp_path / "out")
    assert error == fold(trained.model)[1]
    plain, written = written_model(tmp_path / "out")
    checks = prove(model, plain, PROMPTS, BurnInConfig(), error, (weights, written))
    assert all(c.passed for c in checks)
    in_memory = prove(trained.model, fold(trained.model)[0], PROMPTS, BurnInConfig(), error)
    assert [c.to_json() for c in checks] == [c.to_json() for c in in_memory]


def rewrite(trained: Any, dtype: torch.dtype, shard: str) -> GatedModel:
    """The base again in another precision and in shards, and the trained model that belongs to it."""
    model = load_causal(trained.base, torch.float32).to(dtype)
    for file in trained.base.glob("*.safetensors"):
        file.unlink()
    model.save_pretrained(trained.base, max_shard_size=shard)
    again = attach(load_causal(trained.base, torch.float32), trained.train.lora, trained.train.gate)
    values = load_file(trained.adapter)
    with torch.no_grad():
        for name, parameter in again.parameters().items():
            parameter.copy_(values[name])
    assert again.rotations is not None
    again.rotations.refresh()
    again.train(False)
    return again


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_base_in_shards_folds_into_fp32(trained: Any, tmp_path: Path, dtype: torch.dtype) -> None:
    """What LoRA adds is finer than bf16: kept in fp32, it is the sum in fp64 rounded once."""
    trained = dataclasses.replace(trained, model=rewrite(trained, dtype, "50KB"))
    assert len(list(trained.base.glob("*.safetensors"))) > 1
    _, _, error = streamed(trained, tmp_path / "out")
    same_as_in_memory(trained, tmp_path / "out")
    folded = load_file(tmp_path / "out" / "model.safetensors")["model.layers.0.self_attn.o_proj.weight"]
    assert folded.dtype == torch.float32 and not torch.equal(folded, folded.to(dtype).float()) and error < 1e-10


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_quantised_training_merges_into_the_full_base(
    trained: Any, tmp_path: Path, kind: Literal["int8", "nf4"]
) -> None:
    """QLoRA: what the card held in 8 or 4 bits is not what the adapter is merged into."""
    streamed(trained, tmp_path / "out", train=dataclasses.replace(trained.train, quantization=kind))
    same_as_in_memory(trained, tmp_path / "out")


def test_base_that_is_quantised_on_disk(trained: Any) -> None:
    config = json.loads((trained.base / "config.json").read_text())
    quantised = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (trained.base / "config.json").write_text(json.dumps(config | {"quantization_config": quantised}))
    with pytest.raises(BaseUnusable, match="full precision"):
        gated_model(trained.base, trained.adapter, trained.train)
    (trained.base / "config.json").write_text(json.dumps(config))
    trained.change_base(lambda t: t.update({"model.norm.weight": torch.ones(64, dtype=torch.int8)}))
    with pytest.raises(BaseUnusable, match=r"norm\.weight: I8"):
        gated_model(trained.base, trained.adapter, trained.train)


O_PROJ = "model.layers.1.self_attn.o_proj.weight"


@pytest.mark.parametrize("change", [
    lambda t: t.pop(O_PROJ), lambda t: t.update({"o": t.pop(O_PROJ)}), lambda t: t.update({O_PROJ: torch.ones(64, 8)}),
    lambda t: t.update({O_PROJ: torch.ones(64 * 64)}),
], ids=["missing", "renamed", "narrow", "flat"])  # fmt: skip
def test_base_that_is_not_its_configuration(trained: Any, change: Callable[[dict[str, Any]], None]) -> None:
    trained.change_base(change)
    with pytest.raises(BaseUnusable, match="o_proj") as caught:
        gated_model(trained.base, trained.adapter, trained.train)
    assert caught.value.where == str(trained.base / "model.safetensors")


def test_truncated_base(trained: Any) -> None:
    file = trained.base / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-64])
    with pytest.raises(BaseUnusable):
        gated_model(trained.base, trained.adapter, trained.train)


def test_base_with_other_names_that_transformers_reads(trained: Any, tmp_path: Path) -> None:
    """Without the prefix, with the head in the place of the embedding, and with tensors that nobody asks for."""
    trained.change_base(lambda t: t.update({"rotary.inv_freq": torch.ones(3), "steps": torch.ones(1)}))
    trained.change_base(lambda t: [t.update({n.removeprefix("model."): t.pop(n)}) for n in list(t)])
    trained.change_base(lambda t: t.update({"lm_head.weight": t.pop("embed_tokens.weight")}))
    streamed(trained, tmp_path / "out")
    same_as_in_memory(trained, tmp_path / "out")


def test_tied_weights_that_differ(trained: Any) -> None:
    model = skeleton(trained.base)
    trained.change_base(lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()}))
    assert stored_model(trained.base, model, BaseUnusable).shape("lm_head.weight") == (512, 64)
    trained.change_base(lambda t: t["lm_head.weight"].add_(1.0))
    with pytest.raises(BaseUnusable, match="differs"):
        stored_model(trained.base, model, BaseUnusable)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["rotations.skew", "lora_A", "lora_B"])
def test_adapter_with_a_number_that_is_none(trained: Any, name: str, bad: float) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        next(t for n, t in tensors.items() if name in n).view(-1)[-1] = bad

    trained.change_adapter(spoil)
    with pytest.raises(TrainingDiverged, match=name) as caught:
        gated_model(trained.base, trained.adapter, trained.train)
    assert caught.value.where == str(trained.adapter)


@pytest.mark.parametrize("change", [
    lambda t: t.pop("rotations.skew"), lambda t: t.pop(next(n for n in t if "lora_A" in n)),
    lambda t: t.update({"rotations.skew": torch.zeros(3, 8, 28)}), lambda t: t.update(more=torch.zeros(2)),
    lambda t: t.update({n: v[:2] for n, v in t.items() if "lora_A" in n}),
    lambda t: t.update({"rotations.skew": t["rotations.skew"].to(torch.int32)}),
], ids=["no gates", "no lora", "three layers", "too much", "rank", "integers"])  # fmt: skip
def test_adapter_of_another_training(trained: Any, change: Callable[[dict[str, Any]], None]) -> None:
    trained.change_adapter(change)
    with pytest.raises(StageBroken):
        gated_model(trained.base, trained.adapter, trained.train)


def test_gates_in_the_file_that_the_configuration_leaves_out(trained: Any) -> None:
    """Dropped in silence, the model would be another than the one that was trained."""
    without = dataclasses.replace(trained.train, gate=GateConfig(enabled=False))
    with pytest.raises(StageBroken, match="rotations"):
        gated_model(trained.base, trained.adapter, without)
    trained.change_adapter(lambda t: t.pop("rotations.skew"))
    assert gated_model(trained.base, trained.adapter, without)[0].rotations is None


def test_truncated_adapter(trained: Any) -> None:
    trained.adapter.write_bytes(trained.adapter.read_bytes()[:-8])
    with pytest.raises(StageBroken):
        gated_model(trained.base, trained.adapter, trained.train)


def test_nan_in_the_base_is_not_written(trained: Any, tmp_path: Path) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        tensors["model.layers.0.mlp.down_proj.weight"][3, 3] = torch.nan

    trained.change_base(spoil)
    with pytest.raises(BurnInFailed, match=r"down_proj.*not finite"):
        streamed(trained, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["rotations.skew", "model.layers.0.self_attn.o_proj.lora_A.default.weight"])
def test_what_is_left_over_in_the_folder_is_refused(trained: Any, tmp_path: Path, name: str) -> None:
    streamed(trained, tmp_path / "out")
    file = tmp_path / "out" / "model.safetensors"
    save_file(load_file(file) | {name: torch.ones(2)}, file)
    with pytest.raises(BurnInFailed, match="left over"):
        written_model(tmp_path / "out")


@pytest.mark.parametrize("scale", [0.0, 1.02, -1.0])
def test_written_weight_that_is_wrong_fails_the_proof(trained: Any, tmp_path: Path, scale: float) -> None:
    model, weights, error = streamed(trained, tmp_path / "out")
    file = tmp_path / "out" / "model.safetensors"
    tensors = load_file(file)
    save_file(tensors | {O_PROJ: tensors[O_PROJ] * scale}, file)
    plain, written = written_model(tmp_path / "out")
    checks = prove(model, plain, PROMPTS, BurnInConfig(), error, (weights, written))
    assert "fp32" in {c.precision for c in checks if not c.passed}


def test_gate_that_was_not_folded_yet_has_no_error(trained: Any) -> None:
    folded = Folded(trained.model, Held.by(trained.model.causal))
    list(folded.pieces("model.layers.0.self_attn.o_proj.weight"))
    with pytest.raises(BurnInFailed, match="1 / 2 gates folded"):
        folded.largest_error()
