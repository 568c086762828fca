"""A short measurement for `so8t plan --probe`: real optimizer steps of a model of the real width but few layers."""

from __future__ import annotations

import dataclasses
import io
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from so8t.build.model.attach import GatedModel, attach
from so8t.build.model.attention import choose_attention
from so8t.build.model.loading import load_causal
from so8t.build.model.precision import choose_precision
from so8t.build.model.quantisation import choose_quantization
from so8t.build.model.recompute import recompute_layers
from so8t.build.plan.architecture import Architecture, base_values
from so8t.build.plan.memory import memory
from so8t.build.plan.numerics import Device
from so8t.build.plan.timing import ACCUMULATIONS, THIN, Timing, solve
from so8t.build.train.dataset import Encoded
from so8t.build.train.trainer import Trainer
from so8t.core.config import CheckpointConfig, Config, TrainConfig
from so8t.core.errors import EnvironmentUnfit, MemoryShort
from so8t.core.progress import Progress

SECONDS = 120.0  # the whole measurement is to take about so long on a slow machine
WARM, TIMED = 1, 2  # steps of each measurement
SHORTEST = 32  # tokens of a row
HEADROOM = 1.3  # of memory: the planner's figure and a safe distance
MICRO_BATCHES = len(THIN) * (WARM + TIMED) * sum(ACCUMULATIONS)


def probe_here(config: Config, device: Device) -> Timing:
    """The configured training on this machine's card or CPU. Raises EnvironmentUnfit where torch has no card."""
    if device == "cuda" and not torch.cuda.is_available():
        raise EnvironmentUnfit(where="plan --probe", detail="torch.cuda.is_available() = False")
    torch.set_num_threads(config.threads)
    place = torch.device(device)
    return probe(base_values(config), config.train, place, free_bytes(place))


def probe(
    values: Mapping[str, Any], train: TrainConfig, device: torch.device, free: float, seconds: float = SECONDS
) -> Timing:
    """Time of real steps with LoRA, gates, PET and the trainer's loss. `values`: config.json; `free`: bytes.

    Rows are as long as the configuration has them, or shorter where that would take too long or too much memory; the
    result says how many tokens it was. Raises MemoryShort when not even a short row fits.
    """
    begin = time.monotonic()
    kind: Device = "cuda" if device.type == "cuda" else "cpu"
    _require(values, small := _sized(train, 1, SHORTEST), kind, free)
    config, found = small, {}
    for layers in reversed(THIN):
        gated = _thin(values, layers, train, device)
        if layers == THIN[-1]:
            config = _rows_for(values, train, kind, free, seconds, _measure(gated, small, 1, device))
        for accumulation in ACCUMULATIONS:
            found[layers, accumulation] = _measure(gated, config, accumulation, device)
        del gated
    tokens = config.batch_size * config.maximum_tokens
    return solve(found, tokens, device.type, time.monotonic() - begin)


def _sized(train: TrainConfig, batch: int, tokens: int) -> TrainConfig:
    """The same training on rows of this size, all in one process, without checkpoints in between."""
    return dataclasses.replace(
        train, batch_size=batch, maximum_tokens=tokens, epochs=1.0, packing=False, sharding="none",
        checkpoint=CheckpointConfig(seconds=1e9),
    )  # fmt: skip


def _require(values: Mapping[str, Any], train: TrainConfig, device: Device, free: float) -> None:
    wanted = HEADROOM * memory(_shape(values, THIN[-1]), train, device).peak
    if wanted > free:
        raise MemoryShort(where="plan --probe", detail=f"{wanted / 2**30:.1f} GiB > {free / 2**30:.1f} GiB ({device})")


def _rows_for(
    values: Mapping[str, Any], train: TrainConfig, device: Device, free: float, seconds: float, one: float
) -> TrainConfig:
    """The configured micro-batch if time and memory allow, else one row of half the length, and so on.

    one: seconds of a step of SHORTEST tokens.
    """
    sizes = [(train.batch_size, train.maximum_tokens)]
    tokens = train.maximum_tokens
    while tokens > SHORTEST:
        sizes.append((1, tokens))
        tokens //= 2
    for batch, length in sizes:
        config = _sized(train, batch, length)
        quick = one * batch * length / SHORTEST * MICRO_BATCHES <= seconds
        if quick and HEADROOM * memory(_shape(values, THIN[-1]), config, device).peak <= free:
            return config
    return _sized(train, 1, min(SHORTEST, train.maximum_tokens))


def _shape(values: Mapping[str, Any], layers: int) -> Architecture:
    return Architecture.of(thin_values(values, layers))


def thin_values(values: Mapping[str, Any], layers: int) -> dict[str, Any]:
    """The configuration with so many layers; lists with an entry a layer are cut."""
    old = values["num_hidden_layers"]
    cut = {k: v[:layers] for k, v in values.items() if k.startswith("layer") and isinstance(v, list) and len(v) == old}
    return {k: v for k, v in values.items() if k != "auto_map"} | cut | {"num_hidden_layers": layers}


def _thin(values: Mapping[str, Any], layers: int, train: TrainConfig, device: torch.device) -> GatedModel:
    """A random model with LoRA and gates, in the precision and quantisation that training would take."""
    changed = thin_values(values, layers)
    for name in ("attention_dropout", "resid_pdrop", "embd_pdrop"):
        if name in changed or name == "attention_dropout":
            changed[name] = train.dropout
    dtype, kind = choose_precision(train, device).value, choose_quantization(train, device).value
    attention = choose_attention(train, device, dtype).value
    name = str(changed.pop("model_type"))
    config = AutoConfig.for_model(name, **changed)
    torch.manual_seed(train.seed)
    with torch.device("cpu" if kind != "none" else device):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    if kind != "none":
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            model = load_causal(Path(folder), dtype, kind, device, attention)
    model.requires_grad_(False)
    if train.gradient_checkpointing:
        recompute_layers(model, kind, train.offload_activations and device.type == "cuda")
    return attach(model, train.lora, train.gate)


def _measure(gated: GatedModel, train: TrainConfig, accumulation: int, device: torch.device) -> float:
    """Seconds of an optimizer step: the shortest of a few after one to warm up."""
    config = dataclasses.replace(train, accumulation=accumulation)
    length, vocabulary = config.maximum_tokens, gated.causal.config.vocab_size
    ids = tuple(i % vocabulary for i in range(1, length + 1))
    rows = [Encoded(ids, ids, (1.0,) * length)] * (config.batch_size * accumulation * (WARM + TIMED))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(gated, rows, [], config, 0, Path(folder), Progress(stream=io.StringIO()), device)
        gated.train()
        for step in range(WARM + TIMED):
            begin = _now(device)
            trainer.step(step)
            found.append(_now(device) - begin)
    return min(found[WARM:])


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def free_bytes(device: torch.device) -> float:
    """Memory that is free on the device; of a CPU what the system would give without swapping."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    import psutil

    return float(psutil.virtual_memory().available)
