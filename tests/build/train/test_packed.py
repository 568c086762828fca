"""Packed and unpacked training are the same training: no sample sees, smooths over or predicts another."""

from __future__ import annotations

import dataclasses
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from so8t.build.model.attach import GatedModel, attach
from so8t.build.train.dataset import Encoded, collate, join
from so8t.build.train.trainer import Trainer
from so8t.core.config import GateConfig, LoraConfig, NoiseConfig, PetConfig, SwaConfig, TrainConfig
from so8t.core.progress import Progress

CPU = torch.device("cpu")
CONFIG = TrainConfig(
    epochs=2.0, batch_size=8, accumulation=1, maximum_tokens=48, learning_rate=5e-3, dropout=0.0, seed=3, epsilon=1e-3,
    lora=LoraConfig(rank=4, alpha=8, dropout=0.0), noise=NoiseConfig(sigma=0.0), swa=SwaConfig(enabled=False),
    pet=PetConfig(lambdas=(0.1, 0.2, 0.3)),
)  # fmt: skip
SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "initializer_range": 0.2,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75, "long_factor": [1.5, 2.5, 4.0],
    "short_factor": [1.0, 1.1, 1.3], "original_max_position_embeddings": 64,
}  # fmt: skip
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "phi3-longrope": ("Phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 64}),
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "gemma2": ("Gemma2", {"head_dim": 16, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}),
    "gemma3": (
        "Gemma3Text", {"head_dim": 16, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
    ),
}  # fmt: skip


def model(name: str, attention: str = "sdpa") -> GatedModel:
    family, extra = SHAPES[name]
    config = getattr(transformers, f"{family}Config")(**SMALL | extra, attn_implementation=attention)
    torch.manual_seed(0)
    causal = getattr(transformers, f"{family.removesuffix('Text')}ForCausalLM")(config)
    made = attach(causal.eval(), CONFIG.lora, GateConfig())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, parameter in made.parameters().items():
            if "lora_B" in key or key == "rotations.skew":
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    if made.rotations is not None:
        made.rotations.refresh()
    return made


def samples(count: int, seed: int = 4) -> list[Encoded]:
    generator = random.Random(seed)
    made = []
    for _ in range(count):
        ids = tuple(generator.randrange(3, 64) for _ in range(generator.randrange(3, 22)))
        made.append(Encoded(ids, ids, (1.0,) * len(ids)))
    return made


# Gemma 2's attention has a soft cap, which transformers has in eager attention only.
@pytest.mark.parametrize(
    ("name", "attention"), [(n, a) for n in SHAPES for a in ("sdpa", "eager") if (n, a) != ("gemma2", "sdpa")]
)
@torch.no_grad()
def test_every_sample_has_the_states_it_has_alone(name: str, attention: str) -> None:
    made, data = model(name, attention), samples(6)
    batch = collate([join(data[:4]), join(data[4:])], 0, CPU)
    packed = made.hidden(batch.input_ids, position_ids=batch.positions)
    for row, part in ((0, data[:4]), (1, data[4:])):
        start = 0
        for sample in part:
            alone = made.hidden(torch.tensor([sample.ids]))[0]
            assert torch.allclose(packed[row, start : start + len(sample.ids)], alone, atol=2e-5)
            start += len(sample.ids)


@torch.no_grad()
def test_the_comparison_can_fail() -> None:
    """Without the positions that begin anew, samples do see each other."""
    made, data = model("llama"), samples(3)
    batch = collate([join(data)], 0, CPU)
    alone = made.hidden(torch.tensor([data[1].ids]))[0]
    start = len(data[0].ids)
    seen = made.hidden(batch.input_ids)[0, start : start + len(data[1].ids)]
    assert not torch.allclose(seen, alone, atol=1e-2)


@pytest.mark.parametrize("normalisation", ["scale-free", "mean", "literal"])
@pytest.mark.parametrize("name", ["phi3-longrope", "gemma3"])
def test_a_step_over_the_same_samples_is_the_same_step(name: str, normalisation: Any, tmp_path: Path) -> None:
    data = samples(8)
    pet = dataclasses.replace(CONFIG.pet, normalisation=normalisation)
    plain = dataclasses.replace(CONFIG, pet=pet)
    results = []
    for config in (plain, dataclasses.replace(plain, packing=True)):
        trainer = Trainer(model(name), data, [], config, 0, tmp_path, Progress(stream=io.StringIO()))
        assert trainer.batches.totals(0).samples == 8
        results.append((trainer.step(0), {n: p.detach().clone() for n, p in trainer.parameters.items()}))
        rows = len(trainer.batches.rows)
    assert rows < 5  # they were packed
    (a, before), (b, after) = results
    assert a.loss == pytest.approx(b.loss, rel=1e-5) and a.pet == pytest.approx(b.pet, rel=1e-5)
    assert a.tokens == b.tokens and a.gradient_norm == pytest.approx(b.gradient_norm, rel=1e-4)
    for key in before:
        assert torch.allclose(before[key], after[key], atol=2e-5), key


def test_padding_changes_nothing(make_gated: Callable[..., GatedModel]) -> None:
    """Rows of unequal length need no mask: causal attention alone keeps padding at the right out of sight."""
    made, data = make_gated(0.3), samples(4)
    with torch.no_grad():
        together = made.hidden(collate(data, 0, CPU).input_ids)
        for row, sample in enumerate(data):
            alone = made.hidden(torch.tensor([sample.ids]))[0]
            assert torch.allclose(together[row, : len(sample.ids)], alone, atol=1e-5)
