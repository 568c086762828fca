"""Stage export: the folded model as GGUFs, held against transformers before it may leave (plan 5.4, SPEC O1, O2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from so8t.ask.hf import HuggingFace
from so8t.build.burnin.prompts import proof_prompts
from so8t.build.data.sample_lines import load_samples, split_file
from so8t.build.export import parity
from so8t.build.export.check import verify
from so8t.build.export.modelfile import write_modelfile
from so8t.build.export.payload import write_payload
from so8t.build.export.phi3 import export_f16
from so8t.build.export.quantise import quantise
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.core.errors import ParityFailed
from so8t.core.files import fresh_folder, read_json, write_json
from so8t.core.run import StageContext
from so8t.core.types import Split


def run_export(ctx: StageContext) -> dict[str, Any]:
    """The payload but for its calibration: GGUFs, tokenizer, template, Modelfiles, policy, precedents, domain model."""
    config, model = ctx.config.export, ctx.input("burnin") / "model"
    files = fresh_folder(ctx.folder / "gguf")
    f16 = files / "model-F16.gguf"
    layers = read_json(model / "config.json")["num_hidden_layers"]
    export_f16(model, f16, f"so8t-{ctx.config.profile}")
    made = []
    with ctx.progress.task("quantising", len(config.quantisations), "file") as task:
        for name in config.quantisations:
            path = files / f"model-{name}.gguf"
            if name != "F16":
                quantise(f16, path, name, quantiser=config.quantiser, threads=ctx.config.threads)
            made.append(
                {
                    "name": path.name,
                    "quantisation": name,
                    "bytes": path.stat().st_size,
                    "tensors": verify(path, name, layers),
                }
            )
            write_modelfile(ctx.folder, name, model, config.context)
            task.advance()
    found = check_parity(ctx, f16, model)
    write_json(ctx.folder / "parity.json", found.to_json())
    if not found.passed:
        raise ParityFailed(
            where=ctx.folder / "parity.json",
            detail=f"{found.equal}+{found.ties}/{found.prompts}, {found.strings_equal}/{found.strings}",
        )
    write_payload(ctx, model)
    return {"files": made, "parity": found.to_json()}


def check_parity(ctx: StageContext, f16: Path, model: Path) -> parity.Parity:
    """A release gate: the GGUF continues and tokenizes as transformers does."""
    config = ctx.config.export
    reference = HuggingFace(load_causal(model, torch.float32), load_tokenizer(model))
    texts = [s.text for s in load_samples([split_file(ctx.input("validate"), Split.VALIDATION)])]
    prompts, strings = proof_prompts(ctx, config.parity_prompts), parity.odd_strings(texts, config.parity_strings)
    return parity.compare(f16, reference, prompts, strings, config.parity_tokens, config.context)
