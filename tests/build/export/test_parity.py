"""llama.cpp against transformers on the tiny Phi-4-mini-shaped model: greedy tokens, tokenization, and what fails."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t.ask.hf import HuggingFace
from so8t.build.export.modelfile import write_modelfile
from so8t.build.export.parity import ODD, Parity, _continuation, compare, odd_strings
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.core.errors import ParityFailed

REAL = [
    "検査報告は部外秘です。社内の閲覧権限を確かめてから、担当者に回してください。",
    "経費精算の締め日は毎月二十五日です。領収書を添えて申請してください。",
    "The quarterly report isn't final; they'll send VPN settings on 2024-05-01.",
]
PROMPTS = [f"<|user|>権限:社内限定 区分:部外秘\n{t}<|end|><|assistant|>" for t in REAL] + [
    "ALLOW",
    "患者さんの名前と" * 20,
]


@pytest.fixture(scope="module")
def reference(burned: Path) -> Iterator[HuggingFace]:
    yield HuggingFace(load_causal(burned, torch.float32), load_tokenizer(burned))


@pytest.fixture(scope="module")
def shipped(burned: Path, f16: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF with its Modelfile, as an export has them."""
    gguf = tmp_path_factory.mktemp("export") / "gguf" / "model-F16.gguf"
    gguf.parent.mkdir()
    shutil.copyfile(f16, gguf)
    write_modelfile(gguf.parent.parent, "F16", burned, 1024)
    return gguf


def test_all_agrees(shipped: Path, reference: HuggingFace) -> None:
    """In the short context, where the short rotary factors and the attention factor hold."""
    found = compare(shipped, reference, PROMPTS, odd_strings(REAL, 120), 32, 1024)
    assert found.passed, found
    assert found.prompts == 5
    # llama.cpp lets combining marks stand apart (build/gguf.py): only such strings differ, and not once composed.
    assert 0 < found.strings_composed < 20 and found.strings_equal + found.strings_composed == 120
    assert found.conversations_equal == found.conversations > 60
    assert found.stops_working == found.stops == 3 and found.difference == ""
    assert found.worst_logprob_difference < 0.05
    assert found.to_json()["passed"] is True


def test_composed_strings_agree(shipped: Path, reference: HuggingFace) -> None:
    strings = [unicodedata.normalize("NFC", s) for s in odd_strings(REAL, 60)]
    assert compare(shipped, reference, [], strings, 1, 1024).strings_equal == 60


def test_other_weights_are_noticed(shipped: Path, burned: Path) -> None:
    """The same comparison against a model with one o_proj unrotated (here: negated) must fail."""
    model = load_causal(burned, torch.float32)
    with torch.no_grad():
        model.model.layers[1].self_attn.o_proj.weight.neg_()
    found = compare(shipped, HuggingFace(model, load_tokenizer(burned)), PROMPTS, [], 16, 1024)
    assert not found.continues and not found.passed and found.turns


def test_missing_attention_factor_would_be_noticed(shipped: Path, burned: Path) -> None:
    """longrope scales attention in the short context too; a reader that forgets it is not equal."""
    model = load_causal(burned, torch.float32)
    model.model.rotary_emb.attention_scaling = 1.0
    found = compare(shipped, HuggingFace(model, load_tokenizer(burned)), PROMPTS, [], 16, 1024)
    assert not found.continues or found.worst_logprob_difference > 0.05


def test_another_splitting_rule_is_noticed(shipped: Path, burned: Path, tmp_path: Path) -> None:
    """The exporter names a rule by its beginning; one that goes on differently cannot pass."""
    for file in burned.glob("*.json*"):
        shutil.copy(file, tmp_path / file.name)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    pattern = content["pre_tokenizer"]["pretokenizers"][0]["pattern"]
    pattern["Regex"] = pattern["Regex"].replace(r"\p{N}{1,3}", r"\p{N}{1,2}")
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    other = HuggingFace(load_causal(burned, torch.float32), load_tokenizer(tmp_path))
    found = compare(shipped, other, [], odd_strings(["2024年", "1234567円"], 60), 1, 1024)
    assert found.strings_equal < 60 and not found.tokenizes and not found.passed


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def test_continuations_are_judged() -> None:
    ends = frozenset({2})
    ours = [(0, logits(3, 1, 0)), (1, logits(0, 3, 2.9995))]
    near = [(0, {0: float(logits(3, 1, 0).log_softmax(-1)[0])})]
    same = (1, {1: float(logits(0, 3, 2.9995).log_softmax(-1)[1])})
    assert _continuation(ours, [*near, same], ends)[0] == "equal"
    assert _continuation(ours, [*near, (2, {2: -1.0})], ends)[0] == "tie"  # 5e-4 apart
    assert _continuation(ours, [(1, {1: -1.0}), same], ends)[0] == "different"
    assert _continuation(ours, near, ends)[0] == "different"  # stopped early, and not at an end
    assert _continuation([ours[0], (2, logits(0, 0, 5))], near, ends)[0] == "equal"  # stopped at one
    assert _continuation(ours, [(0, {0: -5.0}), same], ends)[1] > 4
    assert _continuation(ours, [(0, {}), same], ends) == ("equal", pytest.approx(0.0, abs=1e-6))  # no rivals reported
    broken = [(0, logits(torch.nan, 1, 0))]
    assert _continuation(broken, [(1, {1: 0.0})], ends)[0] == "different"


GOOD = Parity(2, 1, 1, 8, 3, 2, 0.0, 1, conversations=5, conversations_equal=5, stops=2, stops_working=2)


@pytest.mark.parametrize(
    "change",
    [
        {"ties": 0}, {"strings_equal": 1}, {"strings_composed": 0}, {"conversations_equal": 4}, {"stops_working": 1},
        {"conversations": 0, "conversations_equal": 0}, {"stops": 0, "stops_working": 0}, {"difference": "stop"},
    ],
)  # fmt: skip
def test_passing_needs_everything(change: dict[str, Any]) -> None:
    assert GOOD.passed
    assert not replace(GOOD, **change).passed


def test_the_error_says_what_differs_first() -> None:
    assert GOOD.detail == "1+1/2, 2+1/3, 5/5, 2/2"
    words = "conversation 3, ollama, position 7: 4 '<|end|>' instead of 5 '<|user|>'"
    assert replace(GOOD, difference=words).detail.endswith(f"; {words}")
    assert {"conversations", "conversations_equal", "stops", "stops_working", "difference"} <= GOOD.to_json().keys()


def test_a_gguf_without_a_modelfile_is_refused(f16: Path, reference: HuggingFace) -> None:
    with pytest.raises(ParityFailed, match="no Modelfile"):
        compare(f16, reference, [], [], 1, 1024)


def test_odd_strings_are_many_deterministic_and_odd() -> None:
    strings = odd_strings(REAL, 200)
    assert len(strings) == 200
    assert strings == odd_strings(REAL, 200)
    assert set(ODD) <= set(strings)
    assert len(set(strings)) > 180
    whole = "".join(strings)
    assert all(c in whole for c in ("👨‍👩‍👧", "ﾊﾝｶｸ", "か\u3099", "\x1b", "\u200b"))
    assert max(map(len, strings)) >= 2000
