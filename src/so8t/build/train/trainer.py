"""The training loop (plan B.1), resumable bit for bit: LoRA + rotations, PET, smoothing, clip, noise, SWA.

One optimizer step: rotations once, micro-batches, gradients pulled, clip, noise, AdamW, average, checkpoint.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from so8t.build.model import pet
from so8t.build.model.attach import GatedModel
from so8t.build.model.losses import shift, smoothed_cross_entropy
from so8t.build.model.rotation import determinant_error, orthogonality_error
from so8t.build.model.schedule import learning_rate
from so8t.build.train import checkpoint
from so8t.build.train.dataset import Batch, Encoded, collate, order
from so8t.build.train.noise import add_noise
from so8t.build.train.swa import Average, copy_into
from so8t.core.config import TrainConfig
from so8t.core.errors import CheckpointBroken, TrainingDiverged
from so8t.core.progress import Progress


class StoppedByUser(KeyboardInterrupt):
    """Ctrl-C was pressed; a checkpoint of the last whole step is on disk."""


@contextmanager
def stop_request() -> Iterator[threading.Event]:
    """First Ctrl-C sets the event, so that the step in progress is finished and saved; the second one interrupts."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = signal.getsignal(signal.SIGINT)

    def handler(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, handler)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)


@dataclass(slots=True)
class StepFacts:
    """What is recorded of one optimizer step."""

    step: int
    loss: float
    pet: float
    pet_weight: float
    rate: float
    gradient_norm: float

    def to_json(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in StepFacts.__slots__}


@dataclass(slots=True)
class Trainer:
    """Everything a run of training needs; `work` holds the checkpoints and the history."""

    model: GatedModel
    data: Sequence[Encoded]
    validation: Sequence[Encoded]
    config: TrainConfig
    pad: int
    work: Path
    progress: Progress
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    average: Average = field(default_factory=Average)
    _optimizer: torch.optim.Optimizer | None = None
    _orders: dict[int, list[list[int]]] = field(default_factory=dict)

    @property
    def batches_per_epoch(self) -> int:
        return math.ceil(len(self.data) / self.config.batch_size)

    @property
    def steps(self) -> int:
        """Optimizer steps in all, computed from the real counts (SPEC D9)."""
        return max(1, math.ceil(self.batches_per_epoch * self.config.epochs / self.config.accumulation))

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        if self._optimizer is None:
            self._optimizer = make_optimizer(self.model, self.config, self.device)
        return self._optimizer

    def run(self) -> dict[str, Any]:
        """Train to the end, from the newest whole checkpoint if any; leaves the better weights in the model."""
        torch.manual_seed(self.config.seed)
        start = self._resume()
        saved = time.monotonic()
        self.model.train()
        with stop_request() as stop, self.progress.task("training", self.steps, "step", start) as task:
            for step in range(start, self.steps):
                facts = self.step(step)
                self._record(facts)
                task.advance(loss=facts.loss, pet=facts.pet)
                if stop.is_set() or time.monotonic() - saved >= self.config.checkpoint.seconds:
                    self.save(step + 1)
                    saved = time.monotonic()
                if stop.is_set():
                    raise StoppedByUser
        return self._choose()

    def step(self, step: int) -> StepFacts:
        """One optimizer step over `accumulation` micro-batches, normalised over all their tokens together."""
        config, parameters = self.config, self.model.parameters()
        batches = [self.batch(step * config.accumulation + i) for i in range(config.accumulation)]
        lam = pet.weight(step / self.steps, config.pet)
        rate = learning_rate(step, self.steps, config.learning_rate, config.warmup, config.swa)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        if self.model.rotations is not None:
            self.model.rotations.refresh()
        total = sum(b.weight for b in batches)
        task_loss, pet_loss = 0.0, 0.0
        for batch in batches:
            ce, smooth = self.losses(batch)
            loss = ce / total + lam * smooth / len(batches)
            loss.backward()  # type: ignore[no-untyped-call]
            task_loss += float(ce.detach()) / total
            pet_loss += float(smooth.detach()) / len(batches)
        if self.model.rotations is not None:
            self.model.rotations.pull_gradients()
        norm = float(torch.nn.utils.clip_grad_norm_(parameters.values(), config.clip))
        if not math.isfinite(norm) or not math.isfinite(task_loss):
            raise TrainingDiverged(where=f"step {step}", detail=f"loss {task_loss}, gradient {norm}")
        add_noise(parameters.values(), config.noise, config.seed, step)
        self.optimizer.step()
        if self.model.rotations is not None:
            self.model.rotations.refresh()
        if config.swa.enabled and step / self.steps >= config.swa.start:
            self.average.update(parameters)
        return StepFacts(step, task_loss, pet_loss, lam, rate, norm)

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(weighted sum of the smoothed cross entropy, PET) of one micro-batch."""
        hidden = self.model.hidden(batch.input_ids, (batch.segments > 0).long())
        kept, labels = shift(hidden, batch.labels)
        weights = batch.weights[:, 1:][batch.labels[:, 1:] >= 0]
        ce = smoothed_cross_entropy(kept, labels, self.model.causal.lm_head, self.config.label_smoothing, weights)
        if not self.config.pet.enabled:
            return ce, hidden.new_zeros(())
        return ce, pet.pet_loss(hidden, batch.segments, self.config.pet.normalisation)

    def batch(self, number: int) -> Batch:
        """Micro-batch `number` of the whole training, wherever it is resumed."""
        epoch, index = divmod(number, self.batches_per_epoch)
        if epoch not in self._orders:
            lengths = [len(e.ids) for e in self.data]
            self._orders = {epoch: order(lengths, self.config.batch_size, self.config.seed, epoch)}
        return collate([self.data[i] for i in self._orders[epoch][index]], self.pad, self.device)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Plain cross entropy a token on the validation samples, without smoothing and weights."""
        self.model.train(False)
        if self.model.rotations is not None:
            self.model.rotations.refresh()
        total, count = 0.0, 0
        for start in range(0, len(self.validation), 8):
            batch = collate(self.validation[start : start + 8], self.pad, self.device)
            hidden = self.model.hidden(batch.input_ids, (batch.segments > 0).long())
            kept, labels = shift(hidden, batch.labels)
            total += float(smoothed_cross_entropy(kept, labels, self.model.causal.lm_head, 0.0))
            count += labels.numel()
        self.model.train()
        return total / max(1, count)

    def save(self, step: int) -> None:
        state = checkpoint.State(
            step=step,
            parameters=dict(self.model.parameters()),
            average=self.average.mean,
            average_count=self.average.count,
            optimizer=self.optimizer.state_dict(),
            random=torch.get_rng_state(),
            facts={"steps": self.steps, "samples": len(self.data)},
        )
        checkpoint.save(self.work, state, self.config.checkpoint.keep)
        self.progress.record("checkpoint", step=step)

    def _resume(self) -> int:
        state, broken = checkpoint.newest(self.work)
        for error in broken:
            self.progress.say(error.render("ja"), error.render("en"))
        if state is None:
            self._truncate_history(0)
            return 0
        parameters = self.model.parameters()
        if state.facts["steps"] != self.steps or set(state.parameters) != set(parameters):
            raise CheckpointBroken(where=self.work, detail="made for other data or another model")
        copy_into(parameters, state.parameters)
        self.average.mean = {n: t.to(parameters[n].device) for n, t in state.average.items()}
        self.average.count = state.average_count
        self.optimizer.load_state_dict(state.optimizer)
        torch.set_rng_state(state.random)
        self._truncate_history(state.step)
        self.progress.say(f"      ステップ {state.step} から再開します", f"      resuming at step {state.step}")
        return state.step

    def _record(self, facts: StepFacts) -> None:
        with (self.work / "history.jsonl").open("a", encoding="utf-8") as f:
            f.write(json.dumps(facts.to_json()) + "\n")

    def _truncate_history(self, step: int) -> None:
        """Steps after the checkpoint are made again, so their old records go."""
        path = self.work / "history.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        path.write_text("".join(lines[:step]), encoding="utf-8")

    def _choose(self) -> dict[str, Any]:
        """Keep the average if it is better on validation, else the last weights (SPEC M9)."""
        parameters = self.model.parameters()
        last = self.validation_loss()
        facts: dict[str, Any] = {"steps": self.steps, "validation_loss": last, "weights": "last"}
        if self.average.count:
            with self.average.applied(parameters):
                facts["validation_loss_average"] = self.validation_loss()
            if facts["validation_loss_average"] < last:
                copy_into(parameters, self.average.mean)
                facts["weights"] = "average"
        if self.model.rotations is not None:
            self.model.rotations.refresh()
            r = self.model.rotations.matrices(torch.float64).detach()
            facts["orthogonality_error"] = orthogonality_error(r)
            facts["determinant_error"] = determinant_error(r)
            facts["mean_skew"] = float(self.model.rotations.skew.detach().abs().mean())
        return facts


def make_optimizer(model: GatedModel, config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    """AdamW with decoupled weight decay; paged 8-bit states where CUDA and bitsandbytes are (plan 4.2)."""
    parameters = model.parameters()
    gates = [p for n, p in parameters.items() if n.startswith("rotations.")]
    lora = [p for n, p in parameters.items() if not n.startswith("rotations.")]
    groups = [{"params": lora, "factor": 1.0}, {"params": gates, "factor": config.gate.learning_rate_factor}]
    groups = [g for g in groups if g["params"]]
    betas = (config.betas[0], config.betas[1])
    if device.type == "cuda" and config.quantization != "none":
        import bitsandbytes

        paged: torch.optim.Optimizer = bitsandbytes.optim.PagedAdamW8bit(
            groups, lr=config.learning_rate, betas=betas, eps=config.epsilon, weight_decay=config.weight_decay
        )
        return paged
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=betas, eps=config.epsilon, weight_decay=config.weight_decay
    )
