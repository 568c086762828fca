"""A small run as the later stages see it: manifests, a base, validated samples; and a card with two figures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t.core.config import BaseConfig, Config, load_config
from so8t.core.files import hash_folder, write_json
from so8t.core.progress import Progress
from so8t.core.run import Manifest, Run, StageContext

Rows = list[tuple[str, str, int]]  # source, licence, how many
MakeContext = Callable[..., StageContext]


def write_samples(folder: Path, rows: Rows, split: str = "train") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"source": s, "license": said}, ensure_ascii=False) for s, said, n in rows for _ in range(n)]
    (folder / f"{split}.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def context(tmp_path: Path) -> MakeContext:
    """A context of stage export whose run has the stages base and validate, made from what is given."""

    def make(
        base: BaseConfig | None = None, facts: dict[str, Any] | None = None, base_json: dict[str, Any] | None = None,
        rows: Rows | None = None,
    ) -> StageContext:  # fmt: skip
        import dataclasses

        run = Run(tmp_path / "runs" / "r")
        config: Config = dataclasses.replace(load_config("micro"), base=base or BaseConfig())
        folder = run.stage("base")
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "model.safetensors").write_bytes(b"weights")
        write_json(folder / "base.json", base_json or {"path": "model"})
        write_samples(run.stage("validate"), rows or [("so8t synth", "CC0-1.0", 3)])
        run.write(Manifest("base", "done", {}, {}, "", hash_folder(folder), facts=facts or {"base": "tiny"}))
        run.write(Manifest("validate", "done", {}, {}, ""))
        run.stage("export").mkdir()
        return StageContext(run, config, "export", Progress(stream=io.StringIO()))

    return make


@pytest.fixture
def card() -> dict[str, Any]:
    figure = {"value": 0.7531, "low": 0.6012, "high": 0.9001, "n": 77}
    return {
        "schema": 1, "name": "r", "profile": "micro", "created": "2026-11-26T01:19:41+0900", "demo": False,
        "payload_digest": "a" * 64, "policy": {"id": "bank", "label": "銀行", "digest": "b" * 64},
        "machine": {"python": "3.11.7"}, "deployed": "Q8_0",
        "model": {"base": "tiny", "parameters": 4_196_608, "lora_parameters": 524_288, "gate_parameters": 3_584},
        "data": {"texts": 791, "characters": 496_759, "synthetic": 1200, "requests": {"train": 2510, "test": 330}},
        "training": {"steps": 506, "samples": 4040, "validation_loss": 6.04389, "device": "cpu"},
        "burnin": {"checks": [
            {"name": "model", "precision": "fp32", "max_logit_difference": 1.478e-05, "kl": 8.04e-12, "passed": True}
        ]},
        "files": [{"name": "model-Q8_0.gguf", "bytes": 4_647_168, "quantisation": "Q8_0"}],
        "results": {"Q8_0": {"splits": {"test": {"accuracy": figure, "ece": {"after": 0.0401}}}}},
        "thresholds": {"passed": True, "rows": [{"name": "accuracy", "bound": 0.5, "value": 0.7531, "passed": True}]},
        "limits_ja": ["見本です。"], "limits_en": ["A sample."],
    }  # fmt: skip
