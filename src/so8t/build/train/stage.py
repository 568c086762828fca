"""The stage `train`: LoRA + rotations on the frozen base, on one process or several (plan 5.2).

Its folder holds what later stages depend on, the same bytes however often it was interrupted. What tells of time, the
events and the report made from them, lies beside it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from so8t.build.model.attach import GatedModel, attach
from so8t.build.model.attention import choose_attention
from so8t.build.model.head import check_head
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.build.model.precision import choose_precision
from so8t.build.model.quantisation import choose_quantization
from so8t.build.model.recompute import recompute_layers
from so8t.build.model.tokenizer import chat_format
from so8t.build.plan.architecture import Architecture
from so8t.build.plan.proposals import proposals
from so8t.build.train.dataset import Encoded, encode
from so8t.build.train.gpu import nvidia_sensor
from so8t.build.train.history import Events
from so8t.build.train.optimizer import choose_optimizer
from so8t.build.train.ranks import Ranks, joined
from so8t.build.train.samples import training_samples
from so8t.build.train.sharding import shard_base
from so8t.build.train.trainer import Trainer, Watcher
from so8t.build.train.watchers import Curves, Heat
from so8t.core.errors import MemoryShort
from so8t.core.files import read_json, write_text
from so8t.core.launch import launched
from so8t.core.run import StageContext
from so8t.core.types import Sample
from so8t.report.training_log import read_log
from so8t.report.training_report import training_report

REPORT = "training.html"  # in the run's own folder


def base_folder(ctx: StageContext) -> Path:
    folder = ctx.input("base")
    return folder / str(read_json(folder / "base.json")["path"])  # an absolute path stays what it is


def run_train(ctx: StageContext) -> dict[str, Any]:
    """The adapter with its gates and the history are the output; checkpoints stay in the work folder."""
    torch.set_num_threads(ctx.config.threads)
    device = training_device()
    with joined(device, ctx.config.train.accumulation) as ranks, watching(ctx, device, ranks) as watchers:
        trainer = make_trainer(ctx, device, ranks, watchers)
        counts = trainer.model.counts()
        _say_counts(ctx, counts, len(trainer.data))
        begin = time.monotonic()
        try:
            facts = trainer.run()
        except MemoryShort as error:
            raise MemoryShort(where=error.where, detail=_ways_out(ctx, error, device)) from error
    facts |= counts | {"samples": len(trainer.data), "rows": len(trainer.batches.rows), "device": device.type}
    facts |= {"processes": ranks.processes, "pieces": trainer.pieces}
    facts |= _speed(trainer, time.monotonic() - begin)
    if device.type == "cuda":
        facts["peak_gpu_bytes"] = torch.cuda.max_memory_allocated(device)
    if ranks.main:
        _write(ctx, trainer, facts)
    return facts


def _ways_out(ctx: StageContext, error: MemoryShort, device: torch.device) -> str:
    """The error's own words, then the settings that take less, with the plan's figure for each."""
    shape = Architecture.of(read_json(base_folder(ctx) / "config.json"))
    found = proposals(shape, ctx.config.train, "cuda" if device.type == "cuda" else "cpu")
    return "; ".join([error.detail, *map(str, found)])


def _speed(trainer: Trainer, seconds: float) -> dict[str, float]:
    """Of this start alone: what an earlier one took before it was interrupted is not known."""
    tokens = sum(trainer.batches.totals(step).tokens for step in range(trainer.started_at, trainer.steps))
    facts = {"tokens_per_second": round(tokens / seconds, 1)} if tokens else {}
    return facts | ({} if trainer.started_at else {"seconds": round(seconds, 1)})


def training_device() -> torch.device:
    """The card of this process's number on this machine, or the CPU."""
    return torch.device("cuda", launched().local) if torch.cuda.is_available() else torch.device("cpu")


def make_trainer(ctx: StageContext, device: torch.device, ranks: Ranks, watchers: Sequence[Watcher]) -> Trainer:
    config, folder = ctx.config.train, base_folder(ctx)
    tokenizer, chat = load_tokenizer(folder), chat_format(folder)
    model = load_gated(ctx, folder, device, ranks)

    def encoded(samples: list[Sample]) -> list[Encoded]:
        style, limit, weight = ctx.config.prompt.style, config.maximum_tokens, config.label_weight
        return [encode(s, tokenizer, chat, style, limit, weight) for s in samples]

    train, validation = training_samples(ctx.input("validate"), config)
    return Trainer(
        model, encoded(train), encoded(validation), config, tokenizer.pad_token_id, ctx.work, ctx.progress, device,
        ranks, ctx.resume_from, watchers,
    )  # fmt: skip


def load_gated(ctx: StageContext, folder: Path, device: torch.device, ranks: Ranks) -> GatedModel:
    """The base with LoRA and gates attached; what the device decides is said, what it forbids is an adjustment."""
    config = ctx.config.train
    precision, kind = choose_precision(config, device), choose_quantization(config, device)
    attention = choose_attention(config, device, precision.value)
    for choice in (precision, attention, choose_optimizer(config, device)):
        ctx.progress.say(f"      {choice.ja}", f"      {choice.en}")
    if kind.value != config.quantization:
        ctx.adjust(kind.ja, kind.en)
    own = config.attention == "auto" and attention.value == "sdpa"  # some architectures have eager attention alone
    model = load_causal(folder, precision.value, kind.value, device, "" if own else attention.value)
    check_head(model)
    _set_dropout(model, config.dropout)
    model.requires_grad_(False)
    if config.gradient_checkpointing:
        recompute_layers(model, kind.value, config.offload_activations and device.type == "cuda")
    torch.manual_seed(config.seed)  # LoRA's starting values
    gated = attach(model, config.lora, config.gate)
    if config.sharding == "full" and ranks.processes > 1:
        shard_base(gated, kind.value)
    return gated


def _set_dropout(model: Any, p: float) -> None:
    """Modules read the rates when they are made; these are already made."""
    for name in ("attention_dropout", "resid_pdrop", "embd_pdrop"):
        if hasattr(model.config, name):
            setattr(model.config, name, p)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = p
        elif hasattr(module, "attention_dropout"):
            module.attention_dropout = p


def _say_counts(ctx: StageContext, counts: dict[str, int], samples: int) -> None:
    base, lora, gates = counts["base_parameters"], counts["lora_parameters"], counts["gate_parameters"]
    ctx.progress.say(
        f"      土台 {base:,}(凍結)、LoRA {lora:,}、回転ゲート {gates:,}、標本 {samples:,}",
        f"      base {base:,} (frozen), LoRA {lora:,}, rotation gates {gates:,}, samples {samples:,}",
    )


@contextmanager
def watching(ctx: StageContext, device: torch.device, ranks: Ranks) -> Iterator[list[Watcher]]:
    """The thermostat of this process's card, and TensorBoard curves by the process that writes."""
    sensor = nvidia_sensor(device.index or 0) if device.type == "cuda" else None
    watchers: list[Watcher] = []
    if sensor is not None:
        watchers.append(Heat(ctx.config.train.gpu, sensor, Events(ctx.work, ranks.main), ctx.progress))
    if not ranks.main:
        yield watchers
        return
    curves = Curves(ctx.run.folder / "tensorboard", ctx.progress)
    try:
        yield [*watchers, curves]
    finally:
        curves.close()


def _write(ctx: StageContext, trainer: Trainer, facts: Mapping[str, Any]) -> None:
    tensors = {n: p.detach().cpu().contiguous() for n, p in trainer.parameters.items()}
    save_file(tensors, ctx.folder / "adapter.safetensors")
    shutil.copyfile(trainer.history.path, ctx.folder / trainer.history.path.name)
    history, events = read_log(trainer.history.path), read_log(trainer.events.path)
    named = dict(facts) | {"name": ctx.run.folder.name}
    write_text(ctx.run.folder / REPORT, training_report(history, events, named, ctx.progress.lang))
    ctx.progress.say(f"      学習の報告: {ctx.run.folder / REPORT}", f"      report: {ctx.run.folder / REPORT}")
