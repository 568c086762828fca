"""A GGUF file as the base: converted once into a plain folder, so that every later stage reads safetensors.

transformers dequantises (`from_pretrained(gguf_file=...)`); what it leaves out is put right here or refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from so8t.build.model.decoder import require_decoder
from so8t.build.model.gguf_config import ARCHITECTURES, amend
from so8t.build.model.gguf_header import Header, read_header
from so8t.build.model.head import check_head
from so8t.build.model.loading import first_line, require_whole
from so8t.build.model.tokenizer import add_turns
from so8t.core.errors import BaseUnusable

# Marks of quantisation that save_pretrained refuses; the weights themselves are dequantised.
QUANTISED = ("hf_quantizer", "quantization_config", "is_quantized", "_is_quantized", "quantization_method")
ROPE = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


def convert(file: Path, folder: Path) -> dict[str, Any]:
    """Write config.json, model.safetensors (fp32) and the tokenizer; returns what the file says of itself.

    Raises BaseUnusable for a file that is broken, no decoder, or of a kind whose meaning would be lost.
    """
    header = read_header(file)
    _require_known(header)
    try:
        with _no_bar():
            model = _model(header)
        tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    except BaseUnusable:
        raise
    except Exception as error:  # reading foreign bytes: gguf, numpy, tokenizers each have errors of their own
        raise BaseUnusable(where=file, detail=first_line(error)) from error
    check_head(model)
    _require_same_tokens(tokenizer, header)
    ends = [model.config.eos_token_id, header.values.get("tokenizer.ggml.eot_token_id"), *add_turns(tokenizer, file)]
    model.config.eos_token_id = model.generation_config.eos_token_id = sorted({e for e in ends if e is not None})
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    kinds = sorted({info.kind.name for info in header.tensors.values()})
    named = {key: str(header.values.get(f"general.{key}", "")) for key in ("name", "license")}
    return named | {"architecture": header.architecture, "tensor_types": kinds}


@contextmanager
def _no_bar() -> Iterator[None]:
    """transformers draws a bar of its own through ours."""
    reader: Any = modeling_gguf_pytorch_utils
    bar = reader.tqdm
    reader.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        reader.tqdm = bar


def _require_known(header: Header) -> None:
    if header.architecture not in ARCHITECTURES:
        detail = f"GGUF architecture {header.architecture!r}: {', '.join(ARCHITECTURES)}"
        raise BaseUnusable(where=header.path, detail=detail)
    model, pre = header.values.get("tokenizer.ggml.model"), header.values.get("tokenizer.ggml.pre")
    if model not in ("gpt2", "llama") or (model == "gpt2" and pre not in GGUF_PRE_TOKENIZER_SPLITS):
        raise BaseUnusable(where=header.path, detail=f"GGUF tokenizer {model!r}, splitting rule {pre!r}")


def _model(header: Header) -> Any:
    where: Any = {"pretrained_model_name_or_path": header.path.parent, "gguf_file": header.path.name}
    config: Any = AutoConfig.from_pretrained(**where, local_files_only=True)
    amend(config, header, _rope_tensors(header))
    require_decoder(config, header.path)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        **where, config=config, dtype=torch.float32, local_files_only=True, output_loading_info=True
    )
    model, found = loaded
    require_whole(found, header.path)
    _require_all_used(model, header)
    for marked in (model, model.config):
        for name in QUANTISED:
            marked.__dict__.pop(name, None)
    return model


def _rope_tensors(header: Header) -> dict[str, np.ndarray]:
    """The frequency factors, which belong into the configuration; always fp32 in a GGUF."""
    found = {name: header.tensors[name] for name in ROPE if name in header.tensors}
    return {name: np.fromfile(header.path, "<f4", info.size // 4, offset=info.offset) for name, info in found.items()}


def _require_all_used(model: Any, header: Header) -> None:
    """A tensor that has no place in the model would be lost without a word."""
    kind = next(k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == header.architecture)
    names = gguf.get_tensor_name_map(kind, model.config.num_hidden_layers)
    used = {f"{names.get_name(key.rpartition('.')[0])}.{key.rpartition('.')[2]}" for key in model.state_dict()}
    if lost := sorted(set(header.tensors) - used - set(ROPE)):
        raise BaseUnusable(where=header.path, detail=f"tensor {lost[0]} has no place (+{len(lost) - 1})")


def _require_same_tokens(tokenizer: Any, header: Header) -> None:
    """As many tokens as the file lists, and every special one is one token: its own."""
    listed = header.lengths.get("tokenizer.ggml.tokens", 0)
    if not 0 < len(tokenizer) <= listed:
        raise BaseUnusable(where=header.path, detail=f"tokenizer: {len(tokenizer)} tokens, {listed} listed")
    for token in tokenizer.all_special_tokens:
        number = tokenizer.convert_tokens_to_ids(token)
        if tokenizer(token, add_special_tokens=False)["input_ids"] != [number]:
            raise BaseUnusable(where=header.path, detail=f"tokenizer: {token} is not one token")
