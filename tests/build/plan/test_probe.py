"""The probe runs real steps; what it makes of memory and time is arithmetic."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from so8t.build.plan import probe as module
from so8t.build.plan.architecture import PHI4_MINI, tiny_values
from so8t.build.plan.memory import GIB
from so8t.build.plan.probe import SHORTEST, free_bytes, probe, probe_here, thin_values
from so8t.build.plan.timing import ACCUMULATIONS, THIN
from so8t.core.config import BaseConfig, LoraConfig, TrainConfig, load_config
from so8t.core.errors import EnvironmentUnfit, MemoryShort

CPU = torch.device("cpu")
VALUES = tiny_values(BaseConfig(vocab_size=256, hidden_size=64, intermediate_size=96, layers=5, heads=4, kv_heads=2))
TRAIN = TrainConfig(batch_size=2, accumulation=8, maximum_tokens=64, lora=LoraConfig(rank=4, alpha=8))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int, int]]:
    """Every measurement as (layers, accumulation, rows, tokens), in place of the time it takes."""
    seen = []

    def measure(gated: Any, train: TrainConfig, accumulation: int, device: torch.device) -> float:
        layers = gated.causal.config.num_hidden_layers
        seen.append((layers, accumulation, train.batch_size, train.maximum_tokens))
        return train.batch_size * train.maximum_tokens / SHORTEST * (accumulation * (1.0 + layers) + 3.0)

    monkeypatch.setattr(module, "_measure", measure)
    return seen


def test_real_steps() -> None:
    found = probe(VALUES, TRAIN, CPU, 4 * GIB)
    assert found.tokens == 128 and found.device == "cpu"
    assert found.micro + found.micro_layer > 0 and 0 < found.measured_seconds < 600
    assert found.seconds(5, 8, 128) > 0


@pytest.mark.parametrize("change", [{"gradient_checkpointing": True}, {"packing": True}, {"dropout": 0.2}])
def test_settings_that_change_the_step(change: dict[str, Any]) -> None:
    assert probe(VALUES, dataclasses.replace(TRAIN, **change), CPU, 4 * GIB).micro_layer >= 0


def test_what_is_measured(steps: list[tuple[int, int, int, int]]) -> None:
    found = probe(VALUES, TRAIN, CPU, 4 * GIB, seconds=1e9)
    assert steps[0] == (3, 1, 1, SHORTEST)  # how fast is it?
    assert sorted(steps[1:]) == sorted((n, a, 2, 64) for n in THIN for a in ACCUMULATIONS)
    assert found.seconds(5, 8, 128) == pytest.approx(4 * (8 * 6.0 + 3.0))


def test_a_slow_machine_is_given_shorter_rows(steps: list[tuple[int, int, int, int]]) -> None:
    found = probe(VALUES, dataclasses.replace(TRAIN, maximum_tokens=1024), CPU, 4 * GIB, seconds=2000.0)
    assert {s[2:] for s in steps[1:]} == {(1, 256)} and found.tokens == 256
    assert probe(VALUES, TRAIN, CPU, 4 * GIB, seconds=0.0).tokens == SHORTEST


def test_memory_shortens_the_rows_before_it_refuses(steps: list[tuple[int, int, int, int]]) -> None:
    long = dataclasses.replace(TRAIN, maximum_tokens=65_536)
    assert probe(VALUES, long, CPU, 0.5 * GIB, seconds=1e12).tokens < 65_536
    before = len(steps)
    with pytest.raises(MemoryShort, match="GiB"):
        probe(PHI4_MINI, load_config("phi4-mini-12gb").train, CPU, 1 * GIB)
    assert len(steps) == before  # nothing was built to find that out


def test_thin_values() -> None:
    values = {"num_hidden_layers": 4, "layer_types": ["a", "b", "a", "b"], "hidden_size": 8, "auto_map": {"x": "y"}}
    assert thin_values(values, 3) == {"num_hidden_layers": 3, "layer_types": ["a", "b", "a"], "hidden_size": 8}


def test_free_memory() -> None:
    assert free_bytes(CPU) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a card")
def test_a_card_that_torch_does_not_see() -> None:
    with pytest.raises(EnvironmentUnfit, match="cuda"):
        probe_here(load_config("micro"), "cuda")
