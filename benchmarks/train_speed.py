"""Speed of one optimizer step: so8t with gates and PET against plain LoRA, TRL's SFTTrainer, PEFT's OFT, the plan.

    python3 benchmarks/train_speed.py [--case tiny 100M] [--rounds 7] [--quick] [--json]

The processor time of one thread (--threads 1) is the figure to read on a machine that others use too: two threads wait
for each other there. Same random model, same tokens, same batch, accumulation, LoRA (fused projections), clip and AdamW
for all. No token is masked, which is the hardest case for so8t: it makes no logits for a prompt (--masked 0.7).

    so8t         rotations, PET, gradient noise, running average: what `so8t train` does
    gates        the same without PET
    plain        the same without rotations and PET
    trl          TRL's SFTTrainer + LoRA, label smoothing 0.1 (requirements/bench.in)
    trl-nll      the same without label smoothing: TRL's fastest way, while so8t still smooths
    oft          PEFT's OFT on o_proj in blocks of 8 + LoRA on the rest, in so8t's loop, without PET
    oft-neumann  the same with PEFT's faster, approximate Cayley map
    oft-all      oft-neumann with LoRA on o_proj too, as so8t has it
    literal      the plan's gate: matrix_exp + SVD per layer and forward, PET, in so8t's loop
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from statistics import median
from typing import Any

from training import contest, machine
from training.ratios import paired, verdict
from training.shapes import CASES, MEDIUM, TINY, Case
from training.turns import Contestant

NAMES = ("so8t", "gates", "plain", "trl", "trl-nll", "oft", "oft-neumann", "oft-all", "literal")
TARGETS = {
    "trl": 0.95,
    "trl-nll": 0.95,
    "oft": 1.0,
    "oft-neumann": 1.0,
    "oft-all": 1.0,
}  # so8t's tokens/s over theirs, at least
OVERHEAD = 0.05  # of so8t over plain, at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=("tiny", "100M"), default=["tiny", "100M"])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--masked", type=float, default=0.0, help="share of each row that is prompt")
    parser.add_argument("--quick", action="store_true", help="shorter rows, 3 rounds: does it run at all")
    parser.add_argument("--json", action="store_true")
    contest.add_arguments(parser)
    options = parser.parse_args()
    if options.worker:
        contest.work(options)
        return
    found: dict[str, Any] = {"machine": machine.facts(), "threads": options.threads}
    found["cases"] = [measure(prepared(CASES[name], options), options) for name in options.case]
    print(json.dumps(found, indent=1) if options.json else text(found))


def prepared(case: Case, options: argparse.Namespace) -> Case:
    quick = {TINY.name: {"batch": 4, "length": 64}, MEDIUM.name: {"accumulation": 2, "length": 64}}
    changes: dict[str, Any] = {"masked": options.masked} | (quick[case.name] if options.quick else {})
    return dataclasses.replace(case, **changes)


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    machine.wait_until_quiet(options.patience)
    before = machine.load()
    rounds = 3 if options.quick else options.rounds
    played = contest.contest(__file__, contest.available(options.only), case, rounds, options.threads, warm=2)
    return {
        "case": case.name, "shape": case.words(), "rounds": rounds, "load": [before, machine.load()],
        "parameters": next(iter(played.values())).start["model"],
        "contestants": {name: figures(c, case) for name, c in played.items()},
        **compared(played),
    }  # fmt: skip


def figures(contestant: Contestant, case: Case) -> dict[str, Any]:
    seconds = [s["seconds"] for s in contestant.steps]
    return {
        "tokens_per_second": round(case.tokens / median(seconds), 1),
        "seconds": [round(s, 3) for s in seconds],
        "cpu_seconds": round(median(s["cpu"] for s in contestant.steps), 3),
        "peak_mb": round(contestant.peak / 2**20),
        "trained": contestant.start["trained"],
    }


def compared(played: dict[str, Contestant]) -> dict[str, Any]:
    """Time of the others over ours = our speed over theirs; by processor time too, which busy neighbours move less."""
    if "so8t" not in played:
        return {}
    ours = played["so8t"]
    found: dict[str, Any] = {"speed_over": {}, "cpu_speed_over": {}, "targets": {}}
    for name, other in played.items():
        if name == "so8t":
            continue
        ratio = paired(times(other), times(ours))
        found["speed_over"][name] = ratio.to_json()
        found["cpu_speed_over"][name] = paired(times(other, "cpu"), times(ours, "cpu")).to_json()
        if name in TARGETS:
            found["targets"][f"speed over {name}"] = verdict(ratio.median, TARGETS[name], at_least=True)
    if "plain" in played:
        overhead = {
            kind: paired(times(ours, kind), times(played["plain"], kind)).median - 1 for kind in ("seconds", "cpu")
        }
        found["targets"]["gate + PET overhead"] = verdict(overhead["seconds"], OVERHEAD, at_least=False)
        found["targets"]["gate + PET overhead, processor time"] = verdict(overhead["cpu"], OVERHEAD, at_least=False)
    return found


def times(contestant: Contestant, kind: str = "seconds") -> list[float]:
    return [s[kind] for s in contestant.steps]


def text(found: dict[str, Any]) -> str:
    lines = [machine.line(found["machine"])]
    for case in found["cases"]:
        lines += ["", f"{case['case']}: {case['parameters']:,} parameters, {case['shape']}"]
        lines += [f"{case['rounds']} rounds in turn, {found['threads']} threads, load {case['load']}"]
        lines += [f"  {'':<12} {'tokens/s':>9} {'s/step':>8} {'cpu s':>7} {'peak MB':>8}   so8t's speed, by cpu s"]
        for name, c in case["contestants"].items():
            ratios = [case.get(kind, {}).get(name) for kind in ("speed_over", "cpu_speed_over")]
            over = "   ".join(f"{r['median']:.3f} ({r['low']:.3f}-{r['high']:.3f})" for r in ratios if r)
            lines.append(
                f"  {name:<12} {c['tokens_per_second']:>9} {median(c['seconds']):>8.3f} {c['cpu_seconds']:>7.2f} "
                f"{c['peak_mb']:>8}   {over}"
            )
        for name, v in case.get("targets", {}).items():
            lines.append(f"  {name}: {v['value']:.3f}, target {v['target']}: {'met' if v['met'] else 'MISSED'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
