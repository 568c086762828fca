"""Checks of bitsandbytes and of the driver's sensor."""

from __future__ import annotations

import copy
import io
import math
import time
from typing import Any

import torch
from torch import Tensor, nn

from so8t.build.model.loading import load_causal
from so8t.build.model.precision import choose_precision
from so8t.build.model.quantisation import Quantised, has_bitsandbytes, supported
from so8t.build.selftest.bench import Bench
from so8t.build.selftest.training import distance, gated, gradients, rounded_weights, token_ids
from so8t.build.train.gpu import nvidia_sensor
from so8t.build.train.optimizer import load_optimizer, make_optimizer, paged_bytes
from so8t.core.config import TrainConfig
from so8t.core.selftest import Measure, Skip

# |gradient - gradient of the same rounded weights in fp32| / |that|. On a CPU both are one computation (measured
# 1.1e-6 and 0). On a card int8 rounds the activations too and both run in bf16: those code paths, run on a CPU, gave
# 0.028 and 0.013.
ON_CPU = 1e-5
ON_CARD: dict[Quantised, float] = {"int8": 0.1, "nf4": 0.05}
ROUNDING: dict[Quantised, float] = {"int8": 0.012, "nf4": 0.12}  # of a weight, relative (measured 0.0075 and 0.092)
EIGHT = TrainConfig(learning_rate=1e-2, optimizer="paged_adamw_8bit")
SHAPES = {"a.lora_A": (512, 512), "b.lora_B": (96, 64), "rotations.skew": (2, 8, 28)}


def int8(bench: Bench) -> list[Measure]:
    return _quantised(bench, "int8")


def nf4(bench: Bench) -> list[Measure]:
    return _quantised(bench, "nf4")


def _quantised(bench: Bench, kind: Quantised) -> list[Measure]:
    """LoRA and gates on a quantised base: right weights, right gradients, a step downhill, an untouched base."""
    if why := supported(kind, bench.device, (256, 512)):
        raise Skip(why)
    dtype = choose_precision(TrainConfig(), bench.device).value
    base = load_causal(bench.base, dtype, kind, bench.device)
    beside = load_causal(bench.base, torch.float32)
    rounding = _take_over(beside, rounded_weights(base))
    model, ids = gated(base), token_ids(2, 64, bench.device)
    loss, found = gradients(model, ids)
    _, exact = gradients(gated(beside), ids.cpu())
    frozen = {n: copy.deepcopy(p.data) for n, p in model.peft.named_parameters() if not p.requires_grad}
    make_optimizer(model.parameters(), TrainConfig(learning_rate=1e-3, optimizer="adamw"), bench.device).step()
    moved = sum(not torch.equal(frozen[n], p) for n, p in model.peft.named_parameters() if n in frozen)
    return [
        Measure("weight rounding", rounding, ROUNDING[kind]),
        Measure("gradients", distance(found, exact), ON_CARD[kind] if bench.cuda else ON_CPU),
        Measure("base tensors moved", moved, 0),
        Measure("loss after / before a step", gradients(model, ids)[0] / loss, 0.999),
    ]


def _take_over(model: Any, rounded: dict[str, Tensor]) -> float:
    """Put the rounded weights into a full-precision model; returns how far the worst of them is off."""
    worst = math.inf if not rounded else 0.0
    for name, weight in rounded.items():
        exact = model.get_submodule(name).weight.data
        worst = max(worst, distance(weight, exact))
        exact.copy_(weight)
    return worst


def optimizer(bench: Bench) -> list[Measure]:
    """8-bit AdamW: saved as plain weights, loaded, and on as if nothing had been; paged where there is a card."""
    if not has_bitsandbytes():
        raise Skip("bitsandbytes is not installed")
    whole, halves = _parameters(bench), _parameters(bench)
    made = make_optimizer(whole, EIGHT, bench.device)
    _steps(made, whole, 0, 6)
    first = make_optimizer(halves, EIGHT, bench.device)
    _steps(first, halves, 0, 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make_optimizer(halves, EIGHT, bench.device)
    load_optimizer(second, torch.load(file, map_location="cpu", weights_only=True))
    _steps(second, halves, 3, 6)
    apart = max(float((whole[n] - halves[n]).detach().abs().max()) for n in whole)
    beside = _parameters(bench)
    plain = make_optimizer(beside, TrainConfig(learning_rate=1e-2, optimizer="adamw"), bench.device)
    _steps(plain, beside, 0, 6)
    found = [Measure("resumed - uninterrupted", apart, 0), Measure("from AdamW", _from(whole, beside, bench), 0.1)]
    if bench.cuda:
        wanted = 2 * 512 * 512  # both moments of the one tensor that is large enough
        found.append(Measure("bytes not paged", wanted - paged_bytes(made), 0))
        found.append(Measure("bytes not paged after loading", wanted - paged_bytes(second), 0))
    return found


def _parameters(bench: Bench) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(6)
    return {n: nn.Parameter(torch.randn(s, generator=generator).to(bench.device)) for n, s in SHAPES.items()}


def _steps(made: torch.optim.Optimizer, named: dict[str, nn.Parameter], first: int, last: int) -> None:
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        for parameter in named.values():
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.device)
        made.step()


def _from(a: dict[str, nn.Parameter], b: dict[str, nn.Parameter], bench: Bench) -> float:
    """How far two trainings from the same start ended apart, relative to the way they went."""
    start = _parameters(bench)
    way = torch.cat([(b[n] - start[n]).detach().flatten() for n in b]).norm()
    return float(torch.cat([(a[n] - b[n]).detach().flatten() for n in b]).norm() / way)


def sensor(bench: Bench) -> list[Measure]:
    """The driver tells the temperature, quickly enough to be asked while training."""
    if not bench.cuda:
        raise Skip("no card")
    found = nvidia_sensor(bench.device.index or 0)
    if found is None:
        raise Skip('no NVML: pip install "so8t[gpu]"')
    begin = time.monotonic()
    reading = found.read()
    seconds = time.monotonic() - begin
    if reading is None:
        raise RuntimeError("the driver does not tell the temperature")
    measures = [Measure("degrees Celsius", reading.temperature, 110), Measure("seconds to read", seconds, 0.5)]
    if reading.watts is not None:
        measures.append(Measure("watts", reading.watts))
    return measures
