"""Driver, torch's build, capability, memory and bitsandbytes against what the configuration asks for."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from so8t.build.model import quantisation
from so8t.build.plan.fit import fit
from so8t.core.config import Config, load_config
from so8t.doctor import gpu
from so8t.doctor.card import find_cards
from so8t.doctor.finding import Finding
from so8t.doctor.gpu import CAPABILITY, examine_gpu, torch_cuda, wants_card

Smi = Callable[[str], None]
Line = Callable[..., str]
Pick = Callable[[list[Finding], str], Finding]
PHI4, MICRO = load_config("phi4-mini-12gb"), load_config("micro")


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """torch's version and the CUDA version of its build; bitsandbytes is there."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        gpu.importlib.util, "find_spec", lambda name: SimpleNamespace() if name == "bitsandbytes" else real(name)
    )
    version = gpu.metadata.version
    monkeypatch.setattr(gpu.metadata, "version", lambda name: "0.50.0" if name == "bitsandbytes" else version(name))
    return lambda torch, cuda: monkeypatch.setattr(gpu, "torch_cuda", lambda: (torch, cuda))


def examined(config: Config = PHI4) -> list[Finding]:
    return examine_gpu(config, find_cards())


def test_a_card_that_fits(smi: Smi, card: Line, builds: Any) -> None:
    smi(card())
    builds("2.13.0+cu126", "12.6")
    found = examined()
    assert [f.mark for f in found] == ["OK"] * len(found) == ["OK"] * 7


@pytest.mark.parametrize(("driver", "ok"), [("535.10", True), ("534.99", False), ("470.82.01", False)])
def test_driver(smi: Smi, card: Line, builds: Any, pick: Pick, driver: str, ok: bool) -> None:
    smi(card(driver=driver))
    builds("2.13.0+cu126", "12.6")
    found = pick(examined(), "driver")
    assert (found.ok, found.fatal) == (ok, True) and (ok or "nvidia.com" in found.advice("ja"))
    assert pick(examined(MICRO), "driver").fatal is False


@pytest.mark.parametrize(
    ("cuda", "driver", "ok", "word"),
    [
        ("12.6", "550.54", True, ""),
        ("13.0", "580.65", True, ""),
        ("13.0", "550.54", False, "580"),
        ("11.8", "535.10", True, ""),
        ("", "550.54", False, "--torch-index"),
    ],
)
def test_torch_and_driver(
    smi: Smi, card: Line, builds: Any, pick: Pick, cuda: str, driver: str, ok: bool, word: str
) -> None:
    smi(card(driver=driver))
    builds("2.13.0", cuda)
    found = pick(examined(), "torch built for CUDA")
    assert (found.ok, found.fatal) == (ok, True) and word in found.advice("en")


def test_the_wheel_of_windows(smi: Smi, card: Line, builds: Any, pick: Pick, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPI's is CPU-only: the commonest reason why a card is not used."""
    smi(card())
    builds("2.13.0", "")
    cards = find_cards()
    monkeypatch.setattr(gpu.sys, "platform", "win32")
    assert "CPU-only" in pick(examine_gpu(PHI4, cards), "torch built for CUDA").advice("en")


def test_the_build_of_this_torch_is_read_without_importing_it() -> None:
    import torch

    version, cuda = torch_cuda()
    assert version == importlib.metadata.version("torch") and cuda == (torch.version.cuda or "")


@pytest.mark.parametrize(
    ("text", "cuda"),
    [
        ("cuda: Optional[str] = '12.6'\n", "12.6"),
        ('cuda = "13.0"\n', "13.0"),
        ("cuda: Optional[str] = None\n", ""),
        ("garbage \x00", ""),
    ],
)
def test_version_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cuda: str) -> None:
    (tmp_path / "version.py").write_text(text, encoding="utf-8")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: spec)
    assert torch_cuda()[1] == cuda
    (tmp_path / "version.py").unlink()
    assert torch_cuda()[1] == ""
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: None)
    assert torch_cuda() == ("", "")


@pytest.mark.parametrize(("capability", "ok"), [("8.0", True), ("9.0", True), ("7.5", False)])
def test_bf16(smi: Smi, card: Line, builds: Any, pick: Pick, capability: str, ok: bool) -> None:
    smi(card(capability=capability))
    builds("2.13.0+cu126", "12.6")
    found = pick(examined(), "bf16")
    assert (found.ok, found.fatal) == (ok, False)
    asked = dataclasses.replace(PHI4, train=dataclasses.replace(PHI4.train, precision="bf16"))
    assert pick(examined(asked), "bf16").fatal is True


@pytest.mark.parametrize(
    ("kind", "capability", "ok"), [("int8", "7.0", False), ("int8", "7.5", True), ("nf4", "6.1", True)]
)
def test_quantisation(smi: Smi, card: Line, builds: Any, pick: Pick, kind: Any, capability: str, ok: bool) -> None:
    smi(card(capability=capability))
    builds("2.13.0+cu126", "12.6")
    config = dataclasses.replace(PHI4, train=dataclasses.replace(PHI4.train, quantization=kind))
    assert pick(examined(config), f"card that computes {kind}").ok is ok


def test_the_capabilities_are_those_of_training() -> None:
    assert quantisation.CAPABILITY == CAPABILITY


def test_bitsandbytes_is_asked_for_where_it_is_needed(
    smi: Smi, card: Line, pick: Pick, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi(card())
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: None)
    found = pick(examined(), "bitsandbytes")
    assert (found.ok, found.fatal) == (False, True) and "so8t[gpu]" in found.advice("ja")
    assert not [f for f in examined(load_config("phi4-mini-48gb")) if f.en == "bitsandbytes"]


def test_memory_against_the_plan(smi: Smi, card: Line, builds: Any, pick: Pick) -> None:
    builds("2.13.0+cu126", "12.6")
    smi(card(total=12288, free=4000))
    found = pick(examined(), "free GPU memory")
    assert (found.ok, found.fatal) == (False, True) and "close" in found.advice("en")
    large = load_config("phi4-mini-24gb")
    small = pick(examined(large), "free GPU memory")
    assert "phi4-mini-12gb" in small.advice("en") and f">= {fit(large).needed / 2**30:.1f}" in small.detail


def test_no_card_is_no_fault_unless_one_is_wanted(smi: Smi, pick: Pick) -> None:
    smi("")
    assert examined(MICRO)[0].ok
    found = pick(examined(), "NVIDIA")
    assert (found.ok, found.fatal) == (False, False) and "fp32" in found.advice("ja")


def test_a_driver_that_fails(smi: Smi, pick: Pick) -> None:
    smi("echo 'NVIDIA-SMI has failed'; exit 9")
    found = pick(examined(), "NVIDIA")
    assert (found.ok, found.fatal, found.detail) == (False, True, "NVIDIA-SMI has failed")
    assert pick(examined(MICRO), "NVIDIA").fatal is False


def test_a_base_that_cannot_be_planned_for(smi: Smi, card: Line, builds: Any, pick: Pick, tmp_path: Path) -> None:
    smi(card())
    builds("2.13.0+cu126", "12.6")
    config = dataclasses.replace(PHI4, base=dataclasses.replace(PHI4.base, path=str(tmp_path / "none")))
    assert not pick(examined(config), "free GPU memory").ok


def test_who_wants_a_card() -> None:
    assert wants_card(PHI4) and wants_card(load_config("phi4-mini-80gb"))
    assert not wants_card(MICRO) and not wants_card(load_config("gemma-270m")) and sys.platform
