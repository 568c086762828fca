"""Layer by layer a model gives the logits it gives as a whole, and is in memory a layer at a time."""

from __future__ import annotations

import importlib.util
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from so8t.build.burnin import proof
from so8t.build.burnin.comparison import difference
from so8t.build.burnin.fold import fold
from so8t.build.burnin.passage import Passage, Streamed, batches, cast
from so8t.build.burnin.proof import EXACT, distances
from so8t.build.burnin.skeleton import skeleton, stored_model
from so8t.build.burnin.weights import Held, Weights
from so8t.build.model.attach import attach
from so8t.build.model.loading import load_causal
from so8t.core.config import GateConfig
from so8t.core.errors import BaseUnusable, BurnInFailed

_spec = importlib.util.spec_from_file_location(
    "architectures_in_small", Path(__file__).parents[1] / "model" / "test_architectures.py"
)
assert _spec is not None and _spec.loader is not None
architectures: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(architectures)

EVERY = pytest.mark.parametrize("name", list(architectures.BY_HAND))
PROMPTS = [*architectures.PROMPTS, [5, 9, 127, 0, 5]]


def through(model: Streamed, prompts: Sequence[Sequence[int]], dtype: torch.dtype, step: int = 50) -> Tensor:
    """[real positions, vocabulary]."""
    passages: list[Passage] = [model.begin(batch, dtype) for batch in batches(prompts)]
    for number in range(len(model.layers)):
        for passage in passages:
            passage.step(number, cast(model.layer(number), dtype))
    parts = []
    for start in range(0, model.vocabulary, step):
        head = cast(model.head(start, min(start + step, model.vocabulary)), dtype)
        parts.append(torch.cat([passage.logits(head) for passage in passages]))
    return torch.cat(parts, -1)


@EVERY
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-5), (torch.float32, 1e-4), (torch.bfloat16, 0.5)])
@torch.no_grad()
def test_from_disk_by_layers_it_is_the_whole_model(name: str, dtype: torch.dtype, close: float, tmp_path: Path) -> None:
    """Windows, rope of several kinds, caps, scaled embeddings, biases: all of it the architecture's own code.

    Not 1e-12 in fp64: norms and rotary angles are made in fp32 whatever the model's precision.
    """
    whole = architectures.make(name)
    whole.save_pretrained(tmp_path, max_shard_size="40KB")
    whole = load_causal(tmp_path, dtype).eval()
    model = skeleton(tmp_path)
    assert all(p.device.type == "meta" for p in model.parameters())
    found = through(Streamed(model, stored_model(tmp_path, model, BaseUnusable)), PROMPTS, dtype)
    batch = batches(PROMPTS)[0]
    expected = whole(input_ids=torch.tensor(batch.rows)[batch.ids]).logits[batch.real]
    assert found.dtype == dtype and found.shape == (sum(map(len, PROMPTS)), 128)
    assert (found - expected).abs().max() < close
    assert all(p.device.type == "meta" for p in model.parameters())
    assert not any("forward" in vars(layer) for layer in model.model.layers)


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen2"])
@torch.no_grad()
def test_padding_changes_nothing(name: str) -> None:
    """Prompt by prompt without padding, where rope does not depend on the longest prompt as longrope does."""
    whole = architectures.make(name)
    found = through(Streamed(whole, Held.by(whole)), PROMPTS, torch.float32)
    expected = torch.cat([whole(torch.tensor([ids])).logits[0] for ids in PROMPTS])
    assert (found - expected).abs().max() < 1e-4


@EVERY
def test_figures_are_those_of_an_unstreamed_computation(name: str) -> None:
    gated = architectures.gated(name)
    plain = fold(gated)[0]
    ids = architectures.PROMPTS[1:]
    found = distances(
        Streamed(gated.causal, Held.by(gated.causal), gated.rotations), Streamed(plain, Held.by(plain)), ids
    )
    whole = difference(gated.peft, plain, ids)
    between = found[torch.float32].between
    assert between.logit == pytest.approx(whole.logit, rel=0.5, abs=2e-6)
    assert between.rms == pytest.approx(whole.rms, rel=0.2, abs=1e-7)
    assert between.kl == pytest.approx(whole.kl, abs=1e-11) and between.agreement == whole.agreement


def test_several_batches_are_as_good_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gated = architectures.gated("llama")
    plain = fold(gated)[0]
    sides = Streamed(gated.causal, Held.by(gated.causal), gated.rotations), Streamed(plain, Held.by(plain))
    one = distances(*sides, PROMPTS)
    monkeypatch.setattr(proof, "batches", lambda prompts: batches(prompts, 20))
    several = distances(*sides, PROMPTS)
    for dtype in (torch.float32, torch.float16):
        assert several[dtype].between.rms == pytest.approx(one[dtype].between.rms, rel=0.2)
        assert several[dtype].gated.rms == pytest.approx(one[dtype].gated.rms, rel=0.2)


def test_batches_hold_every_prompt_once() -> None:
    prompts = [[n] * (1 + n % 7) for n in range(1, 30)]
    for limit in (1, 7, 20, 10**6):
        found = batches(prompts, limit)
        back = [[b.rows[i] for i, real in zip(ids, mask, strict=True) if real]
                for b in found for ids, mask in zip(b.ids.tolist(), b.real.tolist(), strict=True)]  # fmt: skip
        assert sorted(back) == sorted(prompts)
        assert all(b.ids.numel() <= max(limit, 7) for b in found)
        assert all(bool(b.real[:, 0].all()) and bool((b.real.int().diff(dim=1) <= 0).all()) for b in found)


@pytest.mark.parametrize("prompts", [[[1, 128]], [[-1, 3]]])
def test_token_that_the_model_does_not_have(prompts: list[list[int]]) -> None:
    whole = architectures.make("llama")
    with pytest.raises(BurnInFailed, match="token ids"):
        Streamed(whole, Held.by(whole)).begin(batches(prompts)[0], torch.float32)


def test_padding_token_beyond_the_tokens_that_occur() -> None:
    whole = architectures.make("llama", pad_token_id=120)
    assert through(Streamed(whole, Held.by(whole)), [[1, 2, 3]], torch.float32).shape == (3, 128)
    assert whole.model.embed_tokens.padding_idx == 120


class Counted:
    """Weights that notes how many bytes it handed out and that somebody still holds."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.alive = self.most = 0

    def _lend(self, tensor: Tensor) -> Tensor:
        lent = tensor.clone()
        size = lent.numel() * lent.element_size()
        self.alive += size
        self.most = max(self.most, self.alive)
        weakref.finalize(lent, self._back, size)
        return lent

    def _back(self, size: int) -> None:
        self.alive -= size

    def names(self) -> list[str]:
        return self._weights.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._weights.shape(name)

    def tensor(self, name: str) -> Tensor:
        return self._lend(self._weights.tensor(name))

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        return self._lend(self._weights.rows(name, start, stop))

    def take(self, name: str, rows: Sequence[int]) -> Tensor:
        return self._lend(self._weights.take(name, rows))


def test_one_layer_is_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    base = architectures.make("llama", num_hidden_layers=9, vocab_size=4096)
    gated = attach(base, architectures.LORA, GateConfig())
    plain = fold(gated)[0]
    held = Counted(Held.by(gated.causal)), Counted(Held.by(plain))
    monkeypatch.setattr(proof, "SLICE", 2**14)
    distances(Streamed(gated.causal, held[0], gated.rotations), Streamed(plain, held[1]), [[1, 2, 3, 4]])
    for count, model in zip(held, (gated.causal, plain), strict=True):
        layer = sum(4 * p.numel() for p in model.model.layers[0].parameters())
        whole = sum(4 * p.numel() for p in model.parameters())
        assert layer <= count.most < 1.2 * layer < 0.15 * whole
        assert count.alive < 5000  # what lies around the layers


def test_model_is_left_as_it_was() -> None:
    gated = architectures.gated("llama")
    plain = fold(gated)[0]
    assert gated.rotations is not None
    leaves = gated.rotations.leaves
    before = {name: tensor.clone() for name, tensor in gated.causal.state_dict().items()}
    gated.train(True)
    distances(Streamed(gated.causal, Held.by(gated.causal), gated.rotations), Streamed(plain, Held.by(plain)), PROMPTS)
    assert gated.causal.training and gated.rotations.leaves is leaves
    assert all(torch.equal(before[name], tensor) for name, tensor in gated.causal.state_dict().items())
    assert torch.float64 == EXACT


@pytest.mark.parametrize("change", [{"num_hidden_layers": 3}, {"vocab_size": 96}], ids=["layers", "vocabulary"])
def test_models_of_different_sizes(change: dict[str, int]) -> None:
    one, other = architectures.make("llama"), architectures.make("llama", **change)
    with pytest.raises(BurnInFailed, match="not those of the base"):
        distances(Streamed(one, Held.by(one)), Streamed(other, Held.by(other)), PROMPTS)
