"""Samples -> token batches: the prompt is masked, batches group like lengths, the order follows from seed and epoch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from so8t.build.model.losses import IGNORE
from so8t.core.types import Sample
from so8t.decide.prompt import ChatFormat, Prompt, Style, training_text
from so8t.decide.views import clearest

POOL = 32  # batches sorted by length together: little padding, still well shuffled


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids with the labels that count; `weights` raises the decision token over the rest.

    `documents`: the lengths of the samples a packed row is made of; empty = one sample.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    weights: tuple[float, ...]
    documents: tuple[int, ...] = ()

    @property
    def lengths(self) -> tuple[int, ...]:
        return self.documents or (len(self.ids),)

    @property
    def weight(self) -> float:
        """Total weight of the tokens that count: what the accumulated loss is divided by."""
        return sum(self.weights[1:])

    @property
    def tokens(self) -> int:
        """Tokens that are predicted."""
        return sum(label != IGNORE for label in self.labels[1:])

    @property
    def triples(self) -> int:
        """Runs of three tokens within one sample: what PET looks at."""
        return sum(max(0, n - 2) for n in self.lengths)


@dataclass(frozen=True, slots=True)
class Batch:
    """input_ids, labels, weights, segments: [rows, time]. segments 0 = padding, else the number of the sample.

    positions: None where every row is one sample; then causal attention alone keeps padding out of sight.
    """

    input_ids: Tensor
    labels: Tensor
    weights: Tensor
    segments: Tensor
    positions: Tensor | None = None


def sample_prompt(sample: Sample) -> Prompt:
    """The prompt of a judged sample: the same view of the query that the model judge is shown."""
    return Prompt(
        query=clearest(sample.text).text,
        clearance=sample.clearance or "",
        classification=sample.classification,
        contract=sample.identity_contract,
        policy_state=sample.policy_state,
    )


def encode(sample: Sample, tokenizer: Any, chat: ChatFormat, style: Style, limit: int, label_weight: float) -> Encoded:
    """Plain text: every token counts. Request: the assistant's part only; prompts too long are cut at their start."""
    if sample.decision is None or sample.response is None:
        ids = [*tokenizer(sample.text, add_special_tokens=False)["input_ids"][: limit - 1], tokenizer.eos_token_id]
        return Encoded(tuple(ids), tuple(ids), (1.0,) * len(ids))
    head, completion = training_text(sample_prompt(sample), style, chat, sample.decision, sample.response)
    prompt = tokenizer(head, add_special_tokens=False)["input_ids"]
    answer = tokenizer(completion, add_special_tokens=False)["input_ids"]
    prompt = prompt[-max(1, limit - len(answer)) :]
    ids = [*prompt, *answer][:limit]
    labels = ([IGNORE] * len(prompt) + answer)[:limit]
    weights = ([0.0] * len(prompt) + [label_weight] + [1.0] * (len(answer) - 1))[:limit]
    return Encoded(tuple(ids), tuple(labels), tuple(weights))


def order(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Sample numbers of every batch of one epoch; each sample exactly once."""
    generator = random.Random(f"{seed}/{epoch}")
    numbers = list(range(len(lengths)))
    generator.shuffle(numbers)
    batches: list[list[int]] = []
    for start in range(0, len(numbers), batch_size * POOL):
        pool = sorted(numbers[start : start + batch_size * POOL], key=lambda n: lengths[n])
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    generator.shuffle(batches)
    return batches


def join(samples: Sequence[Encoded]) -> Encoded:
    """One row of several samples. The first token of each is predicted from nothing, so it does not count."""
    labels = tuple(label for s in samples for label in (IGNORE, *s.labels[1:]))
    weights = tuple(weight for s in samples for weight in (0.0, *s.weights[1:]))
    return Encoded(tuple(i for s in samples for i in s.ids), labels, weights, tuple(len(s.ids) for s in samples))


def collate(rows: Sequence[Encoded], pad: int, device: torch.device) -> Batch:
    """Pad at the right to the longest row."""
    width = max(len(r.ids) for r in rows)

    def padded(values: list[Sequence[Any]], fill: Any, dtype: torch.dtype) -> Tensor:
        return torch.tensor([[*v, *([fill] * (width - len(v)))] for v in values], dtype=dtype, device=device)

    packed = any(len(r.lengths) > 1 for r in rows)
    return Batch(
        padded([r.ids for r in rows], pad, torch.long),
        padded([r.labels for r in rows], IGNORE, torch.long),
        padded([r.weights for r in rows], 0.0, torch.float32),
        padded([[i for i, n in enumerate(r.lengths, 1) for _ in range(n)] for r in rows], 0, torch.long),
        torch.tensor([_positions(r, width) for r in rows], device=device) if packed else None,
    )


def _positions(row: Encoded, width: int) -> list[int]:
    """Positions that begin anew with every sample, and once more with the padding: the model's mask follows them."""
    return [p for n in (*row.lengths, width - len(row.ids)) for p in range(n)]
