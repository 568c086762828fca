"""Training on a real card in Phi-4-mini's full shape: memory beside `so8t plan`, speed beside `plan --probe`, and what
gates and PET cost.

    python3 benchmarks/card_training.py --base /tmp/phi4 [--only phi4-mini-12gb phi4-mini-24gb] [--probe] [--json]
    python3 benchmarks/card_training.py --base /tmp/phi4 --make-only --tokenizer runs/tiny/base/model

The weights are random (7.2 GiB of bf16, written to --base once; with a tokenizer the folder is a base for `so8t run`).
Rows are full and no token is masked, which is the hardest case. Each case is a process of its own that may take no more
of the card than the profile's name says, less `plan`'s allowance for the driver, so "fits" is tried and not computed.

    <profile>        as it is shipped
    <profile>/nf4    the same with train.quantization changed (int8, nf4, none)

plain = the same training without rotations and PET, stepping in turn with it in the same process. It comes in when the
peak has been read, where the card holds two.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from training import machine
from training.ratios import paired

from so8t.build.plan.architecture import PHI4_MINI, Architecture
from so8t.build.plan.fit import CONTEXT, needed
from so8t.build.plan.memory import GIB, memory
from so8t.core.config import GateConfig, PetConfig, TrainConfig, load_config
from so8t.core.progress import Progress

CASES = (
    "phi4-mini-12gb", "phi4-mini-12gb/nf4", "phi4-mini-12gb/none", "phi4-mini-24gb", "phi4-mini-48gb",
    "phi4-mini-80gb",
)  # fmt: skip
WARM = 2
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, help="a folder whose tokenizer goes with the base")
    parser.add_argument("--make-only", action="store_true")
    parser.add_argument("--small", action="store_true", help="2 layers of width 256: does it run at all")
    parser.add_argument("--only", nargs="+", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--probe", action="store_true", help="what `plan --probe` says, beside: some minutes a case")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options)))
        return 0
    if not (options.base / "config.json").exists():
        make(options.base, options.tokenizer, options.small)
    if options.make_only:
        return 0
    found = {"machine": machine.facts() | card(), "rows": [row(name, options) for name in options.only]}
    print(json.dumps(found, indent=1) if options.json else text(found))
    return 0


def make(base: Path, tokenizer: Path | None, small: bool) -> None:
    """A random model in bf16 in Phi-4-mini's shape, made on the card where there is one."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    values = dict(PHI4_MINI)
    if small:
        values |= {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "vocab_size": 8192}
        values |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    if tokenizer is not None:
        end = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True).eos_token_id
        values |= {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end}
    elif small:
        values |= {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    torch.manual_seed(8)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        config = AutoConfig.for_model(values.pop("model_type"), **values)
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(base)
    if tokenizer is not None:
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            (base / name).write_bytes((tokenizer / name).read_bytes())


def card() -> Row:
    import torch

    if not torch.cuda.is_available():
        return {"card": "none"}
    properties = torch.cuda.get_device_properties(0)
    return {"card": properties.name, "card_gib": round(properties.total_memory / GIB, 1), "cuda": torch.version.cuda}


def row(name: str, options: argparse.Namespace) -> Row:
    """One case in its own process; a failure is a row too."""
    command = [sys.executable, __file__, "--base", str(options.base), "--child", name, "--rounds", str(options.rounds)]
    command += ["--probe"] if options.probe else []
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return {"case": name, "error": f"exit {done.returncode}"}
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def child(name: str, options: argparse.Namespace) -> Row:
    import torch

    profile, _, kind = name.partition("/")
    train = load_config(profile).train
    train = dataclasses.replace(train, quantization=cast(Any, kind) or train.quantization)
    shape = Architecture.of(json.loads((options.base / "config.json").read_text(encoding="utf-8")))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        train = dataclasses.replace(train, batch_size=1, accumulation=2, maximum_tokens=64)
    plan = memory(shape, train, "cuda" if device.type == "cuda" else "cpu")
    size = 0 if kind else int(profile.rsplit("-", 1)[1].removesuffix("gb"))  # in GiB; a variant has no card of its own
    whole = capped(device, size)
    found: Row = {"case": name, "card_limit_gib": size, "tokens_per_step": train.batch_size * train.accumulation}
    found["tokens_per_step"] *= train.maximum_tokens
    ours, losses = trainer(options.base, train, device), []
    seconds = [step(ours, n, device, losses) for n in range(WARM + options.rounds)][WARM:]
    found |= peaks(device) | {"plan_gib": plan.peak / GIB, "plan_card_gib": needed(plan.peak) / GIB}
    found |= {"pieces": ours.pieces}  # above 1: memory was short and micro-batches were cut
    found |= {"seconds_per_step": min(seconds), "first_loss": losses[0], "last_loss": losses[-1]}
    print(json.dumps(found), file=sys.stderr, flush=True)  # what follows takes as long again
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(1.0)
    if 2 * needed(plan.peak) < whole:
        plain = trainer(options.base, without(train), device)
        mine, theirs = in_turn(ours, plain, WARM + options.rounds, options.rounds, device)
        found["plain_over_so8t"] = paired(theirs, mine).to_json()
        del plain
    del ours
    if options.probe:
        found["probe_seconds_per_step"] = probed(shape, options.base, train, device)
    return found


def capped(device: Any, gib: int) -> float:
    """Let the process take so much of the card less the driver's share; returns the whole of it in bytes."""
    import torch

    if device.type != "cuda":
        return 64.0 * GIB
    total = float(torch.cuda.get_device_properties(device).total_memory)
    if gib and gib * GIB < total:
        torch.cuda.set_per_process_memory_fraction((gib * GIB - CONTEXT) / total)
    return total


def trainer(base: Path, train: TrainConfig, device: Any) -> Any:
    """The stage's own model and trainer on full rows of random tokens."""
    import torch

    from so8t.build.train.dataset import Encoded
    from so8t.build.train.ranks import Ranks
    from so8t.build.train.stage import load_gated
    from so8t.build.train.trainer import Trainer

    train = dataclasses.replace(train, packing=False, epochs=1.0, swa=dataclasses.replace(train.swa, start=0.0))
    quiet = Progress(stream=io.StringIO())
    ctx: Any = SimpleNamespace(config=SimpleNamespace(train=train), progress=quiet, adjust=lambda *said: None)
    gated = load_gated(ctx, base, device, Ranks())
    vocabulary, length = gated.causal.config.vocab_size, train.maximum_tokens
    made = torch.randint(1, vocabulary, (train.batch_size * train.accumulation * 64, length)).tolist()
    rows = [Encoded(tuple(ids), tuple(ids), (1.0,) * length) for ids in made]
    ready = Trainer(gated, rows, rows[:1], train, 0, Path(tempfile.mkdtemp(prefix="so8t-card-")), quiet, device)
    gated.train()
    return ready


def without(train: TrainConfig) -> TrainConfig:
    return dataclasses.replace(train, gate=GateConfig(enabled=False), pet=PetConfig(enabled=False))


def step(made: Any, number: int, device: Any, losses: list[float] | None = None) -> float:
    """Seconds of one optimizer step, until the card has finished it."""
    import torch

    begin = time.perf_counter()
    loss = float(made.step(number).loss)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    if losses is not None:
        losses.append(loss)
    return time.perf_counter() - begin


def in_turn(ours: Any, plain: Any, first: int, rounds: int, device: Any) -> tuple[list[float], list[float]]:
    for number in range(WARM):
        step(plain, number, device)
    mine, theirs = [], []
    for turn in range(rounds):
        mine.append(step(ours, first + turn, device))
        theirs.append(step(plain, WARM + turn, device))
    return mine, theirs


def peaks(device: Any) -> Row:
    """GiB: handed out at the peak, reserved by the allocator, and what the card shows as used by this process."""
    import torch

    if device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(device)
    handed, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    return {"peak_gib": handed / GIB, "reserved_gib": reserved / GIB, "used_gib": (total - free) / GIB}


def probed(shape: Architecture, base: Path, train: TrainConfig, device: Any) -> float:
    """What `so8t plan --probe` says of such a step."""
    from so8t.build.plan.probe import free_bytes, probe

    values = json.loads((base / "config.json").read_text(encoding="utf-8"))
    timing = probe(values, train, device, free_bytes(device))
    return timing.seconds(shape.layers, train.accumulation, train.batch_size * train.maximum_tokens)


def text(found: Row) -> str:
    lines = [machine.line(found["machine"]), f"card: {found['machine']['card']}", ""]
    lines.append("| case | peak GiB | plan | on the card | plan | pieces | s/step | tokens/s | --probe | gates + PET |")
    lines.append("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for r in found["rows"]:
        if "error" in r:
            lines.append(f"| {r['case']} | {r['error']} |")
            continue
        speed = r["tokens_per_step"] / r["seconds_per_step"]
        probe = r.get("probe_seconds_per_step", float("nan"))
        cost = r.get("plain_over_so8t")
        cells = [f"{r.get(n, float('nan')):.2f}" for n in ("peak_gib", "plan_gib", "used_gib", "plan_card_gib")]
        cells += [
            str(r["pieces"]),
            f"{r['seconds_per_step']:.2f}",
            f"{speed:,.0f}",
            f"{probe / r['seconds_per_step']:.2f} x",
        ]
        cells.append(f"{1 / cost['median'] - 1:+.1%}" if cost else "")
        lines.append(f"| {r['case']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
