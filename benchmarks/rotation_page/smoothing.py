"""What PET sees in the hidden states of a run, and how hard each way of scaling it pulls."""

from __future__ import annotations

import dataclasses
import io
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rotation_page.finished import Finished
from rotation_page.turning import task_loss
from so8t.build.model.attach import GatedModel
from so8t.build.model.pet import Normalisation, pet_loss, second_difference, weight
from so8t.build.train.trainer import Trainer
from so8t.core.config import PetConfig, SwaConfig
from so8t.core.progress import Progress
from so8t.report.training_log import Point, Record, ordered_steps, points, read_log

PLAN = PetConfig(normalisation="literal", lambdas=(0.01, 0.05, 0.1))  # plan 2.1
WINDOW = 63  # tokens of a text that the spectrum looks at; odd, so that no wave is its own mirror image
MOST_TEXTS = 40
SHOWN = 24  # tokens of the sentence that is drawn
COORDINATES = 3


@dataclass(frozen=True, slots=True)
class Sentence:
    """The start of a real text: its tokens, the coordinates that vary most, and their second differences."""

    tokens: list[str]
    coordinates: list[int]
    values: list[list[float]]
    bends: list[list[float]]


@dataclass(frozen=True, slots=True)
class Trial:
    """A short training from the base with one way of PET. `alike`: mean cosine of two states of one text."""

    name: str
    losses: list[Point]
    validation: float
    alike: float


@dataclass(frozen=True, slots=True)
class Smoothing:
    """`spectrum`: (w, share of the power); `pulls`: |lambda gradient of PET| / |gradient of the cross entropy|."""

    config: PetConfig
    history: Sequence[Record]
    sentence: Sentence
    texts: int
    spectrum: list[Point]
    first: float
    last: float
    share: float
    pulls: dict[str, float]
    trials: list[Trial]

    @property
    def in_upper_half(self) -> float:
        """Share of PET that comes from waves of less than four tokens."""
        parts = [(w, share * frequency_weight(w)) for w, share in self.spectrum]
        return sum(v for w, v in parts if w > math.pi / 2) / sum(v for _, v in parts)


def frequency_weight(w: float) -> float:
    """How much |second difference|^2 makes of a wave of w radians a token: (4 sin^2(w/2))^2 (plan A.2)."""
    return (4 * math.sin(w / 2) ** 2) ** 2


def power_spectrum(states: Tensor) -> list[Point]:
    """[texts, time, features] -> (w in (0, pi], mean share of the power that changes along time), summing to 1."""
    wave = torch.fft.rfft(states.double(), dim=1).abs().square().sum(-1).mean(0)
    length = states.shape[1]
    twice = torch.full_like(wave, 2.0)  # w and -w
    if length % 2 == 0:
        twice[-1] = 1.0
    power = (wave * twice)[1:]
    shares = (power / power.sum()).tolist()
    return [(2 * math.pi * k / length, share) for k, share in enumerate(shares, 1)]


def measure(run: Finished, steps: int) -> Smoothing:
    """`steps` of each comparison training; 0 = none."""
    model = run.gated()
    history = ordered_steps(read_log(run.folder / "train" / "history.jsonl"))
    smooth = [y for _, y in points(history, "pet")]
    edge = max(1, len(smooth) // 20)
    last = statistics.median(smooth[-edge:])
    loss = statistics.median([y for _, y in points(history, "loss")][-edge:])
    texts = [ids[:WINDOW] for ids in run.texts if len(ids) >= WINDOW][:MOST_TEXTS]
    if not texts:
        raise SystemExit(f"{run.folder}: no held-back text of {WINDOW} tokens")
    return Smoothing(
        config=run.train.pet, history=history, sentence=sentence(run, model), texts=len(texts),
        spectrum=power_spectrum(states(model, texts)), first=statistics.median(smooth[:edge]), last=last,
        share=weight(1.0, run.train.pet) * last / loss, pulls=pulls(run, model),
        trials=[trial(run, name, pet, steps) for name, pet in ways(run.train.pet).items()] if steps else [],
    )  # fmt: skip


@torch.no_grad()
def states(model: GatedModel, texts: Sequence[Sequence[int]]) -> Tensor:
    """Last hidden states of texts of one length, [texts, time, features]."""
    return torch.cat([model.hidden(torch.tensor([list(ids)])) for ids in texts])


def sentence(run: Finished, model: GatedModel) -> Sentence:
    """Of the texts the one whose tokens a person can best read: rare characters are cut into bytes."""
    starts = [ids[:SHOWN] for ids in run.texts if len(ids) >= SHOWN]
    ids = min(starts, key=lambda start: sum("\ufffd" in run.tokenizer.decode([i]) for i in start))
    h = states(model, [ids])
    chosen = h[0].var(0).topk(COORDINATES).indices.sort().values
    return Sentence(
        tokens=[run.tokenizer.decode([i]) for i in ids],
        coordinates=chosen.tolist(),
        values=h[0][:, chosen].T.tolist(),
        bends=second_difference(h)[0][:, chosen].T.tolist(),
    )


def pulls(run: Finished, model: GatedModel) -> dict[str, float]:
    """By normalisation, all at the plan's lambda of the first phase."""
    batch = run.batch(0, min(8, run.train.batch_size))
    counted = int((batch.labels[:, 1:] >= 0).sum())
    task = _gradient_norm(model, task_loss(model, batch) / counted)
    kinds: tuple[Normalisation, ...] = ("literal", "mean", "scale-free")
    smooth = {kind: PLAN.lambdas[0] * pet_loss(model.hidden(batch.input_ids), batch.segments, kind) for kind in kinds}
    return {kind: _gradient_norm(model, loss) / task for kind, loss in smooth.items()}


def _gradient_norm(model: GatedModel, loss: Tensor) -> float:
    """|gradient| over everything that is trained."""
    assert model.rotations is not None
    model.rotations.refresh()
    parameters = model.parameters()
    for parameter in parameters.values():
        parameter.grad = None
    loss.backward()  # type: ignore[no-untyped-call]
    model.rotations.pull_gradients()
    return math.sqrt(sum(float(p.grad.double().square().sum()) for p in parameters.values() if p.grad is not None))


def ways(own: PetConfig) -> dict[str, PetConfig]:
    """Without PET, as the run has it, and as the plan writes it."""
    return {"none": dataclasses.replace(own, enabled=False), "own": own, "literal": PLAN}


def trial(run: Finished, name: str, pet: PetConfig, steps: int) -> Trial:
    """The trainer itself, on the run's data and settings but for PET, its length, and the averaging left out."""
    config, (train, validation) = run.train, run.encoded
    steps_an_epoch = math.ceil(len(train) / config.batch_size) / config.accumulation
    config = dataclasses.replace(config, pet=pet, epochs=steps / steps_an_epoch, swa=SwaConfig(enabled=False))
    model, cpu = run.gated(trained=False), torch.device("cpu")
    model.train()
    with tempfile.TemporaryDirectory() as work:
        quiet = Progress(stream=io.StringIO())
        trainer = Trainer(model, train, validation, config, run.tokenizer.pad_token_id, Path(work), quiet, cpu)
        facts = trainer.run()
        losses = points(ordered_steps(read_log(Path(work) / "history.jsonl")), "loss")
    return Trial(name, losses, facts["validation_loss"], alike(run, model))


def alike(run: Finished, model: GatedModel) -> float:
    """Mean cosine of the hidden states at two different places of one text."""
    model.train(False)
    texts = [ids[:WINDOW] for ids in run.texts if len(ids) >= WINDOW][:MOST_TEXTS]
    h = torch.nn.functional.normalize(states(model, texts).double(), dim=-1)
    cosines = h @ h.mT
    places = h.shape[1]
    return float((cosines.sum((1, 2)) - places).mean() / (places * (places - 1)))
