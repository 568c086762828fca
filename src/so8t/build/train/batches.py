"""Which rows make up which micro-batch of which optimizer step, on how many processes whatsoever."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from so8t.build.train.dataset import Batch, Encoded, collate, join, order
from so8t.build.train.packing import pack
from so8t.core.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Totals:
    """What the sums of all micro-batches of a step are divided by."""

    weight: float
    tokens: int
    triples: int
    samples: int


class Batches:
    """The order of all training rows. batch_size and accumulation are those of all processes together."""

    def __init__(self, data: Sequence[Encoded], config: TrainConfig, pad: int, device: torch.device) -> None:
        self._config, self._pad, self._device = config, pad, device
        self.rows = _packed(data, config.maximum_tokens) if config.packing else list(data)
        self._lengths = [len(r.ids) for r in self.rows]
        self._totals = [Totals(r.weight, r.tokens, r.triples, len(r.lengths)) for r in self.rows]
        self._order: tuple[int, list[list[int]]] = (-1, [])

    @property
    def per_epoch(self) -> int:
        return math.ceil(len(self.rows) / self._config.batch_size)

    @property
    def steps(self) -> int:
        """Optimizer steps in all, computed from the real counts (SPEC D9)."""
        return max(1, math.ceil(self.per_epoch * self._config.epochs / self._config.accumulation))

    def numbers(self, micro: int) -> list[int]:
        """Row numbers of micro-batch `micro` of the whole training, wherever it is resumed."""
        epoch, index = divmod(micro, self.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, order(self._lengths, self._config.batch_size, self._config.seed, epoch))
        return self._order[1][index]

    def totals(self, step: int) -> Totals:
        """Over all micro-batches of an optimizer step, on whichever process they run."""
        found = [self._totals[n] for micro in self._micro(step) for n in self.numbers(micro)]
        return Totals(
            sum(t.weight for t in found), sum(t.tokens for t in found), sum(t.triples for t in found),
            sum(t.samples for t in found),
        )  # fmt: skip

    def of_step(self, step: int, pieces: int = 1, rank: int = 0, processes: int = 1) -> Iterator[tuple[str, Batch]]:
        """(name, batch) of this process's micro-batches, each cut into `pieces`. The name seeds its dropout."""
        for micro in self._micro(step)[rank::processes]:
            numbers = self.numbers(micro)
            size = math.ceil(len(numbers) / pieces)
            for start in range(0, len(numbers), size):
                yield f"{micro}/{start}", self.collate(numbers[start : start + size])

    def collate(self, numbers: Sequence[int]) -> Batch:
        return collate([self.rows[n] for n in numbers], self._pad, self._device)

    def _micro(self, step: int) -> range:
        return range(step * self._config.accumulation, (step + 1) * self._config.accumulation)


def _packed(data: Sequence[Encoded], limit: int) -> list[Encoded]:
    return [join([data[n] for n in row]) for row in pack([len(e.ids) for e in data], limit)]
