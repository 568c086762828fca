"""The parts of the memory, by hand for Phi-4-mini; the whole is held to real runs by benchmarks/plan_memory.py."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.plan.architecture import PHI4_MINI, Architecture, tiny_values
from so8t.build.plan.memory import BURNIN_BATCH, BURNIN_SLICE, GIB, burnin_bytes, burnin_moments, memory
from so8t.build.plan.numerics import Device, numerics
from so8t.core.config import BaseConfig, BurnInConfig, SwaConfig, TrainConfig, load_config

PHI4 = Architecture.of(PHI4_MINI)
SMALL = Architecture.of(tiny_values(BaseConfig()))
TRAIN = load_config("phi4-mini-12gb").train
TRAINED = 92_274_688 + 344_064


def changed(**values: Any) -> TrainConfig:
    return dataclasses.replace(TRAIN, **values)


def test_weights_by_precision() -> None:
    rest = PHI4.total - PHI4.linear  # embedding and norms, in bf16
    rows = 32 * (5120 + 3072 + 16384 + 3072)
    assert memory(PHI4, TRAIN, "cuda").weights == PHI4.linear + 4 * rows + 2 * rest
    assert memory(PHI4, changed(quantization="none"), "cuda").weights == 2 * PHI4.total
    nf4 = memory(PHI4, changed(quantization="nf4"), "cuda").weights - 2 * rest
    assert nf4 / PHI4.linear == pytest.approx(0.516, abs=0.001)
    assert memory(PHI4, TRAIN, "cpu").weights == 4 * PHI4.total
    assert memory(PHI4, changed(precision="bf16"), "cpu").weights == 2 * PHI4.total
    assert memory(PHI4, changed(quantization="none", precision="fp32"), "cuda").weights == 4 * PHI4.total


def test_what_is_trained() -> None:
    found = memory(PHI4, TRAIN, "cuda")
    assert (found.lora, found.gradients, found.average) == (4 * 92_274_688, 4 * TRAINED, 4 * TRAINED)
    assert found.optimizer == pytest.approx(2 * TRAINED, rel=0.02) and found.snapshot == 0
    cpu = memory(PHI4, TRAIN, "cpu")
    assert cpu.optimizer == 8 * TRAINED and cpu.snapshot == 16 * TRAINED
    assert memory(PHI4, changed(optimizer="adamw"), "cuda").optimizer == 8 * TRAINED
    assert memory(PHI4, changed(swa=SwaConfig(enabled=False)), "cuda").average == 0


@pytest.mark.parametrize(("optimizer", "device", "eight"), [
    ("auto", "cpu", False), ("auto", "cuda", True), ("paged_adamw_8bit", "cpu", True), ("adamw", "cuda", False),
])  # fmt: skip
def test_eight_bit_states(optimizer: Any, device: Device, eight: bool) -> None:
    assert numerics(changed(optimizer=optimizer), device).eight_bit is eight


def test_logits_exist_for_a_chunk_only() -> None:
    found = memory(PHI4, TRAIN, "cuda")
    tokens = TRAIN.batch_size * TRAIN.maximum_tokens
    assert found.loss < 0.1 * tokens * PHI4.vocabulary * 4
    longer = memory(PHI4, changed(maximum_tokens=2 * TRAIN.maximum_tokens), "cuda")
    assert longer.loss - found.loss < tokens * PHI4.hidden * 20


def test_recomputing_keeps_one_layer_instead_of_all() -> None:
    plain = changed(quantization="none", gradient_checkpointing=False)
    all_layers, one = (
        memory(PHI4, plain, "cuda"),
        memory(PHI4, dataclasses.replace(plain, gradient_checkpointing=True), "cuda"),
    )
    tokens = TRAIN.batch_size * TRAIN.maximum_tokens
    assert one.layers == 32 * tokens * 2 * 3072
    assert all_layers.layers > 25 * (one.layer - all_layers.layer)
    assert one.peak < 0.6 * all_layers.peak
    away = dataclasses.replace(plain, gradient_checkpointing=True, offload_activations=True)
    assert memory(PHI4, away, "cuda").layers == 0 and memory(PHI4, away, "cpu").layers > 0


def test_int8_keeps_its_inputs_until_the_way_back() -> None:
    """2 x (3072 + 3072 + 3072 + 8192) bytes a token: in every layer, or in the one that is computed again."""
    tokens = TRAIN.batch_size * TRAIN.maximum_tokens
    for again in (False, True):
        int8, nf4 = (
            memory(PHI4, changed(quantization=k, gradient_checkpointing=again), "cuda") for k in ("int8", "nf4")
        )
        assert int8.layers - nf4.layers == (0 if again else 32 * tokens * 2 * (3 * 3072 + 8192))


def test_the_first_micro_batch_meets_no_gradients() -> None:
    one, two = (memory(PHI4, changed(accumulation=a), "cuda") for a in (1, 2))
    assert two.moments["loss"] - one.moments["loss"] == pytest.approx(two.gradients * 31 / 32)
    assert two.moments["last"] == one.moments["last"]


sizes = st.integers(1, 8)


@given(sizes, st.integers(4, 256), sizes, st.booleans(), st.sampled_from(["cpu", "cuda"]))
def test_more_work_never_takes_less(batch: int, tokens: int, more: int, recompute: bool, device: Device) -> None:
    train = TrainConfig(batch_size=batch, maximum_tokens=tokens, gradient_checkpointing=recompute)
    found = memory(SMALL, train, device)
    wider = memory(SMALL, dataclasses.replace(train, batch_size=batch + more), device)
    longer = memory(SMALL, dataclasses.replace(train, maximum_tokens=tokens + more), device)
    assert found.peak <= wider.peak and found.peak <= longer.peak
    assert found.peak >= found.standing > 0
    assert min(dataclasses.astuple(found)) >= 0


def test_burnin_of_phi4_mini_holds_a_layer_and_not_the_model() -> None:
    """By hand: gate_up 3072 x 16384 in 4 + 8 + 8 bytes; a layer of 100.7 M and LoRA on it in 4 + 8 bytes."""
    moments = burnin_moments(PHI4, BurnInConfig(prompts=20, tokens=96), TRAIN.lora)
    gates = 4 * 344_064 + 24 * 32 * 3072 * 8
    assert moments["fold"] == gates + 20 * 3072 * 16384
    tokens, layer = 20 * 96, 3072 * 5120 + 3072 * 3072 + 3 * 3072 * 8192 + 92_274_688 // 32
    inside = 8 * tokens * (3 * 3072 + 4 * 8192)
    assert moments["layer"] == gates + 2 * 24 * tokens * 3072 + 12 * layer + inside
    assert burnin_bytes(PHI4, BurnInConfig(), TRAIN.lora) == max(moments.values()) < 0.2 * 4 * PHI4.total
    assert max(moments.values()) / GIB == pytest.approx(2.04, abs=0.01)


@given(sizes, sizes, st.integers(1, 64))
def test_burnin_grows_with_the_prompts_and_not_with_the_layers(prompts: int, tokens: int, layers: int) -> None:
    less, more = BurnInConfig(prompts=prompts, tokens=tokens), BurnInConfig(prompts=prompts + 1, tokens=tokens + 1)
    assert burnin_bytes(PHI4, less) <= burnin_bytes(PHI4, more)
    deeper = dataclasses.replace(PHI4, layers=layers)
    gates = 24 * 3072 * 8 + 4 * 28 * 384
    assert burnin_bytes(deeper) - burnin_bytes(PHI4) == pytest.approx((layers - 32) * gates)


def test_slices_and_batches_are_those_of_the_proof() -> None:
    """plan/ has no torch, so it says these numbers once more."""
    from so8t.build.burnin.passage import BATCH_TOKENS
    from so8t.build.burnin.proof import SLICE

    assert (BURNIN_BATCH, BURNIN_SLICE) == (BATCH_TOKENS, SLICE)
