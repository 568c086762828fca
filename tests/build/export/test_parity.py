"""llama.cpp against transformers on the tiny Phi-4-mini-shaped model: greedy tokens, tokenization, and what fails."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from so8t.ask.hf import HuggingFace
from so8t.build.export.parity import ODD, Parity, _continuation, compare, odd_strings
from so8t.build.model.loading import load_causal, load_tokenizer

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


def test_greedy_tokens_and_tokenization_agree(f16: Path, reference: HuggingFace) -> None:
    """In the short context, where the short rotary factors and the attention factor hold."""
    found = compare(f16, reference, PROMPTS, odd_strings(REAL, 120), 32, 1024)
    assert found.passed, found
    assert found.prompts == 5
    # llama.cpp lets combining marks stand apart (build/gguf.py): only such strings differ, and not once composed.
    assert 0 < found.strings_composed < 20 and found.strings_equal + found.strings_composed == 120
    assert (
        compare(
            f16, reference, [], [unicodedata.normalize("NFC", s) for s in odd_strings(REAL, 60)], 1, 1024
        ).strings_equal
        == 60
    )
    assert found.worst_logprob_difference < 0.05
    assert found.to_json()["passed"] is True


def test_other_weights_are_noticed(f16: Path, burned: Path) -> None:
    """The same comparison against a model with one o_proj unrotated (here: negated) must fail."""
    model = load_causal(burned, torch.float32)
    with torch.no_grad():
        model.model.layers[1].self_attn.o_proj.weight.neg_()
    found = compare(f16, HuggingFace(model, load_tokenizer(burned)), PROMPTS, [], 16, 1024)
    assert not found.passed


def test_missing_attention_factor_would_be_noticed(f16: Path, burned: Path) -> None:
    """longrope scales attention in the short context too; a reader that forgets it is not equal."""
    model = load_causal(burned, torch.float32)
    model.model.rotary_emb.attention_scaling = 1.0
    found = compare(f16, HuggingFace(model, load_tokenizer(burned)), PROMPTS, [], 16, 1024)
    assert not found.passed or found.worst_logprob_difference > 0.05


def test_another_splitting_rule_is_noticed(f16: Path, burned: Path, tmp_path: Path) -> None:
    """The exporter names a rule by its beginning; one that goes on differently cannot pass."""
    for file in burned.glob("*.json*"):
        shutil.copy(file, tmp_path / file.name)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    pattern = content["pre_tokenizer"]["pretokenizers"][0]["pattern"]
    pattern["Regex"] = pattern["Regex"].replace(r"\p{N}{1,3}", r"\p{N}{1,2}")
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    other = HuggingFace(load_causal(burned, torch.float32), load_tokenizer(tmp_path))
    found = compare(f16, other, [], odd_strings(["2024年", "1234567円"], 60), 1, 1024)
    assert found.strings_equal < 60 and not found.passed


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


def test_passing_needs_every_prompt_and_every_string() -> None:
    assert Parity(2, 1, 1, 8, 3, 3, 0.0).passed
    assert not Parity(2, 1, 0, 8, 3, 3, 0.0).passed
    assert not Parity(2, 2, 0, 8, 3, 2, 0.0).passed
    assert Parity(2, 2, 0, 8, 3, 2, 0.0, 1).passed


def test_odd_strings_are_many_deterministic_and_odd() -> None:
    strings = odd_strings(REAL, 200)
    assert len(strings) == 200
    assert strings == odd_strings(REAL, 200)
    assert set(ODD) <= set(strings)
    assert len(set(strings)) > 180
    whole = "".join(strings)
    assert all(c in whole for c in ("👨‍👩‍👧", "ﾊﾝｶｸ", "か\u3099", "\x1b", "\u200b"))
    assert max(map(len, strings)) >= 2000
