"""A tokenizer.model made of a tokenizer.json: decoded here with a reader of the protobuf's wire format."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.export.sentencepiece_model import (
    BYTE,
    CONTROL,
    LAST,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    _field,
    _varint,
    is_sentencepiece,
    write_tokenizer_model,
)
from so8t.core.errors import GgufInvalid
from so8t.core.files import write_json


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            value, at = read_varint(data, at)
            yield tag >> 3, value
        elif tag & 7 == 5:
            yield tag >> 3, struct.unpack_from("<f", data, at)[0]
            at += 4
        else:
            length, at = read_varint(data, at)
            yield tag >> 3, data[at : at + length]
            at += length


@given(st.integers(0, 1 << 40), st.integers(1, 500))
def test_wire_format(value: int, number: int) -> None:
    assert read_varint(_varint(value), 0) == (value, len(_varint(value)))
    assert list(fields(_field(number, value) + _field(number, -2.5) + _field(number, b"x" * number))) == [
        (number, value),
        (number, -2.5),
        (number, b"x" * number),
    ]


@pytest.fixture
def tokenizer() -> dict[str, Any]:
    vocabulary = ["<pad>", "<eos>", "<bos>", "<unk>", "<0x0A>", "▁", "a", "b", "ab", "▁ab", "日"]
    return {
        "model": {
            "type": "BPE", "byte_fallback": True, "unk_token": "<unk>", "merges": [["a", "b"], ["▁", "ab"]],
            "vocab": {t: i for i, t in enumerate(vocabulary)},
        },
        "added_tokens": [
            *({"id": i, "content": t, "special": True} for i, t in enumerate(vocabulary[:4])),
            {"id": 12, "content": "\n\n", "special": False},
        ],
    }  # fmt: skip


def test_pieces_have_their_numbers_scores_and_types(tokenizer: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "tokenizer.json", tokenizer)
    write_tokenizer_model(tmp_path, tmp_path / "tokenizer.model", 14)
    found = list(fields((tmp_path / "tokenizer.model").read_bytes()))
    pieces = [tuple(v for _, v in fields(value)) for number, value in found if number == 1]
    kinds = [CONTROL, CONTROL, CONTROL, UNKNOWN, BYTE, *[NORMAL] * 6, UNUSED, USER_DEFINED, UNUSED]
    assert [kind for _, _, kind in pieces] == kinds
    assert pieces[8] == (b"ab", 0.0, NORMAL) and pieces[9] == ("▁ab".encode(), -1.0, NORMAL)  # the order of the merges
    assert pieces[6] == (b"a", LAST, NORMAL) and pieces[13][0] == b"[PAD13]"
    settings = {number: dict(fields(value)) for number, value in found if number != 1}
    assert settings == {2: {3: 2, 4: 14, 35: 1}, 3: {1: b"identity", 3: 0, 4: 0, 5: 1}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("model"), "model"),
        (lambda t: t["model"].pop("merges"), "merges"),
        (lambda t: t["model"].update(unk_token="<none>"), "unknown token"),
        (lambda t: t["model"]["vocab"].update(x=14), "token 14 of 14"),
        (lambda t: t["model"]["vocab"].update(x=3), "token 3"),
        (lambda t: t["model"]["vocab"].update(x="3"), "tokenizer"),
        (lambda t: t.update(added_tokens=7), "tokenizer"),
    ],
)
def test_broken_tokenizer_is_said(tokenizer: dict[str, Any], tmp_path: Path, change: Any, words: str) -> None:
    change(tokenizer)
    write_json(tmp_path / "tokenizer.json", tokenizer)
    with pytest.raises(GgufInvalid, match=words):
        write_tokenizer_model(tmp_path, tmp_path / "tokenizer.model", 14)
    assert not (tmp_path / "tokenizer.model").exists()


def test_which_tokenizers_are_sentencepiece(tokenizer: dict[str, Any]) -> None:
    assert is_sentencepiece(tokenizer)
    assert not is_sentencepiece({"model": {"type": "BPE", "byte_fallback": False}})
    assert not is_sentencepiece({"model": {"type": "Unigram", "byte_fallback": True}})
    assert not is_sentencepiece({"model": None})
