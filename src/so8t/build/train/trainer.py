"""The training loop (plan B.1), resumable bit for bit: LoRA + rotations, PET, smoothing, clip, noise, SWA.

One optimizer step: rotations once, micro-batches, gradients pulled, clip, noise, AdamW, average, checkpoint.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from so8t.build.model import pet
from so8t.build.model.attach import GatedModel
from so8t.build.model.head import Head
from so8t.build.model.losses import shift, smoothed_cross_entropy
from so8t.build.model.rotation import angles, determinant_error, orthogonality_error
from so8t.build.model.schedule import learning_rate
from so8t.build.train import checkpoint
from so8t.build.train.batches import Batches, Totals
from so8t.build.train.dataset import Batch, Encoded, collate
from so8t.build.train.device_error import classify
from so8t.build.train.divergence import Watch, advice
from so8t.build.train.history import Events, History, StepFacts
from so8t.build.train.noise import add_noise
from so8t.build.train.optimizer import load_optimizer, make_optimizer
from so8t.build.train.ranks import Ranks
from so8t.build.train.rollbacks import Rollbacks
from so8t.build.train.stop import StoppedByUser, stop_request
from so8t.build.train.swa import Average, copy_into
from so8t.core.config import TrainConfig
from so8t.core.errors import CheckpointBroken, DeviceLost, MemoryShort, TrainingDiverged
from so8t.core.progress import Progress

ANGLES = 500  # times in a training that the rotation angles are recorded
VALIDATION_ROWS = 8


class Watcher(Protocol):
    """Whoever looks at every step: the TensorBoard log, the thermostat."""

    def step(self, facts: StepFacts, stop: threading.Event) -> None: ...

    def rewind(self, step: int) -> None: ...


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
    ranks: Ranks = field(default_factory=Ranks)
    resume_from: Path | None = None  # a checkpoint to start from instead of the newest one
    watchers: Sequence[Watcher] = ()
    average: Average = field(default_factory=Average)
    started_at: int = 0  # the step that this start began with
    pieces: int = 1  # how many parts a micro-batch is cut into; grows when memory is short
    batches: Batches = field(init=False)
    parameters: Mapping[str, nn.Parameter] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    head: Head = field(init=False)
    history: History = field(init=False)
    events: Events = field(init=False)
    _watch: Watch = field(init=False)
    _rollbacks: Rollbacks = field(init=False)
    _advised: set[str] = field(default_factory=set)
    _stopping: bool = False

    def __post_init__(self) -> None:
        self.batches = Batches(self.data, self.config, self.pad, self.device)
        self.parameters = self.model.parameters()
        self.optimizer = make_optimizer(self.parameters, self.config, self.device)
        self.head = self.model.head
        self.history, self.events = History(self.work), Events(self.work, self.ranks.main)
        self._watch = Watch(self.config.recovery)
        self._rollbacks = Rollbacks.read(self.work)

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.batches.steps

    def run(self) -> dict[str, Any]:
        """Train to the end, from the newest whole checkpoint if any; leaves the better weights in the model.

        Raises StoppedByUser, TrainingDiverged, MemoryShort, DeviceLost, DiskFull; all leave a run that resumes.
        """
        writer = checkpoint.Writer(self.work, self.config.checkpoint.keep)
        try:
            self.started_at = self._resume()
            if self.started_at < self.steps:
                self._train(self.started_at, writer)
            return self._choose()
        except Exception as error:
            self._translate(error)
            raise
        finally:
            writer.close()

    def _translate(self, error: Exception) -> None:
        """What the device did, in words that say what to do next."""
        trouble = classify(error)
        if trouble == "lost":
            raise DeviceLost(where=self.device, detail=str(error).splitlines()[0]) from error
        if trouble == "memory" and not isinstance(error, MemoryShort):
            raise MemoryShort(where=self.device, detail=str(error).splitlines()[0]) from error

    def _train(self, step: int, writer: checkpoint.Writer) -> None:
        saved = time.monotonic()
        self.model.train()
        if step == 0 and self.ranks.main:
            writer.save(self.state(0))  # what a roll-back needs; also shows at once whether the disk takes it
        with stop_request() as stop, self.progress.task("training", self.steps, "step", step) as task:
            while step < self.steps:
                try:
                    facts = self.step(step, stop.is_set())
                except TrainingDiverged as error:
                    step = self._roll_back(error, writer)
                    task.done = step
                    continue
                self._note(facts, stop)
                step += 1
                task.advance(loss=facts.loss, pet=facts.pet, learning_rate=facts.rate)
                due = self._stopping or step == self.steps or time.monotonic() - saved >= self.config.checkpoint.seconds
                if self.ranks.main:
                    writer.check()
                    if due:
                        self._save(step, writer, wait=self._stopping or step == self.steps)
                        saved = time.monotonic()
                if self._stopping:
                    self.events.record("stop", step, {})
                    raise StoppedByUser

    def _note(self, facts: StepFacts, stop: threading.Event) -> None:
        if self.ranks.main:
            self.history.add(facts)
        for watcher in self.watchers:
            watcher.step(facts, stop)
        self._advise(facts.step)

    def step(self, step: int, stop: bool = False) -> StepFacts:
        """One optimizer step over `accumulation` micro-batches, normalised over all their tokens together.

        `stop`: this process was asked to end; after the step all of them know. Raises TrainingDiverged before anything
        is changed.
        """
        config, parameters = self.config, list(self.parameters.values())
        lam = pet.weight(step / self.steps, config.pet)
        rate = learning_rate(step, self.steps, config.learning_rate, config.warmup, config.swa)
        rate *= self._rollbacks.factor(step)
        totals = self.batches.totals(step)
        task_loss, pet_loss = self._gradients(step, lam, totals)
        sums = torch.tensor([task_loss, pet_loss, float(stop)], dtype=torch.float64).to(self._wire)
        self.ranks.add([sums, *(p.grad for p in parameters if p.grad is not None)])
        task_loss, pet_loss, stops = sums.tolist()
        self._stopping = stops > 0
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.clip))
        self._watch.check(step, task_loss, norm)
        add_noise(parameters, config.noise, config.seed, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.step()
        if config.swa.enabled and step / self.steps >= config.swa.start:
            self.average.update(self.parameters)
        return StepFacts(step, task_loss, pet_loss, lam, rate, norm, totals.tokens, self._angles(step))

    @property
    def _wire(self) -> torch.device:
        """Where numbers must lie to be exchanged: NCCL takes a card's memory only."""
        return self.device if self.ranks.processes > 1 else torch.device("cpu")

    def _angles(self, step: int) -> tuple[float, ...]:
        if self.model.rotations is None or step % max(1, self.steps // ANGLES):
            return ()
        return tuple(angles(torch.stack(self.model.rotations.leaves).detach()).tolist())

    def _gradients(self, step: int, lam: float, totals: Totals) -> tuple[float, float]:
        """This process's share of the gradients, in p.grad, and of (cross entropy, PET).

        Out of memory: the same step again in smaller pieces, which adds up to the same gradient (plan 8.1, level 1).
        """
        while True:
            try:
                return self._accumulate(step, lam, totals)
            except Exception as error:
                if classify(error) != "memory" or not self._may_split:
                    raise
            self._split(step)  # outside the handler, whose traceback holds on to the tensors

    def _accumulate(self, step: int, lam: float, totals: Totals) -> tuple[float, float]:
        rotations = self.model.rotations
        self.optimizer.zero_grad(set_to_none=True)
        if rotations is not None:
            rotations.refresh()
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        features, weight = self.head.linear.in_features, totals.weight or 1.0  # nothing that counts: a loss of 0
        smooth_over = max(1, pet.pet_count(totals.triples, totals.samples, features, self.config.pet.normalisation))
        for name, batch in self.batches.of_step(step, self.pieces, self.ranks.rank, self.ranks.processes):
            torch.manual_seed(_seed(self.config.seed, name))
            ce, smooth = self.losses(batch)
            loss = ce / weight + lam * smooth / smooth_over
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
            sums += torch.stack([ce.detach() / weight, smooth.detach() / smooth_over])
        if rotations is not None:
            rotations.pull_gradients()
        for parameter in self.parameters.values():  # every process must bring the same tensors to the sum
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        task_loss, pet_loss = sums.tolist()
        return task_loss, pet_loss

    @property
    def _may_split(self) -> bool:
        """Not with a sharded base: its layers are gathered by all processes at once, micro-batch by micro-batch."""
        sharded = self.config.sharding != "none" and self.ranks.processes > 1
        return not sharded and self.pieces < self.config.batch_size

    def _split(self, step: int) -> None:
        self.pieces = min(2 * self.pieces, self.config.batch_size)
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        ja = f"メモリが足りないため、一度に計算する標本を 1/{self.pieces} にして続けます(結果は同じ、時間は延びます)"
        en = f"out of memory: micro-batches are cut into {self.pieces} (same result, more time)"
        self.progress.say("      " + ja, "      " + en)
        self.events.record("split", step, {"pieces": self.pieces, "ja": ja, "en": en})

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(weighted sum of the smoothed cross entropy, sum of PET) of one micro-batch."""
        hidden = self.model.hidden(batch.input_ids, position_ids=batch.positions)
        kept, labels = shift(hidden, batch.labels)
        weights = batch.weights[:, 1:][batch.labels[:, 1:] >= 0]
        smoothing = self.config.label_smoothing
        ce = smoothed_cross_entropy(kept, labels, self.head.linear, smoothing, weights, self.head.softcap)
        if not self.config.pet.enabled:
            return ce, ce.new_zeros(())
        return ce, pet.pet_sum(hidden, batch.segments, self.config.pet.normalisation)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Plain cross entropy a token on the validation samples, without smoothing and weights."""
        self.model.train(False)
        if self.model.rotations is not None:
            self.model.rotations.refresh()
        total, count = 0.0, 0
        for start in range(0, len(self.validation), VALIDATION_ROWS):
            batch = collate(self.validation[start : start + VALIDATION_ROWS], self.pad, self.device)
            kept, labels = shift(self.model.hidden(batch.input_ids), batch.labels)
            total += float(smoothed_cross_entropy(kept, labels, self.head.linear, 0.0, None, self.head.softcap))
            count += labels.numel()
        self.model.train()
        return total / max(1, count)

    def state(self, step: int) -> checkpoint.State:
        """After `step` optimizer steps."""
        return checkpoint.State(
            step=step,
            parameters=dict(self.parameters),
            average=self.average.mean,
            average_count=self.average.count,
            optimizer=self.optimizer.state_dict(),
            facts={"steps": self.steps, "rows": len(self.batches.rows), "pieces": self.pieces},
        )

    def _save(self, step: int, writer: checkpoint.Writer, wait: bool) -> None:
        begin = time.monotonic()
        self.history.sync()
        writer.save(self.state(step))
        if wait:
            writer.wait()
        self.progress.record("checkpoint", step=step)
        self.events.record("checkpoint", step, {"seconds": round(time.monotonic() - begin, 3)})

    def _resume(self) -> int:
        """The step to go on with. Raises CheckpointBroken for a checkpoint of another training."""
        if self.resume_from is not None:
            state: checkpoint.State | None = checkpoint.load(self.resume_from)
        else:
            state, broken = checkpoint.newest(self.work)
            for error in broken:
                self.progress.say(error.render("ja"), error.render("en"))
        step = 0 if state is None else self._restore(state)
        if not self.ranks.agree(step, self.device):
            raise CheckpointBroken(where=self.work, detail="the processes see different checkpoints")
        if self.ranks.main and self.resume_from is not None:
            checkpoint.set_aside(self.work, step)
        self._rewind(step)
        self.events.record("resume" if step else "start", step, {"steps": self.steps})
        if step:
            self.progress.say(f"      ステップ {step} から再開します", f"      resuming at step {step}")
        return step

    def _restore(self, state: checkpoint.State) -> int:
        found = (state.facts.get("steps"), state.facts.get("rows"), set(state.parameters))
        if found != (self.steps, len(self.batches.rows), set(self.parameters)):
            raise CheckpointBroken(where=self.work, detail="made for other data or another model")
        copy_into(self.parameters, state.parameters)
        self.average.mean = {n: t.to(self.parameters[n].device) for n, t in state.average.items()}
        self.average.count = state.average_count
        load_optimizer(self.optimizer, state.optimizer)
        self.pieces = int(state.facts["pieces"])
        return state.step

    def _rewind(self, step: int) -> None:
        """Forget what was recorded of `step` and later: it is made again."""
        kept = self.history.cut(step) if self.ranks.main else []
        self._watch.restart([r["loss"] for r in kept])
        for watcher in self.watchers:
            watcher.rewind(step)

    def _roll_back(self, error: TrainingDiverged, writer: checkpoint.Writer) -> int:
        """To the last checkpoint with half the rate; re-raises the error after config.recovery.retries of these."""
        if len(self._rollbacks.steps) >= self.config.recovery.retries:
            raise error
        writer.wait()
        self.ranks.wait()
        state, _ = checkpoint.newest(self.work)
        if state is None:
            raise error
        step = self._restore(state)
        self.ranks.wait()
        self._rollbacks.add(step, self.ranks.main)
        rate = 0.5 ** len(self._rollbacks.steps)
        ja = f"発散したため({error.detail})、ステップ {step} に戻り、学習率を {rate:g} 倍にして続けます"
        en = f"diverged ({error.detail}): back at step {step} with {rate:g} of the rate"
        self.progress.say("      " + ja, "      " + en)
        self.events.record("rollback", step, {"ja": ja, "en": en, "diverged": error.where})
        self._rewind(step)
        return step

    def _advise(self, step: int) -> None:
        """Look back once a window; the same advice is given once."""
        window = self.config.recovery.window
        if not self.ranks.main or not window or (step + 1) % window:
            return
        records = self.history.last(2 * window)
        found = advice([r["loss"] for r in records], [r["pet"] * r["pet_weight"] for r in records], self.config)
        if found is not None and found.kind not in self._advised:
            self._advised.add(found.kind)
            self.progress.say("      " + found.ja, "      " + found.en)
            self.events.record("advice", step, {"kind": found.kind, "ja": found.ja, "en": found.en})

    def _choose(self) -> dict[str, Any]:
        """Keep the average if it is better on validation, else the last weights (SPEC M9)."""
        last = self.validation_loss()
        facts: dict[str, Any] = {"steps": self.steps, "validation_loss": last, "weights": "last"}
        if self.average.count:
            with self.average.applied(self.parameters):
                facts["validation_loss_average"] = self.validation_loss()
            if facts["validation_loss_average"] < last:
                copy_into(self.parameters, self.average.mean)
                facts["weights"] = "average"
        self.events.record("validation", self.steps, dict(facts))
        if self.model.rotations is not None:
            self.model.rotations.refresh()
            r = self.model.rotations.matrices(torch.float64).detach()
            facts["orthogonality_error"] = orthogonality_error(r)
            facts["determinant_error"] = determinant_error(r)
            facts["mean_skew"] = float(self.model.rotations.skew.detach().abs().mean())
            facts["mean_angle"] = float(angles(r).mean())
        return facts


def _seed(seed: int, name: str) -> int:
    """Dropout's seed of a micro-batch: the same on whichever process and after whichever restart it is computed."""
    return int.from_bytes(hashlib.sha256(f"dropout/{seed}/{name}".encode()).digest()[:8], "big") >> 1
