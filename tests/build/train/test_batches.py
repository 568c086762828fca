"""Which row comes when: each once an epoch, the same on any number of processes and in any number of pieces."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch

from so8t.build.train.batches import Batches
from so8t.build.train.dataset import Encoded
from so8t.core.config import TrainConfig

CPU = torch.device("cpu")
CONFIG = TrainConfig(epochs=3.0, batch_size=4, accumulation=4, maximum_tokens=40, seed=5)


def rows(count: int) -> list[Encoded]:
    generator = random.Random(2)
    made = []
    for _ in range(count):
        ids = tuple(generator.randrange(1, 99) for _ in range(generator.randrange(3, 20)))
        made.append(Encoded(ids, ids, (1.0,) * len(ids)))
    return made


def batches(config: TrainConfig = CONFIG, count: int = 27) -> Batches:
    return Batches(rows(count), config, 0, CPU)


def test_steps_and_micro_batches_follow_from_the_counts() -> None:
    made = batches(dataclasses.replace(CONFIG, batch_size=2, accumulation=2), 7)
    assert (made.per_epoch, made.steps) == (4, 6)
    for epoch in range(3):
        assert sorted(n for i in range(4) for n in made.numbers(epoch * 4 + i)) == list(range(7))


def names_and_rows(made: Batches, step: int, **how: int) -> list[tuple[str, list[list[int]]]]:
    return [(name, b.input_ids.tolist()) for name, b in made.of_step(step, **how)]


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_the_same_micro_batches(processes: int) -> None:
    made = batches()
    whole = names_and_rows(made, 1)
    shares = [names_and_rows(made, 1, rank=rank, processes=processes) for rank in range(processes)]
    assert [share[i] for i in range(4 // processes) for share in shares] == whole


@pytest.mark.parametrize("pieces", [2, 3, 4])
def test_pieces_hold_the_same_samples(pieces: int) -> None:
    made = batches()
    whole = [tuple(t for t in row if t) for _, b in names_and_rows(made, 0) for row in b]
    parts = names_and_rows(made, 0, pieces=pieces)
    assert [tuple(t for t in row if t) for _, b in parts for row in b] == whole
    assert max(len(b) for _, b in parts) == -(-4 // pieces)
    assert len({name for name, _ in parts}) == len(parts)  # each has dropout of its own


def test_totals_are_those_of_all_micro_batches() -> None:
    made = batches()
    found = made.totals(2)
    given = [made.collate(made.numbers(m)) for m in range(8, 12)]
    assert found.weight == sum(float(b.weights[:, 1:].sum()) for b in given)
    assert found.tokens == sum(int((b.labels[:, 1:] >= 0).sum()) for b in given)
    assert found.samples == sum(len(b.input_ids) for b in given) == 15  # the last one of an epoch is shorter
    lengths = [int((row > 0).sum()) for b in given for row in b.segments]
    assert found.triples == sum(n - 2 for n in lengths)


def test_packing_fills_rows_and_keeps_every_sample() -> None:
    plain, packed = batches(), batches(dataclasses.replace(CONFIG, packing=True))
    assert len(packed.rows) < len(plain.rows) / 2
    assert all(len(r.ids) <= 40 for r in packed.rows)
    assert sorted(i for r in packed.rows for i in r.ids) == sorted(i for r in plain.rows for i in r.ids)
