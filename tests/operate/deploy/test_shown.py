"""Ollama's own account against what was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.operate.deploy.modelfile import Modelfile
from so8t.operate.deploy.shown import compare, parameters
from so8t.operate.deploy.target import Target

DIGEST = "ab" * 32
SENT = {"temperature": 0.7, "num_ctx": 1024, "stop": ["<|end|>", "<|user|>"]}
LISTED = 'num_ctx                        1024\nstop                           "<|user|>"\n'
LISTED += 'stop                           "<|end|>"\ntemperature                    0.7'
ANSWER = {
    "modelfile": f"# FROM so8t:q8_0\n\nFROM /models/blobs/sha256-{DIGEST}\nTEMPLATE x", "template": "T", "system": "S",
    "parameters": LISTED, "details": {"quantization_level": "Q8_0"},
}  # fmt: skip


def target() -> Target:
    made = Modelfile("./gguf/model-Q8_0.gguf", "T", "S", SENT)
    return Target("so8t:q8_0", "Q8_0", None, DIGEST, None, made)  # type: ignore[arg-type]


def test_as_sent() -> None:
    found = compare(target(), ANSWER, "J")
    assert (found.differences, found.template, found.same_file) == ((), "Modelfile", True)
    assert compare(target(), ANSWER | {"template": "J\n"}, "J").template == "GGUF"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"template": "other"}, "template"),
    ({"template": ""}, "template"),
    ({"system": ""}, "system"),
    ({"parameters": ""}, "parameters: num_ctx, stop, temperature"),
    ({"parameters": LISTED.replace("1024", "4096")}, "parameters: num_ctx"),
    ({"parameters": LISTED + "\ntop_k                          3"}, "parameters: top_k"),
    ({"parameters": LISTED.replace('"<|end|>"', '"<|end|>\\n"')}, "parameters: stop"),
    ({"modelfile": f"FROM /models/blobs/sha256-{'0' * 64}"}, "digest: 000000000000"),
    ({"modelfile": ""}, "digest: -"),
    ({"details": {"quantization_level": "F16"}}, "quantization_level: F16"),
    ({"details": None}, "quantization_level"),
]


@pytest.mark.parametrize(("change", "word"), WRONG)
def test_every_difference_is_named(change: dict[str, Any], word: str) -> None:
    (difference,) = compare(target(), ANSWER | change, "J").differences
    assert difference.startswith(word)


def test_another_digest_is_expected_of_a_copy_alone() -> None:
    other = ANSWER | {"modelfile": f"FROM /models/blobs/sha256-{'0' * 64}"}
    found = compare(target(), other, "J", copied=True)
    assert found.differences == () and not found.same_file


def test_an_answer_without_anything() -> None:
    assert len(compare(target(), {}, "J").differences) == 5


@given(st.text(max_size=200))
def test_any_table_is_read(text: str) -> None:
    parameters(text)


@given(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=4))
def test_stop_words_come_back_in_any_order(words: list[str]) -> None:
    text = "\n".join(f"stop {json.dumps(w)}" for w in words)
    assert parameters(text) == {"stop": sorted(words)}
