"""Bytes on the disk, against files that were really written."""

from __future__ import annotations

from pathlib import Path

import pytest

from so8t.build.plan import disk
from so8t.build.plan.architecture import PHI4_MINI, Architecture, architecture_of
from so8t.core.config import load_config


@pytest.mark.parametrize("quantisation", ["F16", "Q8_0", "Q4_K_M"])
def test_gguf_sizes(micro_run: Path, quantisation: str) -> None:
    shape = architecture_of(load_config("micro"))
    file = micro_run / "bundle" / "gguf" / f"model-{quantisation}.gguf"
    assert disk.gguf(shape, quantisation) == pytest.approx(file.stat().st_size, rel=0.03)


def test_checkpoint(micro_run: Path) -> None:
    config = load_config("micro")
    one = disk.checkpoint(architecture_of(config), config, "cpu")
    newest = sorted((micro_run / "work" / "train").glob("step-*"))[-1]
    assert one == pytest.approx(sum(f.stat().st_size for f in newest.iterdir()), rel=0.2)


def test_merged_model(micro_run: Path) -> None:
    config = load_config("micro")
    merged = disk.files(architecture_of(config), config, "cpu")["merged"]
    written = sum(f.stat().st_size for f in (micro_run / "burnin" / "model").glob("*.safetensors"))
    assert merged == pytest.approx(written, rel=0.02)


def test_phi4_mini_takes_a_quarter_of_what_the_plan_reserves() -> None:
    config = load_config("phi4-mini-12gb")
    parts = disk.files(Architecture.of(PHI4_MINI), config, "cuda")
    assert set(parts) == {"base", "data", "checkpoints", "merged", "gguf"}
    assert 50 < sum(parts.values()) / 2**30 < 60
    assert parts["checkpoints"] == 6 * disk.checkpoint(Architecture.of(PHI4_MINI), config, "cuda")
