"""What the rotations cost by themselves in one optimizer step, and what gates and PET cost in memory.

    python3 benchmarks/gate_cost.py [--micro-batches 16] [--rounds 5] [--quick] [--json]

Processor time of making them, with their gradients, at Phi-4-mini's size (32 layers of 384 blocks):

    literal   matrix_exp + SVD in every layer of every micro-batch, and back through both (plan 2.1)
    exp       matrix_exp in every layer of every micro-batch, and back
    so8t      one batched call for all layers, gradients gathered on leaves, one way back: what the trainer does

Applying them is the same for all three and is measured apart: y = R x over [tokens, 3072] and back, in every layer.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from training import contest, machine
from training.memory import GIVE_BACK
from training.ratios import paired, spread, verdict
from training.shapes import MEDIUM

LAYERS, HIDDEN = 32, 3072
CHEAPER, MEMORY = 20.0, 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--micro-batches", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=512, help="tokens a micro-batch, for applying")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="4 layers, 2 rounds, a smaller model for the memory")
    parser.add_argument("--json", action="store_true")
    contest.add_arguments(parser)
    parser.set_defaults(threads=1)
    options = parser.parse_args()
    if options.worker:
        contest.work(options)
        return
    found = {"machine": machine.facts(), "threads": options.threads, **time_cost(options), "memory": memory(options)}
    print(json.dumps(found, indent=1) if options.json else text(found))


def time_cost(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(8)
    layers, rounds = (4, 2) if options.quick else (LAYERS, options.rounds)
    ways = makers(layers, options.micro_batches)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name in ways:
        ways[name]()
    for turn in range(rounds):
        names = list(ways)
        for name in names[turn % 3 :] + names[: turn % 3]:
            seconds[name].append(timed(ways[name]))
    cheaper = {name: paired(seconds[name], seconds["so8t"]) for name in ("literal", "exp")}
    one = spread([applying(layers, options.tokens) for _ in range(rounds)])
    return {
        "layers": layers, "blocks": HIDDEN // 8, "micro_batches": options.micro_batches, "rounds": rounds,
        "making_ms": {name: round(spread(s).median * 1e3, 2) for name, s in seconds.items()},
        "cheaper_than": {name: ratio.to_json() for name, ratio in cheaper.items()},
        "applying_ms": round(one.median * 1e3 * options.micro_batches, 1), "tokens_a_micro_batch": options.tokens,
        "targets": {"making, literal over so8t": verdict(cheaper["literal"].median, CHEAPER, at_least=True)},
    }  # fmt: skip


def makers(layers: int, micro_batches: int) -> dict[str, Callable[[], None]]:
    """Each makes all rotations of one optimizer step and brings their gradients back to the parameters."""
    import torch
    from training.literal import literal_rotation

    from so8t.build.model.rotation import Rotations

    blocks = HIDDEN // 8
    gradient = torch.randn(blocks, 8, 8)
    matrices = [torch.randn(blocks, 8, 8).mul_(0.05).requires_grad_() for _ in range(layers)]
    rotations = Rotations(layers, HIDDEN)
    with torch.no_grad():
        rotations.skew.normal_(0.0, 0.1)

    def per_layer(orthogonalise: bool) -> None:
        for _ in range(micro_batches):
            for layer in matrices:
                literal_rotation(layer, orthogonalise).backward(gradient)  # type: ignore[no-untyped-call]

    def once() -> None:
        rotations.refresh()
        for _ in range(micro_batches):  # what a micro-batch adds: its gradient on each layer's leaf
            for leaf in rotations.leaves:
                leaf.grad = gradient.clone() if leaf.grad is None else leaf.grad.add_(gradient)
        rotations.pull_gradients()

    return {"literal": lambda: per_layer(True), "exp": lambda: per_layer(False), "so8t": once}


def applying(layers: int, tokens: int) -> float:
    """Seconds for y = R x and back in all layers, one micro-batch."""
    import torch

    from so8t.build.model.rotation import rotate, rotation

    r = rotation(torch.randn(HIDDEN // 8, 28) * 0.1).requires_grad_()
    x = torch.randn(tokens, HIDDEN, requires_grad=True)
    gradient = torch.randn(tokens, HIDDEN)

    def run() -> None:
        for _ in range(layers):
            rotate(x, r).backward(gradient)  # type: ignore[no-untyped-call]

    run()
    return timed(run)


def timed(call: Callable[[], None]) -> float:
    """Processor seconds, which neighbours on the machine move less than the clock's."""
    start = time.process_time()
    call()
    return time.process_time() - start


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peak of whole optimizer steps of the 100M shape: gates + PET over plain LoRA, each process alone.

    Freed memory is given back at once: otherwise the allocator's gaps scatter more than gates and PET weigh.
    """
    os.environ.update(GIVE_BACK)  # for the children

    quick = dataclasses.replace(MEDIUM, layers=4, length=64)
    case = quick if options.quick else dataclasses.replace(MEDIUM, accumulation=2)
    found: dict[str, list[int]] = {"plain": [], "so8t": []}
    for name in list(found) * (1 if options.quick else options.rounds):
        with contest.started(__file__, [name], case, options.threads) as (contestant,):
            for _ in range(3):
                contestant.step()
            found[name].append(contestant.peak)
    peaks = {name: median(values) for name, values in found.items()}
    over = peaks["so8t"] / peaks["plain"] - 1
    return {
        "shape": case.words(), "peak_mb": {name: round(p / 2**20, 1) for name, p in peaks.items()},
        "targets": {"gate + PET over plain LoRA": verdict(over, MEMORY, at_least=False)},
    }  # fmt: skip


def text(found: dict[str, Any]) -> str:
    making, cheaper, peaks = found["making_ms"], found["cheaper_than"], found["memory"]
    lines = [
        machine.line(found["machine"]),
        f"{found['layers']} layers of {found['blocks']} blocks, {found['micro_batches']} micro-batches, "
        f"{found['threads']} threads, {found['rounds']} rounds",
        "  making    " + ", ".join(f"{name} {ms} ms" for name, ms in making.items()) + " an optimizer step",
        *(
            f"  so8t is cheaper than {n} by {r['median']:.1f} ({r['low']:.1f}-{r['high']:.1f})"
            for n, r in cheaper.items()
        ),
        f"  applying  {found['applying_ms']} ms at {found['tokens_a_micro_batch']} tokens a micro-batch, for all alike",
        f"memory above the libraries, {peaks['shape']}",
        f"  plain LoRA {peaks['peak_mb']['plain']} MB, with gates and PET {peaks['peak_mb']['so8t']} MB",
    ]
    for name, v in (found["targets"] | peaks["targets"]).items():
        lines.append(f"  {name}: {v['value']:.3f}, target {v['target']}: {'met' if v['met'] else 'MISSED'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
