"""What a finished training is compared by, measured on the validation split (plan 9.3, SPEC P5): never on the test one.

One pass over the requests gives the cross entropy of the answers, the decision by label log-likelihood and the
roughness of the hidden states; one over long windows of text the loss by position; one the continuations for BLEU.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from so8t.build.ablation.settings import trained_config
from so8t.build.ablation.windows import borders, long_windows
from so8t.build.data.sample_lines import load_samples, split_file
from so8t.build.model import pet
from so8t.build.model.attach import GatedModel
from so8t.build.model.head import Head
from so8t.build.model.loading import load_tokenizer
from so8t.build.model.losses import IGNORE
from so8t.build.model.rotation import angles
from so8t.build.model.shape import chunk_tokens
from so8t.build.model.tokenizer import chat_format
from so8t.build.train.dataset import Batch, Encoded, collate, encode
from so8t.build.train.ranks import Ranks
from so8t.build.train.stage import base_folder, load_gated, training_device
from so8t.build.train.swa import copy_into
from so8t.core.errors import BackendProtocol, CheckpointBroken, StageMissing
from so8t.core.progress import Progress
from so8t.core.run import Run, StageContext
from so8t.core.types import DECISIONS, Sample, Split

SPLIT = Split.VALIDATION
ROWS = 8  # requests a batch
BLEU_TOKENS = 2048  # plan 9.3: half of them given, half made
PLAN_WINDOW = 2048


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is measured: tokens a long window, windows at most, windows continued for BLEU, requests (0 = all)."""

    window: int = PLAN_WINDOW
    windows: int = 8
    continued: int = 8
    requests: int = 0


def scope_window(trained_tokens: int) -> int:
    """Tokens of a long window: the plan's 2048, or twice what was trained on where that is more."""
    return max(PLAN_WINDOW, 2 * trained_tokens)


def measure(run: Run, scope: Scope, threads: int, progress: Progress) -> dict[str, Any]:
    """{units, angle, positions, texts, facts} of the stage train of a run, as prove.ablation.measured reads it.

    Raises StageMissing, StageBroken, RecordInvalid, CheckpointBroken, or what loading a model raises.
    """
    torch.set_num_threads(threads)
    manifest = run.manifest("train")
    if manifest is None or not manifest.done:
        raise StageMissing(where=run.stage("train"))
    for stage in ("validate", "base", "train"):
        run.verify(stage)
    config = trained_config(manifest, str(run.manifest_path("train")))
    light = dataclasses.replace(config.train, gradient_checkpointing=False, offload_activations=False)
    ctx = StageContext(run, dataclasses.replace(config, train=light, threads=threads), "train", progress)
    meter = Meter(ctx, training_device(), scope)
    return meter.result()


class Meter:
    """A trained model with the adapter in place, and the validation samples it is measured on."""

    def __init__(self, ctx: StageContext, device: torch.device, scope: Scope) -> None:
        folder = base_folder(ctx)
        self.config, self.scope, self.device = ctx.config, scope, device
        self.tokenizer, self.chat = load_tokenizer(folder), chat_format(folder)
        self.model = with_adapter(load_gated(ctx, folder, device, Ranks()), ctx)
        self.head: Head = self.model.head
        samples = load_samples([split_file(ctx.input("validate"), SPLIT)])
        self.requests = _first([s for s in samples if s.decision is not None], scope.requests)
        self.texts = [s for s in samples if s.kind == "text"]
        self.windows = long_windows(self.texts, self.tokenizer, scope.window, scope.windows)

    @torch.no_grad()
    def result(self) -> dict[str, Any]:
        units = self._requests() if self.requests else {}
        long, positions = self._long()
        if long:
            units["long"] = _unit(long)
        trained = self.config.train.maximum_tokens
        facts = {
            "split": SPLIT.value, "requests": len(self.requests), "window": self.scope.window,
            "windows": len(self.windows), "trained_tokens": trained, "weights": "kept",
            "context": int(getattr(self.model.causal.config, "max_position_embeddings", 0)),
        }  # fmt: skip
        return {
            "units": units, "positions": positions, "texts": self._continued(), "angle": self._angle(), "facts": facts,
        }  # fmt: skip

    def _requests(self) -> dict[str, Any]:
        """Sums a family of requests: (cross entropy, tokens), the nine cells of the confusion, (roughness, triples)."""
        labels = self._label_tokens()
        answers: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        rough: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        cells: dict[str, list[float]] = defaultdict(lambda: [0.0] * 9)
        for sample, hidden, row in self._answered():
            nll = token_losses(hidden[:-1], row.labels[1:], self.head)
            _add(answers[sample.family], [nll.sum(), float((row.labels[1:] != IGNORE).sum())])
            n = int((row.segments != 0).sum())
            smooth = pet.pet_sum(hidden[None, :n], row.segments[None, :n]) if n > 2 else 0.0
            _add(rough[sample.family], [smooth, float(max(0, n - 2))])
            assert sample.decision is not None
            before = int((row.labels != IGNORE).nonzero()[0]) - 1  # the last token of the prompt
            judged = int(self.head.logits(hidden[before])[labels].argmax())
            cells[sample.family][3 * DECISIONS.index(sample.decision) + judged] += 1
        return {"answers": _unit(answers), "roughness": _unit(rough), "decisions": _unit(cells)}

    def _label_tokens(self) -> Tensor:
        """The first token of each decision, as the model judge reads them. Raises BackendProtocol if two are alike."""
        first = [self.tokenizer(d.value, add_special_tokens=False)["input_ids"][0] for d in DECISIONS]
        if len(set(first)) < len(first):
            raise BackendProtocol(detail="labels begin alike")
        return torch.tensor(first, device=self.device)

    def _answered(self) -> Iterator[tuple[Sample, Tensor, Row]]:
        """Each request with its hidden states [time, features] and its own row of the batch."""
        encoded = [self._encode(s) for s in self.requests]
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].ids))
        for start in range(0, len(order), ROWS):
            numbers = order[start : start + ROWS]
            batch = collate([encoded[i] for i in numbers], self.tokenizer.pad_token_id, self.device)
            hidden = self.model.hidden(batch.input_ids, position_ids=batch.positions)
            for row, number in enumerate(numbers):
                yield self.requests[number], hidden[row], Row.of(batch, row)

    def _encode(self, sample: Sample) -> Encoded:
        style, limit = self.config.prompt.style, self.config.train.maximum_tokens
        return encode(sample, self.tokenizer, self.chat, style, limit, 1.0)

    def _long(self) -> tuple[dict[str, list[float]], list[list[float]]]:
        """Cross entropy beyond the trained length by text, and by position: [from, to, sum, tokens]."""
        trained = self.config.train.maximum_tokens
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        parts = [[low, high, 0.0, 0.0] for low, high in borders(self.scope.window)]
        for window in self.windows:
            ids = torch.tensor([window.ids], device=self.device)
            nll = token_losses(self.model.hidden(ids)[0, :-1], ids[0, 1:], self.head).tolist()
            for position, loss in enumerate(nll, 1):
                part = next(p for p in parts if p[0] <= position < p[1])
                _add_floats(part, 2, loss)
                if position >= trained:
                    _add_floats(sums[self.texts[window.texts[position]].id], 0, loss)
        return sums, [p for p in parts if p[3]]

    def _continued(self) -> list[dict[str, str]]:
        """The second half of each window as the model writes it, and as it is."""
        length, windows = min(self.scope.window, BLEU_TOKENS), self.windows[: self.scope.continued]
        half = length // 2
        written = self._greedy([w.ids[:half] for w in windows], length - half) if windows else []
        return [
            {"id": str(number), "made": self._text(made), "reference": self._text(window.ids[half:length])}
            for number, (window, made) in enumerate(zip(windows, written, strict=True))
        ]

    def _greedy(self, given: Sequence[Sequence[int]], count: int) -> list[list[int]]:
        """`count` most likely tokens after each of several beginnings of one length, past ends of text too."""
        ids, cache, made = torch.tensor(given, device=self.device), None, []
        for _ in range(count):
            output = self.model.causal.model(input_ids=ids, past_key_values=cache, use_cache=True)
            ids, cache = self.head.logits(output.last_hidden_state[:, -1:]).argmax(-1), output.past_key_values
            made.append(ids)
        tokens: list[list[int]] = torch.cat(made, 1).tolist()
        return tokens

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def _angle(self) -> float | None:
        """Mean rotation of the gates in degrees."""
        if self.model.rotations is None:
            return None
        return math.degrees(float(angles(self.model.rotations.matrices(torch.float64).detach()).mean()))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a batch: labels and segments [time]."""

    labels: Tensor
    segments: Tensor

    @classmethod
    def of(cls, batch: Batch, row: int) -> Row:
        return cls(batch.labels[row], batch.segments[row])


def with_adapter(model: GatedModel, ctx: StageContext) -> GatedModel:
    """The weights that the training kept, in a model that does not learn. Raises CheckpointBroken if they misfit."""
    path = ctx.input("train") / "adapter.safetensors"
    values = load_file(path)
    shapes = {n: tuple(p.shape) for n, p in model.parameters().items()}
    if shapes != {n: tuple(t.shape) for n, t in values.items()}:
        raise CheckpointBroken(where=path, detail="made for another model")
    copy_into(model.parameters(), values)
    if model.rotations is not None:
        model.rotations.refresh()
    model.train(False)
    return model


def token_losses(hidden: Tensor, labels: Tensor, head: Head) -> Tensor:
    """Cross entropy [N] in fp32 of hidden [N, D] against labels [N]; 0 where a label does not count."""
    step = chunk_tokens(head.linear.out_features)
    parts = [
        F.cross_entropy(head.logits(h).float(), y, ignore_index=IGNORE, reduction="none")
        for h, y in zip(torch.split(hidden, step), torch.split(labels, step), strict=True)
    ]
    return torch.cat(parts)


def _first(requests: list[Sample], count: int) -> list[Sample]:
    """All, or the first third of `count` of each decision."""
    if not count:
        return requests
    return [s for d in DECISIONS for s in [r for r in requests if r.decision == d][: math.ceil(count / 3)]]


def _add(sums: list[float], values: Sequence[Tensor | float]) -> None:
    for i, v in enumerate(values):
        sums[i] += float(v)


def _add_floats(sums: list[float], at: int, loss: float) -> None:
    sums[at] += loss
    sums[at + 1] += 1.0


def _unit(sums: dict[str, list[float]]) -> dict[str, Any]:
    names = sorted(sums)
    return {"ids": names, "sums": [sums[n] for n in names]}
