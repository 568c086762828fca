"""Each numeric check passes on this CPU and fails when what it looks at is broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from so8t.build.model import losses
from so8t.build.selftest import numerics
from so8t.build.selftest.bench import Bench
from so8t.core.selftest import Measure, Skip

Run = Callable[[Bench], list[Measure]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(torch.device("cpu"), tmp_path)


@pytest.mark.parametrize("run", [numerics.bf16, numerics.gates, numerics.attention, numerics.loss])
def test_they_pass(run: Run, bench: Bench) -> None:
    measures = run(bench)
    assert measures and [m for m in measures if not m.ok] == []
    assert any(m.limit is not None for m in measures)


def test_memory_needs_a_card(bench: Bench) -> None:
    with pytest.raises(Skip):
        numerics.memory(bench)


def failed(run: Run, bench: Bench) -> list[str]:
    return [m.name for m in run(bench) if not m.ok]


def test_a_rotation_computed_in_bf16_is_caught(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    original = numerics.rotation

    def coarse(numbers: Tensor) -> Tensor:
        return original(numbers).bfloat16().float()

    monkeypatch.setattr(numerics, "rotation", coarse)
    assert {"orthogonality error", "determinant error"} <= set(failed(numerics.gates, bench))


def test_a_rotation_in_the_wrong_type_is_caught(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "rotate", lambda x, r: x.float())
    assert failed(numerics.gates, bench) == ["dtype changed"]


def test_the_plans_svd_is_caught(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    original = numerics.rotation

    def projected(numbers: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            u, _, v = torch.linalg.svd(original(numbers))
            return u @ v

    monkeypatch.setattr(numerics, "rotation", projected)
    assert "gradients not finite" in failed(numerics.gates, bench)


def test_a_loss_without_smoothing_is_caught(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(hidden: Tensor, labels: Tensor, head: Any, smoothing: float, weights: Tensor) -> Tensor:
        return losses.smoothed_cross_entropy(hidden, labels, head, 0.0, weights)

    monkeypatch.setattr(numerics, "smoothed_cross_entropy", plain)
    assert failed(numerics.loss, bench) == ["relative error", "gradient error"]


def test_an_attention_of_another_scale_is_caught(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    original = torch.nn.functional.scaled_dot_product_attention

    def scaled(*args: Any, **kwargs: Any) -> Tensor:
        kwargs["scale"] = (kwargs.get("scale") or 1.0) * 0.9
        return original(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", scaled)
    assert "sdpa gradients" in failed(numerics.attention, bench)
