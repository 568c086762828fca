"""Perplexity and its change, by hand; and likelihoods of the micro model against the probabilities of its server."""

from __future__ import annotations

import asyncio
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from so8t.ask.backend import FakeBackend
from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.core.errors import BackendDown, PackageMissing
from so8t.core.files import write_jsonl
from so8t.core.types import Domain, Sample, Split
from so8t.prove.likelihood import PIECE, Likelihood, likelihood, surprise
from so8t.prove.perplexity import change, held_out_texts, perplexity, tokens_of


def test_perplexity_by_hand() -> None:
    assert perplexity(Likelihood((math.log(4) * 3, math.log(4)), (3, 1))) == pytest.approx(4)
    assert perplexity(Likelihood((), ())) is None


def test_change_is_relative_and_paired() -> None:
    base = Likelihood((100.0, 3.0, 50.0), (20, 10, 30))
    assert change(base, base, 50) == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 3}
    more = Likelihood(tuple(n + 0.02 * t for n, t in zip(base.nll, base.tokens, strict=True)), base.tokens)
    found = change(more, base, 50)
    assert found is not None and found["value"] == pytest.approx(math.expm1(0.02), abs=1e-6)
    assert found["low"] == pytest.approx(found["high"], abs=1e-6)  # the same in every text: nothing to draw
    assert change(Likelihood((), ()), Likelihood((), ()), 50) is None


def test_surprise_is_the_log_of_a_softmax() -> None:
    logits = np.array([1000.0, 1000.0, -1000.0])
    assert surprise(logits, 0) == pytest.approx(math.log(2))
    assert np.isfinite(surprise(logits, 2))


def test_tokens_stop_at_the_budget_and_at_the_context() -> None:
    backend = FakeBackend()  # one token a byte
    found = asyncio.run(tokens_of(backend, ["a" * 9, "", "b", "c" * 100, "d" * 100], 30, 16))
    assert [len(t) for t in found] == [9, 15, 6]
    assert asyncio.run(tokens_of(backend, ["a" * 9], 0, 16)) == []


def text(n: int, kind: str, split: Split) -> dict[str, object]:
    return Sample(f"s{n}", kind, f"文{n}", "t", "t", Domain.GENERAL, split, "f").to_json()


def test_only_plain_texts_of_the_validation_split_are_used(tmp_path: Path) -> None:
    assert held_out_texts(tmp_path) == []
    write_jsonl(tmp_path / "train.jsonl", [text(1, "text", Split.TRAIN)])
    write_jsonl(
        tmp_path / "validation.jsonl", [text(2, "text", Split.VALIDATION), text(3, "request", Split.VALIDATION)]
    )
    assert held_out_texts(tmp_path) == ["文2"]


def test_the_child_agrees_with_the_server(micro_run: Path) -> None:
    """What one more token adds is the log-probability that the server gives it, also behind a border of pieces."""
    pytest.importorskip("cyllama", exc_type=ImportError)
    model = micro_run / "bundle" / "gguf" / "model-F16.gguf"
    sentence = "会議の資料を三行にまとめて、明日の朝までに配ってください。"

    async def ask(address: str) -> tuple[list[int], dict[int, float]]:
        backend = LlamaCpp(address)
        try:
            ids = (await backend.tokenize(sentence * 40))[: PIECE + 9]
            (_, near), *_ = await backend.greedy(ids, 1)
            return ids, near
        finally:
            await backend.close()

    with serve(model, 1024) as address:
        ids, near = asyncio.run(ask(address))
    assert len(ids) == PIECE + 9 and len(near) >= 2
    found = likelihood(model, [ids, *([*ids, token] for token in near)], 1024, 1)
    assert found.tokens == (len(ids) - 1, *[len(ids)] * len(near))
    for nll, logprob in zip(found.nll[1:], near.values(), strict=True):
        assert nll - found.nll[0] == pytest.approx(-logprob, abs=0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="PYTHONPATH shadowing")
def test_a_missing_package_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cyllama").mkdir()
    (tmp_path / "cyllama" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'cyllama'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PackageMissing, match="cyllama"):
        likelihood(tmp_path / "model.gguf", [[1, 2]], 64, 1)


def test_a_broken_file_is_said(tmp_path: Path) -> None:
    pytest.importorskip("cyllama", exc_type=ImportError)
    (tmp_path / "model.gguf").write_bytes(b"no gguf at all" * 100)
    with pytest.raises(BackendDown) as caught:
        likelihood(tmp_path / "model.gguf", [[1, 2]], 64, 1)
    assert caught.value.where == str(tmp_path / "model.gguf")
