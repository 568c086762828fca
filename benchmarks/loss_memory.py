"""Memory of the loss at Phi-4-mini's vocabulary, and of a whole optimizer step, against full logits and TRL.

    python3 benchmarks/loss_memory.py [--hidden 3072] [--step-hidden 1024 --step-layers 4] [--quick] [--json]

The loss, forward and backward, label smoothing 0.1, 2 x 1024 tokens, vocabulary 200,064, each in a fresh process, peak
above hidden states, head and labels: `full` = torch's cross_entropy over all logits, `so8t` = smoothed_cross_entropy.
The step: one optimizer step of so8t with gates and PET, of TRL's SFTTrainer with the same label smoothing, and of TRL
without it, peak above the libraries. The error: so8t's gradient against fp64, beside that of full logits in fp32.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from typing import Any

from training import contest, machine, memory
from training.ratios import verdict
from training.shapes import WIDE

SMOOTHING = 0.1
LOSS, STEP = 0.1, 0.6  # of full logits, of TRL with label smoothing, at most
LOSSES = ("full", "so8t")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=WIDE.vocabulary)
    parser.add_argument("--tokens", type=int, default=2 * 1024)
    parser.add_argument("--hidden", type=int, default=3072)
    parser.add_argument("--step-hidden", type=int, default=WIDE.hidden)
    parser.add_argument("--step-layers", type=int, default=WIDE.layers)
    parser.add_argument("--quick", action="store_true", help="a quarter of the tokens, narrow models")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--loss", choices=(*LOSSES, "error"), help=argparse.SUPPRESS)
    contest.add_arguments(parser)
    options = parser.parse_args()
    if options.quick:
        options.tokens, options.hidden, options.step_hidden = 512, 128, 128
    if options.worker:
        contest.work(options)
    elif options.loss:
        print(json.dumps(one(options)))
    else:
        found = {"machine": machine.facts(), "threads": options.threads, **losses(options), "step": steps(options)}
        print(json.dumps(found, indent=1) if options.json else text(found))


def losses(options: argparse.Namespace) -> dict[str, Any]:
    made = {name: child(options, name) for name in (*LOSSES, "error")}
    share = made["so8t"]["peak"] / made["full"]["peak"]
    return {
        "vocabulary": options.vocabulary, "tokens": options.tokens, "hidden": options.hidden,
        "loss_peak_mb": {name: round(made[name]["peak"] / 2**20, 1) for name in LOSSES},
        "loss_seconds": {name: made[name]["seconds"] for name in LOSSES},
        "gradient_error": made["error"],
        "targets": {"loss, so8t / full logits": verdict(share, LOSS, at_least=False)},
    }  # fmt: skip


def child(options: argparse.Namespace, name: str) -> dict[str, Any]:
    given = {"--vocabulary": options.vocabulary, "--tokens": options.tokens, "--hidden": options.hidden}
    command = [sys.executable, __file__, "--loss", name, "--threads", str(options.threads)]
    command += [str(part) for pair in given.items() for part in pair]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def one(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    torch.set_num_threads(options.threads)
    if options.loss == "error":
        return error(options.vocabulary)
    hidden, labels, head = inputs(options.tokens, options.hidden, options.vocabulary)
    before = memory.now()
    memory.forget_peak()
    start = time.perf_counter()
    backward(options.loss, hidden, labels, head)
    return {"peak": memory.peak() - before, "seconds": round(time.perf_counter() - start, 2)}


def inputs(tokens: int, width: int, vocabulary: int) -> tuple[Any, Any, Any]:
    """Hidden states of unit scale, and a frozen head that makes logits of about unit scale."""
    import torch

    torch.manual_seed(8)
    head = torch.nn.Linear(width, vocabulary, bias=False).requires_grad_(False)
    with torch.no_grad():
        head.weight.normal_(0.0, width**-0.5)
    return torch.randn(tokens, width, requires_grad=True), torch.randint(0, vocabulary, (tokens,)), head


def backward(name: str, hidden: Any, labels: Any, head: Any) -> None:
    import torch.nn.functional as F

    from so8t.build.model.losses import smoothed_cross_entropy

    if name == "full":
        loss = F.cross_entropy(head(hidden), labels, label_smoothing=SMOOTHING, reduction="sum")
    else:
        loss = smoothed_cross_entropy(hidden, labels, head, SMOOTHING)
    loss.backward()  # type: ignore[no-untyped-call]


def error(vocabulary: int) -> dict[str, Any]:
    """|g - g64| / |g64| of d loss / d hidden at 64 tokens, hidden 256; by full fp32 logits and by ours."""
    import copy

    hidden, labels, head = inputs(64, 256, vocabulary)
    exact = hidden.detach().double().requires_grad_()
    backward("full", exact, labels, copy.deepcopy(head).double())
    found: dict[str, Any] = {"tokens": 64, "hidden": 256}
    for name in LOSSES:
        hidden.grad = None
        backward(name, hidden, labels, head)
        found[name] = float((hidden.grad.double() - exact.grad).norm() / exact.grad.norm())
    return found


def steps(options: argparse.Namespace) -> dict[str, Any]:
    """Each contestant alone: memory of one would push the other's out."""
    case = dataclasses.replace(
        WIDE, vocabulary=options.vocabulary, hidden=options.step_hidden, intermediate=3 * options.step_hidden,
        layers=options.step_layers, heads=options.step_hidden // 64, kv_heads=options.step_hidden // 128,
        length=options.tokens // WIDE.batch,
    )  # fmt: skip
    peaks, seconds, base = {}, {}, 0
    for name in contest.available(("so8t", "trl", "trl-nll")):
        with contest.started(__file__, [name], case, options.threads) as (contestant,):
            for _ in range(2):
                contestant.step()
            peaks[name], seconds[name] = contestant.peak, round(contestant.steps[-1]["seconds"], 2)
            base = 4 * contestant.start["model"]
    targets = {}
    if "trl" in peaks:
        targets["step, so8t / TRL"] = verdict(peaks["so8t"] / peaks["trl"], STEP, at_least=False)
    return {
        "shape": case.words(), "weights_mb": round(base / 2**20, 1), "seconds": seconds,
        "peak_mb": {name: round(p / 2**20, 1) for name, p in peaks.items()}, "targets": targets,
    }  # fmt: skip


def text(found: dict[str, Any]) -> str:
    step, error_of = found["step"], found["gradient_error"]
    lines = [
        machine.line(found["machine"]),
        f"loss: {found['tokens']} tokens, hidden {found['hidden']}, vocabulary {found['vocabulary']}, fp32",
        *(
            f"  {n:<8} {mb:>8} MB above the inputs, {found['loss_seconds'][n]} s"
            for n, mb in found["loss_peak_mb"].items()
        ),
        f"  gradient error against fp64: so8t {error_of['so8t']:.1e}, full logits {error_of['full']:.1e} "
        f"({error_of['tokens']} tokens, hidden {error_of['hidden']})",
        f"step: {step['shape']}; weights {step['weights_mb']} MB",
        *(f"  {n:<8} {mb:>8} MB above the libraries, {step['seconds'][n]} s" for n, mb in step["peak_mb"].items()),
    ]
    for name, v in (found["targets"] | step["targets"]).items():
        lines.append(f"  {name}: {v['value']:.3f}, target {v['target']}: {'met' if v['met'] else 'MISSED'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
