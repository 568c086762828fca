"""A model folder on this machine -> transformers model and tokenizer. Nothing is downloaded, no code of it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from so8t.build.model.decoder import require_decoder
from so8t.build.model.quantisation import Kind, quantization_config
from so8t.core.errors import BaseUnusable

CPU = torch.device("cpu")
disable_progress_bar()  # transformers draws bars of its own through ours
# What transformers, tokenizers and safetensors raise for files that are not what they say.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, StrictDataclassError)


def load_tokenizer(folder: Path) -> Any:
    """With a padding token always: Llama's has none, and padding is masked anyhow. Raises BaseUnusable."""
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises bare Exception for a broken tokenizer.json
        raise BaseUnusable(where=folder, detail=f"tokenizer: {first_line(error)}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_causal(
    folder: Path, dtype: torch.dtype, quantization: Kind = "none", device: torch.device = CPU, attention: str = ""
) -> Any:
    """A causal model from a local folder; never runs code that comes with it. Raises BaseUnusable.

    attention: transformers' name of an implementation; "" = what it takes by itself.
    """
    config = load_config(folder)
    extra: dict[str, Any] = {"attn_implementation": attention} if attention else {}
    if quantization != "none":
        extra |= {"quantization_config": quantization_config(quantization, dtype), "device_map": {"": device}}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            output_loading_info=True, **extra,
        )  # fmt: skip
    except UNREADABLE as error:
        raise BaseUnusable(where=folder, detail=first_line(error)) from error
    model, found = loaded
    require_whole(found, folder)
    return model if quantization != "none" else model.to(device)


def load_config(folder: Path) -> Any:
    """config.json of a text decoder. Raises BaseUnusable."""
    if not (folder / "config.json").is_file():
        raise BaseUnusable(where=folder, detail="config.json")
    try:
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except UNREADABLE as error:
        raise BaseUnusable(where=folder, detail=first_line(error)) from error
    require_decoder(config, folder)
    return config


def require_whole(found: dict[str, Any], where: Path) -> None:
    """Every tensor of the architecture came from the file: transformers would fill the others with random numbers."""
    if missing := sorted(found["missing_keys"]):
        raise BaseUnusable(where=where, detail=f"missing {missing[0]} (+{len(missing) - 1})")


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
