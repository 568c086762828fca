"""Stage burnin: merge, fold, prove; an unproven model is not written."""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import load_file

from so8t.build.burnin.fold import fold
from so8t.build.burnin.prompts import proof_prompts
from so8t.build.burnin.proof import prove
from so8t.build.model.attach import attach
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.build.train.stage import base_folder
from so8t.build.train.swa import copy_into
from so8t.core.errors import BurnInFailed
from so8t.core.files import write_json
from so8t.core.run import StageContext


def run_burnin(ctx: StageContext) -> dict[str, Any]:
    """Merge, fold, prove; an unproven model is not written."""
    config = ctx.config.burnin
    torch.set_num_threads(ctx.config.threads)
    folder = base_folder(ctx)
    model = attach(load_causal(folder, torch.float32), ctx.config.train.lora, ctx.config.train.gate)
    copy_into(model.parameters(), load_file(ctx.input("train") / "adapter.safetensors"))
    if model.rotations is not None:
        model.rotations.refresh()
    plain, layer_error = fold(model)
    tokenizer = load_tokenizer(folder)
    prompts = [
        tokenizer(p, add_special_tokens=False)["input_ids"][: config.tokens] for p in proof_prompts(ctx, config.prompts)
    ]
    checks = prove(model, plain, prompts, config, layer_error)
    facts = {"checks": [c.to_json() for c in checks], "layers": len(plain.model.layers), "max_layer_error": layer_error}
    write_json(ctx.folder / "burnin.json", facts)
    if failed := [f"{c.name} {c.precision}" for c in checks if not c.passed]:
        raise BurnInFailed(where=ctx.folder / "burnin.json", detail=", ".join(failed))
    plain.save_pretrained(ctx.folder / "model")
    tokenizer.save_pretrained(ctx.folder / "model")
    return facts
