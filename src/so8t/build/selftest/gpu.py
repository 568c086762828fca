"""so8t selftest gpu: everything that training trusts a card with, in a few minutes (SPEC M6, M8, T1-T3)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from so8t.build.selftest.bench import Bench
from so8t.build.selftest.machine import machine
from so8t.build.selftest.numerics import attention, bf16, gates, loss, memory
from so8t.build.selftest.packages import int8, nf4, optimizer, sensor
from so8t.build.selftest.resume import resume, resume_int8
from so8t.core.errors import EnvironmentUnfit
from so8t.core.selftest import Check, Measure, Result, now, perform, report

GpuCheck = Check[Bench, list[Measure]]

CHECKS: tuple[GpuCheck, ...] = (
    Check("bf16", "bf16 の計算", "products in bf16", bf16),
    Check("gates", "回転ゲート(bf16 の自動変換の下で)", "rotation gates under bf16 autocast", gates),
    Check("attention", "注意の実装どうしの一致", "attention implementations agree", attention),
    Check("loss", "分割した損失と torch の一致", "chunked loss equals torch's", loss),
    Check("memory", "損失のメモリの最大値", "peak memory of the loss", memory),
    Check("int8", "bitsandbytes int8 での学習", "training on bitsandbytes int8", int8),
    Check("nf4", "bitsandbytes NF4 での学習", "training on bitsandbytes NF4", nf4),
    Check("optimizer", "8 ビットの paged AdamW", "paged 8-bit AdamW", optimizer),
    Check("sensor", "GPU の温度計", "the GPU's temperature", sensor),
    Check("resume", "強制終了からの再開", "killed and resumed", resume),
    Check("resume-int8", "強制終了からの再開(int8)", "killed and resumed (int8)", resume_int8),
)


def pick_device(wanted: str) -> torch.device:
    """ "cuda" needs a card: what a CPU proves must be asked for. Raises EnvironmentUnfit."""
    if wanted == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise EnvironmentUnfit(detail=f"CUDA (torch {torch.__version__})")
    return torch.device("cuda", torch.cuda.current_device())


def selftest(device: torch.device, tell: Callable[[Result], None], checks: Sequence[GpuCheck]) -> dict[str, Any]:
    """Make all checks in a folder that is removed; the report for the user to keep or to send."""
    started = now()
    with tempfile.TemporaryDirectory(prefix="so8t-selftest-", ignore_cleanup_errors=True) as folder:
        results = perform(checks, Bench(device, Path(folder)), tell)
    told = {"proves_a_card": device.type == "cuda", "machine": machine(device)}
    return report("so8t selftest gpu", started, results, **told)
