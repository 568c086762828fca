"""How long a checkpoint of Phi-4-mini's 92.6 M trained parameters holds training up, and what resuming costs.

    python3 benchmarks/checkpoint_cost.py [--folder DIR] [--interval 180] [--rounds 3] [--quick] [--json]

Random tensors of the adapter's shapes (LoRA rank 64 on the four fused projections of 32 layers, the gates), AdamW's two
moments and the running average: 1.48 GB in fp32. No base model is needed, a checkpoint holds none.

    snapshot    training stands still while the state is copied in memory (Writer.save)
    write       hashing, writing and fsync in the background, from there until the checkpoint is whole on disk
    slowed      how much longer a fixed amount of matrix work takes while a write runs beside it
    resume      newest checkpoint found, read, checked and put back: what a restart costs beyond loading the base
                ("cold": after its pages were dropped from the system's file cache)
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from training import machine
from training.ratios import verdict

HIDDEN, QKV, GATE_UP, INTERMEDIATE, RANK = 3072, 5120, 16384, 8192, 64
TARGETS = {"qkv_proj": (HIDDEN, QKV), "o_proj": (HIDDEN, HIDDEN), "gate_up_proj": (HIDDEN, GATE_UP),
           "down_proj": (INTERMEDIATE, HIDDEN)}  # fmt: skip
SHARE, RESUME = 0.01, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the system's temporary folder")
    parser.add_argument("--interval", type=float, default=180.0, help="seconds between checkpoints")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="4 layers, 1 round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {"machine": machine.facts(), "threads": options.threads}
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="so8t-checkpoint-") as folder:
        found |= measure(Path(folder), options)
    print(json.dumps(found, indent=1) if options.json else text(found))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    import torch

    torch.set_num_threads(options.threads)
    layers, rounds = (4, 1) if options.quick else (32, options.rounds)
    parameters, optimizer, average = trained(layers)
    written = [write(folder, parameters, optimizer, average, step) for step in range(rounds)]
    newest = max(folder.glob("step-*"))
    size = sum(p.stat().st_size for p in newest.iterdir())
    cold = [resume(folder, parameters, optimizer, average, drop=True) for _ in range(rounds)]
    warm = [resume(folder, parameters, optimizer, average, drop=False) for _ in range(rounds)]
    found = {name: round(median(w[name] for w in written), 3) for name in written[0]}
    held = found["snapshot"] + max(0.0, found["slowed"])
    return {
        "trained": sum(p.numel() for p in parameters.values()), "megabytes": round(size / 1e6), "rounds": rounds,
        "seconds": found | {"resume_cold": round(median(cold), 3), "resume_warm": round(median(warm), 3)},
        "interval": options.interval,
        "targets": {
            "standing still, share of the interval": verdict(found["snapshot"] / options.interval, SHARE, False),
            "with the slow-down of the write": verdict(held / options.interval, SHARE, False),
            "resume, seconds, cold": verdict(median(cold), RESUME, False),
            "resume, seconds, warm": verdict(median(warm), RESUME, False),
        },
    }  # fmt: skip


def trained(layers: int) -> tuple[dict[str, Any], Any, Any]:
    """Parameters by name, an AdamW that has taken a step, and an average of two."""
    import torch
    from torch import nn

    from so8t.build.model.rotation import Rotations
    from so8t.build.train.swa import Average

    torch.manual_seed(8)
    parameters: dict[str, Any] = {}
    for layer in range(layers):
        for name, (inside, outside) in TARGETS.items():
            parameters[f"layers.{layer}.{name}.lora_A"] = nn.Parameter(torch.randn(RANK, inside))
            parameters[f"layers.{layer}.{name}.lora_B"] = nn.Parameter(torch.randn(outside, RANK))
    parameters["rotations.skew"] = Rotations(layers, HIDDEN).skew
    optimizer = torch.optim.AdamW(parameters.values())
    average = Average()
    average.update(parameters)
    for parameter in parameters.values():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    average.update(parameters)
    return parameters, optimizer, average


def write(folder: Path, parameters: dict[str, Any], optimizer: Any, average: Any, step: int) -> dict[str, float]:
    from so8t.build.train.checkpoint import State, Writer

    facts = {"steps": 100, "rows": 100, "pieces": 1}
    writer = Writer(folder, keep=2)
    matrix_work()
    before = matrix_work()
    os.sync() if hasattr(os, "sync") else None  # the pages of the round before are not this one's
    start = time.perf_counter()
    writer.save(State(2 * step, dict(parameters), average.mean, average.count, optimizer.state_dict(), facts))
    saved = time.perf_counter()
    writer.wait()
    whole = time.perf_counter()
    writer.save(State(2 * step + 1, dict(parameters), average.mean, average.count, optimizer.state_dict(), facts))
    beside = matrix_work()
    writer.close()
    return {"snapshot": saved - start, "write": whole - saved, "slowed": beside - (before + matrix_work()) / 2}


def matrix_work(times: int = 60) -> float:
    """Seconds that a fixed amount of what training does takes; longer than a write."""
    import torch

    a = torch.randn(1024, 3072)
    b = torch.randn(3072, 3072)
    start = time.perf_counter()
    for _ in range(times):
        a @ b
    return time.perf_counter() - start


def resume(folder: Path, parameters: dict[str, Any], optimizer: Any, average: Any, drop: bool) -> float:
    """As the trainer does it: newest whole checkpoint, weights, average, optimizer."""
    from so8t.build.train import checkpoint
    from so8t.build.train.optimizer import load_optimizer
    from so8t.build.train.swa import copy_into

    if drop:
        drop_pages(folder)
    start = time.perf_counter()
    state, broken = checkpoint.newest(folder)
    assert state is not None and not broken
    copy_into(parameters, state.parameters)
    average.mean = {n: t.to(parameters[n].device) for n, t in state.average.items()}
    average.count = state.average_count
    load_optimizer(optimizer, state.optimizer)
    return time.perf_counter() - start


def drop_pages(folder: Path) -> None:
    """Ask the system to forget the files' contents, as after a restart. Linux; elsewhere cold is warm."""
    if hasattr(os, "posix_fadvise"):
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as f:
                    os.fsync(f.fileno())
                    os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def text(found: dict[str, Any]) -> str:
    lines = [
        machine.line(found["machine"]),
        f"{found['trained']:,} trained parameters, {found['megabytes']} MB a checkpoint, {found['rounds']} rounds, "
        f"{found['threads']} threads, every {found['interval']:.0f} s",
        *(f"  {name:<12} {seconds:>7.3f} s" for name, seconds in found["seconds"].items()),
    ]
    for name, v in found["targets"].items():
        lines.append(f"  {name}: {v['value']:.4f}, target {v['target']}: {'met' if v['met'] else 'MISSED'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
