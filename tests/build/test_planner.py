"""The arithmetic of the plan, held to Phi-4-mini's known numbers and to real tiny models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t.build.model.attach import GatedModel
from so8t.build.model.shape import gate_parameters
from so8t.build.planner import PHI4_MINI, ModelShape, estimate, memory, samples, shape_of
from so8t.core.config import load_config


def test_phi4_mini() -> None:
    shape = ModelShape.of(PHI4_MINI)
    assert shape.total == 3_836_021_760
    assert shape.embedding == 614_596_608
    assert shape.lora(64) == 92_274_688
    assert gate_parameters(shape.layers, shape.hidden) == 344_064


@pytest.mark.parametrize("tied", [True, False])
def test_arithmetic_equals_a_real_model(make_gated: Callable[..., GatedModel], tied: bool) -> None:
    model = make_gated(tie_word_embeddings=tied)
    shape = ModelShape.of(model.causal.config.to_dict())
    parameters = model.parameters()
    base = sum(p.numel() for n, p in model.causal.named_parameters() if "lora_" not in n)
    assert shape.total == base
    assert shape.lora(4) == sum(p.numel() for n, p in parameters.items() if "lora_" in n)
    assert gate_parameters(shape.layers, shape.hidden) == parameters["rotations.skew"].numel()


def rows(profile: str, path: Path | None = None) -> dict[str, Any]:
    return {r.en: r for r in estimate(load_config(profile, path))}


def test_the_profile_prints_the_same_numbers_beside_the_plans() -> None:
    found = rows("phi4-mini-12gb")
    assert found["base parameters"].value == "3,836,021,760"
    assert found["LoRA"].value == "92,274,688"
    assert found["rotation gates"].value == "344,064"
    assert found["rotation gates"].plan == "786,432"
    count = round(25_000 * 8 / (1 - 0.33))
    assert found["training samples"].value == f"{count:,}"
    assert found["optimizer steps"].value == f"{round(count * 3 / 16):,}"
    assert float(found["GGUF F16"].value.split()[0]) == pytest.approx(7.15, abs=0.01)
    assert all(r.ja and r.en and r.value for r in found.values())


def test_memory_of_the_12_gb_profile_fits_and_chunking_is_why() -> None:
    config = load_config("phi4-mini-12gb")
    shape = shape_of(config)
    parts = memory(config, shape)
    assert 6 < sum(parts.values()) / 2**30 < 12
    assert parts["weights"] == shape.linear + 2 * (shape.total - shape.linear)
    assert parts["logits"] == 3 * 1024 * 200_064 * 4
    full = 3 * config.train.batch_size * config.train.maximum_tokens * 200_064 * 4
    assert full == 2 * parts["logits"]


def test_a_model_at_hand_is_read(tmp_path: Path, phi4: Path) -> None:
    overlay = tmp_path / "so8t.toml"
    overlay.write_text(f"[base]\npath = {json.dumps(str(phi4))}\n", encoding="utf-8")
    config = load_config("phi4-mini-12gb", overlay)
    shape = shape_of(config)
    from so8t.build.gguf import tensors

    assert shape.total == sum(t.numel() for _, t in tensors(phi4))
    assert samples(config) > 200_000


def test_tiny_profile_is_planned_from_its_own_shape() -> None:
    assert shape_of(load_config("tiny")).hidden == 256
