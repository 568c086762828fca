"""Checks of the mathematics on the device: bf16, gates, attention, loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from so8t.build.model.attention import EAGER, FLASH, SDPA, flash_obstacle
from so8t.build.model.loading import load_causal
from so8t.build.model.losses import smoothed_cross_entropy
from so8t.build.model.precision import computes_bf16
from so8t.build.model.rotation import determinant_error, orthogonality_error, rotate, rotation
from so8t.build.selftest.bench import Bench
from so8t.build.selftest.training import SMOOTHING, distance, gated, gradients, token_ids
from so8t.core.selftest import Measure, Skip

BF16 = torch.bfloat16
VOCABULARY = 200_064  # Phi-4-mini's
TOKENS = 2 * 1024


def bf16(bench: Bench) -> list[Measure]:
    """A matrix product in bf16 beside fp64: eight bits of mantissa, sums in fp32."""
    if bench.cuda and not computes_bf16(bench.device):
        raise Skip(f"{torch.cuda.get_device_name(bench.device)}: no bf16 in hardware")
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(512, 512, generator=generator).to(bench.device, BF16) for _ in range(2))
    exact = a.double().cpu() @ b.double().cpu()
    return [Measure("relative error", distance((a @ b).double().cpu(), exact), 1e-2)]


def gates(bench: Bench) -> list[Measure]:
    """Rotations stay rotations under bf16 autocast, and a rotated bf16 vector keeps its length."""
    generator = torch.Generator().manual_seed(3)
    numbers = (torch.randn(32, 384, 28, generator=generator) * 0.3).to(bench.device).requires_grad_()
    with torch.autocast(bench.device.type, dtype=BF16):
        r = rotation(numbers)
        x = torch.randn(64, 384 * 8, generator=generator).to(bench.device, BF16)
        y = rotate(x, r[0])
    r.square().sum().backward()  # type: ignore[no-untyped-call]
    gradient = numbers.grad
    assert gradient is not None
    length = (y.float().norm(dim=-1) / x.float().norm(dim=-1) - 1).abs().max()
    return [
        Measure("dtype changed", float(r.dtype != torch.float32 or y.dtype != BF16), 0),
        Measure("orthogonality error", orthogonality_error(r.detach()), 1e-5),
        Measure("determinant error", determinant_error(r.detach()), 1e-5),
        Measure("length error in bf16", float(length.detach()), 4e-3),
        Measure("gradients not finite", float((~torch.isfinite(gradient)).sum()), 0),
    ]


def attention(bench: Bench) -> list[Measure]:
    """Loss and gradients through torch's attention beside the written-out one, flash-attn beside torch's."""
    ids = token_ids(2, 96, bench.device)
    found = {n: _through(bench, n, torch.float32, ids) for n in (EAGER, SDPA)}
    measures = [
        Measure("sdpa loss", abs(found[SDPA][0] - found[EAGER][0]), 1e-4),
        Measure("sdpa gradients", distance(found[SDPA][1], found[EAGER][1]), 1e-3),
    ]
    if not flash_obstacle(bench.device, BF16):
        flash, torchs = (_through(bench, n, BF16, ids) for n in (FLASH, SDPA))
        measures += [
            Measure("flash loss", abs(flash[0] - torchs[0]), 0.01),
            Measure("flash gradients", distance(flash[1], torchs[1]), 0.05),
        ]
    return measures


def _through(bench: Bench, attention: str, dtype: torch.dtype, ids: torch.Tensor) -> tuple[float, torch.Tensor]:
    return gradients(gated(load_causal(bench.base, dtype, "none", bench.device, attention)), ids)


def loss(bench: Bench) -> list[Measure]:
    """The loss that never holds all logits beside torch's own on all of them, in fp32."""
    generator = torch.Generator().manual_seed(4)
    head = nn.Linear(64, 4096, bias=False)
    head.weight.data = torch.randn(4096, 64, generator=generator) * 0.1
    head.to(bench.device).requires_grad_(False)
    hidden = torch.randn(700, 64, generator=generator).to(bench.device)
    labels = torch.randint(0, 4096, (700,), generator=generator).to(bench.device)
    weights = (torch.rand(700, generator=generator) + 0.5).to(bench.device)
    ours, theirs = (hidden.clone().requires_grad_() for _ in range(2))
    a = smoothed_cross_entropy(ours, labels, head, SMOOTHING, weights)
    b = (F.cross_entropy(head(theirs), labels, label_smoothing=SMOOTHING, reduction="none") * weights).sum()
    a.backward()  # type: ignore[no-untyped-call]
    b.backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None and theirs.grad is not None
    return [
        Measure("relative error", abs(float(a.detach()) / float(b.detach()) - 1), 1e-5),
        Measure("gradient error", distance(ours.grad.double().cpu(), theirs.grad.double().cpu()), 1e-4),
    ]


def memory(bench: Bench) -> list[Measure]:
    """Peak memory of the loss at Phi-4-mini's vocabulary, batch 2 x 1024, as a share of what full logits take."""
    if not bench.cuda:
        raise Skip("torch.cuda.max_memory_allocated needs a card")
    features = 3072
    head = nn.Linear(features, VOCABULARY, bias=False, device=bench.device, dtype=BF16).requires_grad_(False)
    hidden = torch.randn(TOKENS, features, device=bench.device, dtype=BF16, requires_grad=True)
    labels = torch.randint(0, VOCABULARY, (TOKENS,), device=bench.device)
    torch.cuda.synchronize(bench.device)
    torch.cuda.reset_peak_memory_stats(bench.device)
    before = torch.cuda.memory_allocated(bench.device)
    smoothed_cross_entropy(hidden, labels, head, SMOOTHING).backward()  # type: ignore[no-untyped-call]
    peak = torch.cuda.max_memory_allocated(bench.device) - before
    full = TOKENS * VOCABULARY * (2 + 4 + 4 + 4)  # bf16 logits, fp32 copy, log-softmax, its gradient
    return [Measure("MiB", peak / 2**20), Measure("share of full logits, computed", peak / full, 0.1)]
