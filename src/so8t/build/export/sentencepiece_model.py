"""A tokenizer.model rebuilt from a tokenizer.json: Gemma's and Llama 2's converters know no other file.

Whoever saves such a tokenizer with transformers, or takes it out of a GGUF, has the tokenizer.json alone. The file is a
protobuf message (github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto); fields used here:
ModelProto {1 pieces {1 piece, 2 score, 3 type}, 2 trainer_spec {3 model_type, 4 vocab_size, 35 byte_fallback},
3 normalizer_spec {1 name, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5 escape_whitespaces}}.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so8t.core.errors import GgufInvalid
from so8t.core.files import read_json, write_bytes

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
BPE = 2
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
LAST = -1e6  # the score of a piece that no merge makes


def is_sentencepiece(tokenizer: Mapping[str, Any]) -> bool:
    """Does a tokenizer.json stand for a SentencePiece BPE: bytes as a way out, "▁" for a space?"""
    model = tokenizer.get("model")
    return isinstance(model, dict) and model.get("type") == "BPE" and bool(model.get("byte_fallback"))


def write_tokenizer_model(folder: Path, out: Path, vocabulary: int) -> None:
    """Raises GgufInvalid for a tokenizer.json that is no SentencePiece BPE or does not fit the vocabulary."""
    path = folder / "tokenizer.json"
    try:
        pieces = _pieces(read_json(path), vocabulary)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise GgufInvalid(where=path, detail=f"tokenizer: {error!r}") from error
    write_bytes(out, b"".join(_field(1, _piece(*p)) for p in pieces) + _trainer(len(pieces)) + _normalizer())


def _pieces(tokenizer: Mapping[str, Any], vocabulary: int) -> list[tuple[str, float, int]]:
    """(text, score, type) by number. A merge made earlier has the higher score, as SentencePiece orders them."""
    model, added = tokenizer["model"], {t["content"]: t for t in tokenizer["added_tokens"]}
    pairs = [m if isinstance(m, list) else m.split(" ") for m in model["merges"]]
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(pairs):
        ranks.setdefault("".join(pair), rank)
    made: list[tuple[str, float, int] | None] = [None] * vocabulary
    unknown = model.get("unk_token") or "<unk>"
    for text, number in {**model["vocab"], **{t: a["id"] for t, a in added.items()}}.items():
        if not 0 <= number < vocabulary or made[number] is not None:
            raise ValueError(f"token {number} of {vocabulary}")
        score = -float(ranks[text]) if text in ranks else LAST
        made[number] = text, score, _type(text, unknown, added)
    if not any(p and p[2] == UNKNOWN for p in made):
        raise ValueError(f"unknown token {unknown!r}")
    return [p or (f"[PAD{i}]", LAST, UNUSED) for i, p in enumerate(made)]


def _type(text: str, unknown: str, added: Mapping[str, Any]) -> int:
    if text == unknown:
        return UNKNOWN
    if BYTE_TOKEN.fullmatch(text):
        return BYTE
    if text in added:
        return CONTROL if added[text]["special"] else USER_DEFINED
    return NORMAL


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _field(number: int, value: bytes | int | float) -> bytes:
    """One protobuf field: bytes by length, integers as varint, floats in 32 bits."""
    if isinstance(value, bytes):
        return _varint(number << 3 | 2) + _varint(len(value)) + value
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    return _varint(number << 3) + _varint(value)


def _piece(text: str, score: float, kind: int) -> bytes:
    return _field(1, text.encode("utf-8")) + _field(2, score) + _field(3, kind)


def _trainer(size: int) -> bytes:
    return _field(2, _field(3, BPE) + _field(4, size) + _field(35, 1))


def _normalizer() -> bytes:
    """Nothing is changed but that a space becomes "▁"; no space is put before a text."""
    return _field(3, _field(1, b"identity") + _field(3, 0) + _field(4, 0) + _field(5, 1))
