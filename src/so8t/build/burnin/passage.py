"""A decoder run layer by layer: its own code from the embedding to the logits, its weights there only while they work.

The model's forward runs with its layers replaced twice: once by something that notes what each layer is called with
(masks, rotary embeddings), once by the states that the last layer left. Between the two the layers run one at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from so8t.build.burnin.weights import Weights
from so8t.build.model.rotation import Rotations
from so8t.core.errors import BurnInFailed

BATCH_TOKENS = 4096  # with padding: what the activations of a layer are made for at a time

Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts padded on the right. No mask: attention is causal, so no token of a prompt sees what is behind it.

    rows: the tokens that occur; ids [prompts, time]: places in it; real [prompts, time]: True for tokens of a prompt.
    """

    rows: list[int]
    ids: Tensor
    real: Tensor


def batches(prompts: Sequence[Sequence[int]], limit: int = BATCH_TOKENS) -> list[Batch]:
    """One batch, or several of prompts of like length when they are more than `limit` tokens.

    Raises BurnInFailed when there is nothing to compare on.
    """
    if not prompts or not all(prompts):
        raise BurnInFailed(detail="no prompts to compare on")
    if len(prompts) * max(map(len, prompts)) <= limit:
        return [_batch(prompts)]
    groups: list[list[Sequence[int]]] = [[]]
    for ids in sorted(prompts, key=len):
        if groups[-1] and (len(groups[-1]) + 1) * len(ids) > limit:
            groups.append([])
        groups[-1].append(ids)
    return [_batch(group) for group in groups]


def _batch(prompts: Sequence[Sequence[int]]) -> Batch:
    rows = sorted(set(itertools.chain.from_iterable(prompts)))
    places = {token: place for place, token in enumerate(rows)}
    length = max(map(len, prompts))
    padded = [[places[token] for token in [*ids, *[ids[0]] * (length - len(ids))]] for ids in prompts]
    real = torch.arange(length)[None, :] < torch.tensor([len(ids) for ids in prompts])[:, None]
    return Batch(rows, torch.tensor(padded), real)


class Streamed:
    """Modules of a decoder and where its weights are. With gates, `rotations` are those that turn behind them.

    The modules' own weights are not looked at and may lie on the device meta.
    """

    def __init__(self, causal: Any, weights: Weights, rotations: Rotations | None = None) -> None:
        self.causal, self.weights, self.rotations = causal, weights, rotations
        self.layers = list(causal.model.layers)
        names = {id(m): f"{name}." for name, m in causal.named_modules()}
        self._embedding = names[id(causal.get_input_embeddings())] + "weight"
        self._head = names[id(causal.get_output_embeddings())]
        self._prefixes = [names[id(layer)] for layer in self.layers]

    @property
    def vocabulary(self) -> int:
        return self.weights.shape(self._head + "weight")[0]

    @property
    def hidden(self) -> int:
        return self.weights.shape(self._head + "weight")[1]

    def layer(self, number: int) -> dict[str, Tensor]:
        """The weights of one layer as they are stored, by their names in the layer."""
        prefix = self._prefixes[number]
        return {name: self.weights.tensor(prefix + name) for name, _ in self.layers[number].named_parameters()}

    def embedded(self, batch: Batch) -> Tensor:
        """The embedding's rows for the tokens that occur, as stored. Raises BurnInFailed for an id too large."""
        if not 0 <= batch.rows[0] <= batch.rows[-1] < self.weights.shape(self._embedding)[0]:
            raise BurnInFailed(detail=f"token ids {batch.rows[0]} ... {batch.rows[-1]}")
        return self.weights.take(self._embedding, batch.rows)

    def around(self) -> dict[str, Tensor]:
        """What is neither in a layer nor as large as the vocabulary (the last norm), as it is stored."""
        inside = (*self._prefixes, self._head, self._embedding)
        names = [name for name, _ in self.causal.named_parameters() if not name.startswith(inside)]
        return {name: self.weights.tensor(name) for name in names}

    def head(self, start: int, stop: int) -> dict[str, Tensor]:
        """Some rows of the head, as they are stored."""
        names = [name for name, _ in self.causal.get_output_embeddings().named_parameters()]
        return {self._head + name: self.weights.rows(self._head + name, start, stop) for name in names}

    def begin(self, batch: Batch, dtype: torch.dtype) -> Passage:
        """The batch before the first layer."""
        kept = cast(self.around(), dtype) | {self._embedding: self.embedded(batch).to(dtype)}
        return Passage(self, batch, dtype, kept)


class Passage:
    """One batch on its way through one model in one precision."""

    def __init__(self, model: Streamed, batch: Batch, dtype: torch.dtype, kept: dict[str, Tensor]) -> None:
        self.model, self.dtype = model, dtype
        self._batch, self._kept = batch, kept
        self._calls: list[Call] = []
        self._states: Tensor
        self._forward(self._note, cast(model.head(0, 1), dtype))
        if len(self._calls) != len(model.layers):
            raise BurnInFailed(detail=f"{len(self._calls)} calls, {len(model.layers)} layers")

    def step(self, number: int, weights: dict[str, Tensor]) -> None:
        """Go through one layer; weights: of this layer in this precision."""
        arguments, named = self._calls[number]
        self._states = functional_call(
            self.model.layers[number], weights, (self._states, *arguments), named, tie_weights=False
        )

    def logits(self, head: dict[str, Tensor]) -> Tensor:
        """[real positions, rows of the head] behind the last layer; head: in this precision."""
        return self._forward(lambda *_a, **_n: self._states, head)[self._batch.real]

    def _forward(self, layer: Callable[..., Tensor], head: dict[str, Tensor]) -> Tensor:
        """The model's own forward, with `layer(number, states, ...)` in the place of its layers."""
        table = self.model.causal.get_input_embeddings()
        padding, table.padding_idx = table.padding_idx, None  # of gradients only, and our table is too short for it
        for number, module in enumerate(self.model.layers):
            module.forward = partial(layer, number)
        try:
            inputs = {"input_ids": self._batch.ids, "use_cache": False}
            output = functional_call(self.model.causal, self._kept | head, (), inputs, tie_weights=False)
        finally:
            for module in self.model.layers:
                del module.forward
            table.padding_idx = padding
        logits: Tensor = output.logits
        return logits

    def _note(self, number: int, hidden_states: Tensor, *arguments: Any, **named: Any) -> Tensor:
        if number == 0:
            self._states = hidden_states
        self._calls.append((arguments, named))
        return hidden_states


def cast(weights: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor.to(dtype) for name, tensor in weights.items()}
