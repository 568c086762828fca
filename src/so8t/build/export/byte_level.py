"""A byte-level BPE tokenizer -> the tokenizer keys of a GGUF, as llama.cpp's own converter writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf

from so8t.build.model.tokenizer import chat_format
from so8t.core.errors import GgufInvalid
from so8t.core.files import read_json

# First characters of a tokenizer's splitting rule -> llama.cpp's name for it. An unknown rule is refused, not guessed.
# The first is Phi-4-mini's, the second the tiny profile's; they differ only where combining marks are not composed.
PRE_TOKENIZERS = {r"[^\r\n\p{L}\p{N}]?[\p{Lu}": "gpt-4o", r"[^\r\n\p{L}\p{N}]?(?:(?![a-z])": "gpt-4o"}
NORMAL, UNUSED = int(gguf.TokenType.NORMAL), int(gguf.TokenType.UNUSED)
CONTROL, USER_DEFINED = int(gguf.TokenType.CONTROL), int(gguf.TokenType.USER_DEFINED)
END_OF_TURN = "<|end|>"  # llama.cpp and Ollama stop there


def write_tokenizer(writer: gguf.GGUFWriter, model: Path, vocabulary: int) -> None:
    """Raises GgufInvalid for a tokenizer that is no byte-level BPE we know, has no end or does not fit the model."""
    try:
        _write(writer, model, vocabulary)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise GgufInvalid(where=model / "tokenizer.json", detail=f"tokenizer: {error!r}") from error


def _write(writer: gguf.GGUFWriter, model: Path, vocabulary: int) -> None:
    tokenizer, config = read_json(model / "tokenizer.json"), read_json(model / "tokenizer_config.json")
    tokens, types = _tokens(tokenizer, vocabulary, model)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(tokenizer, model))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    numbers = {token: i for i, token in enumerate(tokens) if types[i] != UNUSED}
    if _content(config.get("eos_token")) not in numbers:
        detail = f"eos_token {config.get('eos_token')!r} is no token: nothing would end an answer"
        raise GgufInvalid(where=model / "tokenizer_config.json", detail=detail)
    for key, add in (
        ("bos_token", writer.add_bos_token_id),
        ("eos_token", writer.add_eos_token_id),
        ("unk_token", writer.add_unk_token_id),
        ("pad_token", writer.add_pad_token_id),
    ):
        if (token := _content(config.get(key))) in numbers:
            add(numbers[token])
    if END_OF_TURN in numbers:
        writer.add_eot_token_id(numbers[END_OF_TURN])
    writer.add_add_bos_token(bool(config.get("add_bos_token", False)))
    writer.add_chat_template(chat_format(model).template)


def _tokens(tokenizer: Mapping[str, Any], vocabulary: int, model: Path) -> tuple[list[str], list[int]]:
    """Text and type by number; numbers nobody has are unused. No number twice, none beyond the model's vocabulary."""
    entries = [(token, number, NORMAL) for token, number in tokenizer["model"]["vocab"].items()]
    for token in tokenizer["added_tokens"]:
        entries.append((token["content"], token["id"], CONTROL if token["special"] else USER_DEFINED))
    tokens, types = [f"[PAD{i}]" for i in range(vocabulary)], [UNUSED] * vocabulary
    for token, number, kind in entries:
        if not 0 <= number < vocabulary:
            raise GgufInvalid(where=model / "tokenizer.json", detail=f"token {number}, vocabulary {vocabulary}")
        if types[number] != UNUSED and tokens[number] != token:
            raise GgufInvalid(where=model / "tokenizer.json", detail=f"two tokens of number {number}")
        tokens[number], types[number] = token, kind
    return tokens, types


def _pre_tokenizer(tokenizer: Mapping[str, Any], model: Path) -> str:
    pre = tokenizer["pre_tokenizer"]
    parts = pre.get("pretokenizers") or [pre]
    rules = [p["pattern"].get("Regex", "") for p in parts if p["type"] == "Split"]
    for start, name in PRE_TOKENIZERS.items():
        if rules and rules[0].startswith(start):
            return name
    raise GgufInvalid(where=model / "tokenizer.json", detail="unknown pre-tokenizer")


def _content(token: object) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")
