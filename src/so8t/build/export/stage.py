"""Stage export: the folded model as GGUFs, held against transformers before it may leave (plan 5.4, SPEC O1, O2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from so8t.ask.hf import HuggingFace
from so8t.build.burnin.prompts import proof_prompts
from so8t.build.data.sample_lines import load_samples, split_file
from so8t.build.export import parity
from so8t.build.export.check import open_header, verify
from so8t.build.export.converter import export_gguf
from so8t.build.export.importance import measure, training_rows
from so8t.build.export.modelfile import write_modelfile
from so8t.build.export.payload import write_payload
from so8t.build.export.quantise import quantise
from so8t.build.export.stream import Kind
from so8t.build.export.tensor_layout import overhead
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.build.train.stage import base_folder
from so8t.core.errors import GgufInvalid, ParityFailed
from so8t.core.files import fresh_folder, write_json
from so8t.core.run import StageContext
from so8t.core.types import Split

IMPORTANCE = "importance.gguf"


def run_export(ctx: StageContext) -> dict[str, Any]:
    """The payload but for its calibration: GGUFs, tokenizer, template, Modelfiles, policy, precedents, domain model."""
    config, model = ctx.config.export, ctx.input("burnin") / "model"
    torch.set_num_threads(ctx.config.threads)
    f16 = fresh_folder(ctx.folder / "gguf") / "model-F16.gguf"
    export_gguf(model, f16, _name(ctx), Kind.F16, config.converter)
    verify(f16, "F16", model)
    facts: dict[str, Any] = {"overhead": no_overhead(ctx, model, f16)}
    for name in {"F16", *config.quantisations}:
        write_modelfile(ctx.folder, name, model, config.context, ctx.config.prompt.style)
    reference = HuggingFace(load_causal(model, torch.float32), load_tokenizer(model))
    facts["parity"] = require_parity(ctx, f16, reference)
    importance = ctx.work / IMPORTANCE if config.importance else None
    if importance is not None:
        rows = training_rows(ctx, reference.tokenizer, model, config.importance_tokens)
        facts["importance"] = measure(reference.model, open_header(f16).architecture, rows, importance)
    del reference  # four bytes a parameter that the quantiser can use
    facts["files"] = make_files(ctx, model, f16, importance)
    write_payload(ctx, model)
    return facts


def make_files(ctx: StageContext, model: Path, f16: Path, importance: Path | None) -> list[dict[str, Any]]:
    """Every file of the configuration, verified; F16 goes again with its Modelfile if it was not asked for."""
    made, names = [], ctx.config.export.quantisations
    with ctx.progress.task("quantising", len(names), "file") as task:
        for name in names:
            path = f16.with_name(f"model-{name}.gguf")
            make_file(ctx, model, f16, path, name, importance)
            types = verify(path, name, model)
            made.append({"name": path.name, "quantisation": name, "bytes": path.stat().st_size, "tensors": types})
            task.advance()
    if "F16" not in names:
        f16.unlink()
        (ctx.folder / "Modelfile.F16").unlink()
    return made


def make_file(ctx: StageContext, model: Path, f16: Path, path: Path, name: str, importance: Path | None) -> None:
    config = ctx.config.export
    if name == "BF16":  # from the checkpoint: F16 has fewer exponents
        export_gguf(model, path, _name(ctx), Kind.BF16, config.converter)
    elif name != "F16":
        quantise(f16, path, name, quantiser=config.quantiser, threads=ctx.config.threads, importance=importance)


def no_overhead(ctx: StageContext, model: Path, f16: Path) -> dict[str, Any]:
    """A release gate: the folded model costs what the base costs (plan 2.1)."""
    found = overhead(base_folder(ctx), model, open_header(f16).architecture)
    if not found["identical"]:
        raise GgufInvalid(where=f16, detail=f"not the base's tensors: {', '.join(found['different'])}")
    return {"tensors": found["tensors"], "identical": True}


def require_parity(ctx: StageContext, f16: Path, reference: HuggingFace) -> dict[str, Any]:
    """A release gate: the GGUF continues and tokenizes as transformers does. Raises ParityFailed."""
    found = check_parity(ctx, f16, reference)
    write_json(ctx.folder / "parity.json", found.to_json())
    if not found.passed:
        raise ParityFailed(where=ctx.folder / "parity.json", detail=found.detail)
    return found.to_json()


def check_parity(ctx: StageContext, f16: Path, reference: HuggingFace) -> parity.Parity:
    config = ctx.config.export
    texts = [s.text for s in load_samples([split_file(ctx.input("validate"), Split.VALIDATION)])]
    prompts, strings = proof_prompts(ctx, config.parity_prompts), parity.odd_strings(texts, config.parity_strings)
    return parity.compare(f16, reference, prompts, strings, config.parity_tokens, config.context)


def _name(ctx: StageContext) -> str:
    return f"so8t-{ctx.config.profile}"
