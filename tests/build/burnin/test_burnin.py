"""Burn-in: the fold is exact, the proof passes for it, and fails for every wrong fold one might make."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from so8t.build.burnin import fold as folding
from so8t.build.burnin.fold import fold, fold_rotation, merged_weight
from so8t.build.burnin.proof import Check, difference, prove
from so8t.build.model.attach import GatedModel, attach, output_projections
from so8t.build.model.rotation import rotate, rotation
from so8t.core.config import BurnInConfig, GateConfig, LoraConfig
from so8t.core.errors import BurnInFailed

CONFIG = BurnInConfig()
PROMPTS = [list(range(i, i + 24)) for i in (1, 40, 90)]
TIED = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])


@pytest.fixture
def model(make_gated: Callable[..., GatedModel], tied: bool) -> GatedModel:
    made = make_gated(0.3, tie_word_embeddings=tied)
    made.train(False)
    return made


def failed(checks: list[Check]) -> set[str]:
    return {f"{c.name} {c.precision}" for c in checks if not c.passed}


def proof(model: GatedModel, plain: Any) -> set[str]:
    """What the proof objects to in a folded model that somebody else made."""
    return failed(prove(model, plain, PROMPTS, CONFIG, 0.0))


def test_fold_is_r_times_w_block_by_block() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(24, 10, generator=generator, dtype=torch.float64)
    r = rotation(torch.randn(3, 28, generator=generator, dtype=torch.float64))
    x = torch.randn(5, 10, generator=generator, dtype=torch.float64)
    folded = fold_rotation(weight, r)
    assert torch.allclose(folded, torch.block_diag(*r) @ weight, atol=1e-13)
    assert (rotate(x @ weight.mT, r) - x @ folded.mT).abs().max() < 1e-10
    wrong = fold_rotation(weight, r.mT)
    assert (rotate(x @ weight.mT, r) - x @ wrong.mT).abs().max() > 0.1


def test_fold_keeps_the_dtype_of_the_weight() -> None:
    assert fold_rotation(torch.ones(8, 4, dtype=torch.bfloat16), torch.eye(8)[None]).dtype == torch.bfloat16


@TIED
def test_merged_weight_is_w_plus_s_b_a_in_fp64(model: GatedModel) -> None:
    layer: Any = output_projections(model.peft)[1]
    a, b = layer.lora_A["default"].weight.double(), layer.lora_B["default"].weight.double()
    merged = merged_weight(layer)
    assert merged.dtype == torch.float64
    assert torch.equal(merged, layer.base_layer.weight.double() + 2.0 * (b @ a))  # alpha / rank = 2
    assert torch.equal(merged_weight(nn.Linear(3, 3)), merged_weight(nn.Linear(3, 3))) is False


@TIED
def test_proof_passes_in_every_precision(model: GatedModel, tied: bool) -> None:
    skew = model.parameters()["rotations.skew"].detach().clone()
    plain, error = fold(model)
    assert error < 1e-10
    checks = prove(model, plain, PROMPTS, CONFIG, error)
    assert failed(checks) == set()
    by_name = {f"{c.name} {c.precision}": c for c in checks}
    assert set(by_name) == {"layers fp64", "model fp32", "model bf16", "model fp16", "norm fp64"}
    fp32 = by_name["model fp32"]
    assert 0 < fp32.max_logit_difference < 1e-3 and fp32.kl < 1e-6 and fp32.argmax_agreement == 1.0
    assert by_name["model bf16"].max_logit_difference > fp32.max_logit_difference
    assert all("plan_target_met" in c.to_json() for c in checks)
    # The plain model is one that transformers alone understands, and the gated one is as it was.
    assert type(plain) is Phi3ForCausalLM
    assert not any("lora" in n for n, _ in plain.named_modules())
    assert (plain.lm_head.weight is plain.model.embed_tokens.weight) == tied
    assert torch.equal(model.parameters()["rotations.skew"], skew)
    assert all(len(m._forward_hooks) == 1 for m in output_projections(model.peft))


@TIED
def test_the_gate_does_something_that_the_fold_must_carry(model: GatedModel) -> None:
    """Otherwise every proof below would pass by itself."""
    plain = fold(model)[0]
    bare = copy.deepcopy(model)
    for layer in output_projections(bare.peft):
        layer._forward_hooks.clear()
    assert difference(bare.peft, plain, PROMPTS).logit > 0.1
    assert difference(model.peft, plain, PROMPTS).logit < 1e-3


def spoil(model: GatedModel, change: Callable[[int, Any, Tensor], Tensor]) -> Any:
    """The right plain model with each o_proj weight replaced by change(layer number, PEFT layer, R)."""
    plain = fold(model)[0]
    assert model.rotations is not None
    rs = model.rotations.matrices(torch.float64).detach()
    for i, (layer, target) in enumerate(zip(output_projections(model.peft), output_projections(plain), strict=True)):
        with torch.no_grad():
            target.weight.copy_(change(i, layer, rs[i]))  # type: ignore[operator, union-attr]
    return plain


def base_and_lora(layer: Any) -> tuple[Tensor, Tensor]:
    whole = merged_weight(layer)
    base = layer.base_layer.weight.detach().double()
    return base, whole - base


WRONG: dict[str, Callable[[int, Any, Tensor], Tensor]] = {
    "wrong side": lambda _i, m, r: merged_weight(m) @ torch.block_diag(*r),
    "transposed": lambda _i, m, r: fold_rotation(merged_weight(m), r.mT),
    "lora forgotten": lambda _i, m, r: fold_rotation(base_and_lora(m)[0], r),
    "folded before lora": lambda _i, m, r: fold_rotation(base_and_lora(m)[0], r) + base_and_lora(m)[1],
    "one layer unfolded": lambda i, m, r: merged_weight(m) if i == 1 else fold_rotation(merged_weight(m), r),
    "nothing folded": lambda _i, m, _r: merged_weight(m),
    "folded twice": lambda _i, m, r: fold_rotation(fold_rotation(merged_weight(m), r), r),
    "not a number": lambda i, m, r: fold_rotation(merged_weight(m), r) * (torch.nan if i else 1),
    "one block off": lambda _i, m, r: fold_rotation(merged_weight(m), r.roll(1, 0)),
}


@TIED
@pytest.mark.parametrize("case", list(WRONG))
def test_wrong_fold_fails_the_proof(model: GatedModel, case: str) -> None:
    assert {"model fp32", "model bf16", "model fp16"} <= proof(model, spoil(model, WRONG[case]))


@TIED
def test_right_fold_by_the_same_way_passes(model: GatedModel) -> None:
    assert proof(model, spoil(model, lambda _i, m, r: fold_rotation(merged_weight(m), r))) == set()


@TIED
def test_layers_swapped_fail(model: GatedModel) -> None:
    plain = fold(model)[0]
    one, two = output_projections(plain)
    one.weight, two.weight = two.weight, one.weight  # type: ignore[assignment]
    assert proof(model, plain)


@TIED
def test_lora_of_another_projection_forgotten_fails(model: GatedModel) -> None:
    plain = fold(model)[0]
    layer: Any = next(m for n, m in model.causal.named_modules() if n.endswith("layers.0.mlp.gate_up_proj"))
    with torch.no_grad():
        plain.model.layers[0].mlp.gate_up_proj.weight.copy_(layer.base_layer.weight)
    assert "model fp32" in proof(model, plain)


@TIED
def test_left_over_gate_fails_the_proof(model: GatedModel) -> None:
    """A hook on the plain model rotates a second time."""
    plain = fold(model)[0]
    assert model.rotations is not None
    model.rotations.attach(output_projections(plain))
    assert "model fp32" in proof(model, plain)


@TIED
def test_left_over_gate_is_refused(make_gated: Callable[..., GatedModel], model: GatedModel) -> None:
    """An architecture that comes with hooks of its own cannot be called plain."""

    class Hooked(Phi3ForCausalLM):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.model.layers[0].self_attn.o_proj.register_forward_hook(lambda _m, _i, out: out)

    model.causal.__class__ = Hooked
    with pytest.raises(BurnInFailed, match="left over"):
        fold(model)


@TIED
def test_zero_folds_are_refused(model: GatedModel, tied: bool, make_phi3: Callable[..., Phi3ForCausalLM]) -> None:
    class Bare:
        """What PEFT looks like after merge_and_unload: nothing left to fold."""

        def __init__(self) -> None:
            self.inner = make_phi3(tie_word_embeddings=tied)

        def get_base_model(self) -> Any:
            return self.inner

        def named_modules(self) -> Any:
            return self.inner.named_modules()

    class Empty(Bare):
        def __init__(self) -> None:
            self.inner = nn.Module()

    with pytest.raises(BurnInFailed):
        fold(GatedModel(Empty(), None))  # type: ignore[arg-type]
    with pytest.raises(BurnInFailed):
        fold(GatedModel(Empty(), model.rotations))  # type: ignore[arg-type]
    with pytest.raises(BurnInFailed, match="nothing was folded"):
        fold(GatedModel(MergedAway(make_phi3(tie_word_embeddings=tied)), None))  # type: ignore[arg-type]


class MergedAway:
    """A model whose o_proj are gone under other names, and with them LoRA."""

    def __init__(self, inner: Any) -> None:
        for layer in inner.model.layers:
            layer.self_attn.out = layer.self_attn.o_proj
            del layer.self_attn.o_proj
        self.inner = inner

    def get_base_model(self) -> Any:
        return self.inner

    def named_modules(self) -> Any:
        return self.inner.named_modules()


@TIED
def test_gates_that_do_not_fit_the_layers_are_refused(model: GatedModel) -> None:
    from so8t.build.model.rotation import Rotations

    with pytest.raises(BurnInFailed, match="3 gates, 2 layers"):
        fold(GatedModel(model.peft, Rotations(3, 64)))


@TIED
def test_layer_error_is_measured_not_assumed(model: GatedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    right = folding.fold_rotation
    monkeypatch.setattr(folding, "fold_rotation", lambda w, r: right(w, r.mT))
    plain, error = fold(model)
    assert error > 0.1
    assert "layers fp64" in failed(prove(model, plain, PROMPTS, CONFIG, error))
    monkeypatch.setattr(folding, "fold_rotation", lambda w, r: right(w, r) * torch.nan)
    assert not fold(model)[1] < CONFIG.layer_tolerance


@TIED
def test_skew_that_is_no_rotation_fails(model: GatedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parametrisation that leaves SO(8) folds exactly, and the norm check still refuses it."""
    assert model.rotations is not None
    plain, error = fold(model)
    rs = model.rotations.matrices
    monkeypatch.setattr(type(model.rotations), "matrices", lambda _self, dtype=torch.float32: 1.001 * rs(dtype))
    assert "norm fp64" in failed(prove(model, plain, PROMPTS, CONFIG, error))


@TIED
def test_no_prompts_prove_nothing(model: GatedModel) -> None:
    plain, error = fold(model)
    with pytest.raises(BurnInFailed, match="prompts"):
        prove(model, plain, [], CONFIG, error)
    with pytest.raises(BurnInFailed, match="prompts"):
        prove(model, plain, [[]], CONFIG, error)


def test_gates_switched_off_fold_lora_alone(make_gated: Callable[..., GatedModel]) -> None:
    model = make_gated(0.3, gate=False)
    plain, error = fold(model)
    assert failed(prove(model, plain, PROMPTS, CONFIG, error)) == set()


SHAPE = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
    "initializer_range": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2"])
@pytest.mark.parametrize("parametrisation", ["exp", "cayley"])
def test_other_architectures_fold_as_well(kind: str, parametrisation: Any) -> None:
    """Split projections, attention biases (kept apart from the fold), norms behind the attention."""
    torch.manual_seed(0)
    base: Any = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=True)),
        "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SHAPE, head_dim=16)),
    }[kind]()
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    model = attach(base.eval(), LoraConfig(rank=4, alpha=8, dropout=0.0), GateConfig(parametrisation=parametrisation))
    assert model.rotations is not None
    with torch.no_grad():
        for name, parameter in model.parameters().items():
            if "lora_A" not in name:
                parameter.normal_(0, 0.3)
    model.rotations.refresh()
    plain, error = fold(model)
    assert error < 1e-10
    prompts = [list(range(1, 20)), list(range(50, 80))]
    assert failed(prove(model, plain, prompts, CONFIG, error)) == set()


def test_bias_on_the_output_projection_is_turned_too() -> None:
    """y = R (W x + b): an o_proj with a bias must fold R b, or the proof must refuse it."""
    torch.manual_seed(0)
    base: Any = LlamaForCausalLM(LlamaConfig(**SHAPE, attention_bias=True)).eval()
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    model = attach(base, LoraConfig(rank=4, alpha=8, dropout=0.0), GateConfig())
    assert model.rotations is not None
    with torch.no_grad():
        model.rotations.skew.normal_(0, 0.3)
    model.rotations.refresh()
    plain, error = fold(model)
    assert failed(prove(model, plain, [list(range(1, 20))], CONFIG, error)) == set()


def test_difference_measures_what_it_says() -> None:
    class Fixed:
        def __init__(self, logits: Tensor) -> None:
            self.logits = logits

        def __call__(self, ids: Tensor) -> Any:
            return type("Out", (), {"logits": self.logits[None, : ids.shape[1]]})

    a = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    b = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 3.5]])
    found = difference(Fixed(a), Fixed(b), [[1, 2, 3]])
    p = a[1].double().softmax(-1)
    assert found.logit == 1.0
    assert found.agreement == pytest.approx(2 / 3)
    assert found.rms == pytest.approx((2.25 / 6) ** 0.5)
    assert found.kl == pytest.approx(float((p * (a[1].double().log_softmax(-1) - b[1].double().log_softmax(-1))).sum()))
    spoiled = difference(Fixed(a), Fixed(torch.full((3, 2), torch.nan)), [[1, 2, 3]])
    assert not spoiled.logit < 1 and not spoiled.kl < 1 and not spoiled.rms < 1


def test_a_right_fold_is_not_refused_by_chance(make_gated: Callable[..., GatedModel]) -> None:
    """Twelve models with few prompts: judged by the largest error, bf16 or fp16 would fail about two of them."""
    for seed in range(12):
        model = make_gated(0.3, seed=seed)
        plain, error = fold(model)
        assert failed(prove(model, plain, PROMPTS[:2], CONFIG, error)) == set(), seed


@TIED
def test_a_model_that_overflows_fp16_is_judged_by_the_other_precisions(model: GatedModel) -> None:
    with torch.no_grad():
        model.causal.model.layers[0].mlp.down_proj.base_layer.weight.mul_(1e6)
    plain, error = fold(model)
    checks = {c.precision: c for c in prove(model, plain, PROMPTS, CONFIG, error) if c.name == "model"}
    assert checks["fp16"].overflows and checks["fp16"].passed
    assert not checks["fp16"].to_json()["plan_target_met"] and checks["fp16"].argmax_agreement == 0
    assert not checks["fp32"].overflows and not checks["bf16"].overflows
    with torch.no_grad():
        plain.model.layers[0].self_attn.o_proj.weight.mul_(1.5)
    assert {"model fp32", "model bf16"} <= failed(prove(model, plain, PROMPTS, CONFIG, error))
