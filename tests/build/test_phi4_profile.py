"""The profile phi4-mini-12gb is the same code with other numbers: all stages on a tiny model of Phi-4-mini's shape."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import torch

from so8t.core import signing
from so8t.core.bundle import open_bundle
from so8t.core.config import load_config
from so8t.core.files import read_json
from so8t.core.progress import Progress
from so8t.core.run import STAGES, Run
from so8t.pipeline import Pipeline

OVERLAY = """
profile = "phi4-mini-12gb"
threads = 1

[collect]
maximum_samples = 40
minimum_quality = 0.5

[synth]
samples_per_domain = 12

[validate]
minimum_samples = 10

[base]
path = {path}

[train]
epochs = 0.15
maximum_tokens = 160
validation_samples = 4

[train.lora]
rank = 4
alpha = 8

[burnin]
prompts = 2
tokens = 48

[export]
parity_prompts = 2
parity_tokens = 8
parity_strings = 40

[prove]
bootstrap = 20
limit = 3
"""
TO_BUNDLE = STAGES[: STAGES.index("bundle") + 1]


@pytest.fixture
def model(phi4: Path, tmp_path: Path) -> Path:
    """The downloaded folder with Phi-4-mini's short context of 4096 tokens, which is what the profile serves."""
    folder = tmp_path / "Phi-4-mini-instruct"
    shutil.copytree(phi4, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"original_max_position_embeddings": 4096, "max_position_embeddings": 131072}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA")
def test_every_stage_on_phi4_minis_shape(model: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "so8t.toml"
    overlay.write_text(OVERLAY.format(path=json.dumps(str(model))), encoding="utf-8")
    config = load_config(path=overlay)
    assert config.profile == "phi4-mini-12gb"
    assert config.train.quantization == "int8" and config.train.gradient_checkpointing and config.prompt.style == "full"
    run = Run(tmp_path / "runs" / "phi4")
    stream = io.StringIO()
    done = Pipeline(run, config, Progress(run.folder / "log.jsonl" if run.folder.exists() else None, stream)).start(
        "bundle"
    )
    by_name = {m.stage: m for m in done}
    assert tuple(by_name) == TO_BUNDLE
    assert all(m.done for m in done)

    assert by_name["base"].facts["base"] == "Phi-4-mini-instruct"
    train = by_name["train"]
    assert any("int8" in a and "fp32" in a for a in train.adjustments)
    saved = read_json(run.manifest_path("train"))  # the manifest on disk, not only the object
    assert any("int8" in a and "fp32" in a for a in saved["adjustments"])
    assert saved["config"]["train"]["quantization"] == "int8"  # what was asked for stays what was asked for
    assert "int8" in stream.getvalue()  # and the person is told
    # qkv 256 + 512, o 256 + 256, gate_up 256 + 1024, down 512 + 256; 2 layers, rank 4
    assert train.facts["lora_parameters"] == 2 * 4 * (768 + 512 + 1280 + 768)
    assert train.facts["gate_parameters"] == 2 * 32 * 28
    assert train.facts["orthogonality_error"] < 1e-10

    checks = by_name["burnin"].facts["checks"]
    assert len(checks) == 5 and all(c["passed"] for c in checks)
    folded = read_json(run.stage("burnin") / "model" / "config.json")
    assert folded["rope_parameters"]["rope_type"] == "longrope" and folded["tie_word_embeddings"]
    export = by_name["export"].facts
    assert export["parity"]["passed"]
    assert [f["quantisation"] for f in export["files"]] == ["F16", "Q8_0", "Q4_K_M"]
    prompt = read_json(run.stage("export") / "prompt.json")
    assert prompt["style"] == "full" and prompt["context"] == 4096
    assert "num_ctx 4096" in (run.stage("export") / "Modelfile.Q8_0").read_text()
    card = read_json(run.stage("prove") / "card.json")
    assert (
        card["profile"] == "phi4-mini-12gb" and not card["demo"] and set(card["results"]) == {"F16", "Q8_0", "Q4_K_M"}
    )
    bundle = open_bundle(run.bundle, signing.public_path(run.keys / "bundle.key"))
    assert bundle.gguf("Q4_K_M").is_file()

    again = Pipeline(run, config, Progress(stream=io.StringIO()))
    assert [m.stage for m in again.start("bundle")] == list(TO_BUNDLE)
    assert again.done_before == set(TO_BUNDLE)  # nothing is made twice
