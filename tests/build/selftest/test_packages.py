"""The checks of bitsandbytes pass on this CPU, and notice a broken package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from so8t.build.model.quantisation import has_bitsandbytes
from so8t.build.selftest import packages
from so8t.build.selftest.bench import Bench
from so8t.core.selftest import Skip

needed = pytest.mark.skipif(not has_bitsandbytes(), reason="bitsandbytes is not installed")
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(CPU, tmp_path)


@needed
@pytest.mark.parametrize("run", [packages.int8, packages.nf4, packages.optimizer])
def test_they_pass(run: Any, bench: Bench) -> None:
    measures = run(bench)
    assert len(measures) >= 2 and [m for m in measures if not m.ok] == []


@needed
def test_wrong_gradients_are_caught(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base whose scales are not those of its weights, as bitsandbytes' CPU code has it for odd widths."""
    original = packages.rounded_weights
    monkeypatch.setattr(packages, "rounded_weights", lambda m: {n: 1.05 * w for n, w in original(m).items()})
    failed = [m.name for m in packages.nf4(bench) if not m.ok]
    assert failed == ["gradients"]


@needed
def test_a_lost_optimizer_state_is_caught(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "load_optimizer", lambda made, state: None)
    assert [m.name for m in packages.optimizer(bench) if not m.ok] == ["resumed - uninterrupted"]


def test_without_the_package(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "has_bitsandbytes", lambda: False)
    monkeypatch.setattr(packages, "supported", lambda *a: "bitsandbytes: not there")
    for run in (packages.int8, packages.nf4, packages.optimizer):
        with pytest.raises(Skip, match="bitsandbytes"):
            run(bench)


def test_nothing_rounded_is_no_success() -> None:
    assert packages._take_over(torch.nn.Linear(2, 2), {}) == float("inf")


def test_sensor(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Skip, match="no card"):
        packages.sensor(bench)
    card = Bench(CUDA, tmp_path)
    monkeypatch.setattr(packages, "nvidia_sensor", lambda index: None)
    with pytest.raises(Skip, match="NVML"):
        packages.sensor(card)
    mute = type("Mute", (), {"read": lambda self: None})()
    monkeypatch.setattr(packages, "nvidia_sensor", lambda index: mute)
    with pytest.raises(RuntimeError, match="temperature"):
        packages.sensor(card)
    told = type("Told", (), {"read": lambda self: packages_reading()})()
    monkeypatch.setattr(packages, "nvidia_sensor", lambda index: told)
    assert [m.ok for m in packages.sensor(card)] == [True, True, True]


def packages_reading() -> Any:
    from so8t.build.train.gpu import Reading

    return Reading(61.0, watts=170.0)
