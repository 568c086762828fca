"""Stage burnin: merge, fold, prove; an unproven model is not left behind.

The folded model is written into the work folder, read back, proved, and only then moved into the stage's own.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from so8t.build.burnin.fold import Folded
from so8t.build.burnin.prompts import proof_prompts
from so8t.build.burnin.proof import Check, prove
from so8t.build.burnin.shards import write_shards
from so8t.build.burnin.skeleton import gated_model, plain_names, skeleton, written_model
from so8t.build.burnin.weights import Weights
from so8t.build.model.attach import GatedModel
from so8t.build.model.loading import load_tokenizer
from so8t.build.train.stage import base_folder
from so8t.core.errors import BaseUnusable, BurnInFailed
from so8t.core.files import commit_folder, fresh_folder, write_bytes, write_json
from so8t.core.progress import Progress
from so8t.core.run import StageContext
from so8t.core.types import canonical_json

GENERATION = "generation_config.json"
MAX_GENERATION_BYTES = 1 << 20


def run_burnin(ctx: StageContext) -> dict[str, Any]:
    """`model/` and burnin.json. Raises BurnInFailed for a model that is not proved, and what folding and reading do."""
    torch.set_num_threads(ctx.config.threads)
    base = base_folder(ctx)
    model, weights = gated_model(base, ctx.input("train") / "adapter.safetensors", ctx.config.train)
    tokenizer = load_tokenizer(base)
    prompts = prompt_ids(ctx, tokenizer)
    unproven = fresh_folder(ctx.work / "model")
    try:
        layer_error = write_folded(ctx.progress, model, weights, base, unproven)
        tokenizer.save_pretrained(unproven)
        checks = _prove(ctx, model, weights, unproven, prompts, layer_error)
        facts = _facts(checks, model, prompts, layer_error)
        write_json(ctx.folder / "burnin.json", facts)
        if failed := [f"{c.name} {c.precision}" for c in checks if not c.passed]:
            raise BurnInFailed(where=ctx.folder / "burnin.json", detail=", ".join(failed))
        commit_folder(unproven, ctx.folder / "model")
    finally:
        shutil.rmtree(unproven, ignore_errors=True)
    return facts


def prompt_ids(ctx: StageContext, tokenizer: Any) -> list[list[int]]:
    """Token ids of what the proof compares on."""
    config = ctx.config.burnin
    texts = proof_prompts(ctx, config.prompts)
    return [tokenizer(text, add_special_tokens=False)["input_ids"][: config.tokens] for text in texts]


def write_folded(progress: Progress, model: GatedModel, weights: Weights, base: Path, out: Path) -> float:
    """Weights and configuration of the plain model, and the largest per-layer fp64 error."""
    plain, folded = skeleton(base), Folded(model, weights)
    shapes = {name: folded.shape(name) for name in plain_names(plain)}
    with torch.no_grad(), progress.task("folding", len(shapes), "tensor") as task:

        def source(name: str) -> Iterator[Tensor]:
            yield from folded.pieces(name)
            task.advance()

        write_shards(out, shapes, source)
    plain.config.architectures = [type(plain).__name__]
    plain.config.save_pretrained(out)
    _write_generation(base, plain.config, out)
    return folded.largest_error()


def _write_generation(base: Path, config: Any, out: Path) -> None:
    """The base's own settings for generating, or those its config.json holds."""
    own = base / GENERATION
    if not own.is_file():
        GenerationConfig.from_model_config(config).save_pretrained(out)
        return
    if own.stat().st_size > MAX_GENERATION_BYTES:
        raise BaseUnusable(where=own, detail=f"> {MAX_GENERATION_BYTES} bytes")
    write_bytes(out / GENERATION, own.read_bytes())


def _prove(
    ctx: StageContext, model: GatedModel, weights: Weights, folder: Path, prompts: list[list[int]], layer_error: float
) -> list[Check]:
    plain, written = written_model(folder)
    with ctx.progress.task("proving", len(plain.model.layers), "layer") as task:
        return prove(model, plain, prompts, ctx.config.burnin, layer_error, (weights, written), task.advance)


def _facts(checks: list[Check], model: GatedModel, prompts: list[list[int]], layer_error: float) -> dict[str, Any]:
    """Which prompts they were is said by a digest: the texts themselves stay in the validation split."""
    digest = hashlib.sha256(canonical_json(prompts).encode()).hexdigest()
    return {
        "checks": [c.to_json() for c in checks], "layers": len(model.causal.model.layers),
        "max_layer_error": layer_error,
        "prompts": {"count": len(prompts), "tokens": sum(map(len, prompts)), "sha256": digest},
    }  # fmt: skip
