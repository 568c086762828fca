"""Peak memory and time of burn-in on a random model, beside what `so8t plan` says of it.

    python3 benchmarks/burnin_memory.py [--json] [--layers 12] [--prompts 20] [--tokens 96]

A Phi-3 shape of hidden 1024 (12 layers, vocabulary 32,064: 222 M parameters) in sharded bf16 with random LoRA and
gates. Streamed = as the stage does it, from folder to folder. In memory = the same fold and the same proof with base
and folded model held in fp32. Each in a process of its own, on one thread, less what was resident after the imports.
Memory-mapped pages of the files count. glibc keeps what was freed, so each child gives every block above 64 KiB back.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from training import memory as resident

from so8t.build.plan.architecture import Architecture
from so8t.build.plan.memory import burnin_moments
from so8t.core.config import BurnInConfig, TrainConfig

MIB = 2**20
TRAIN = TrainConfig()


def values(layers: int) -> dict[str, Any]:
    """config.json of the model."""
    return {
        "model_type": "phi3", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": layers,
        "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 32_064, "tie_word_embeddings": True,
        "max_position_embeddings": 1024, "sliding_window": None, "pad_token_id": 0, "bos_token_id": 0,
        "eos_token_id": 0,
    }  # fmt: skip


def make(base: Path, layers: int) -> None:
    """The base in shards of 100 MB, and an adapter beside it."""
    import torch
    from safetensors.torch import save_file
    from transformers import Phi3Config, Phi3ForCausalLM

    from so8t.build.model.attach import attach

    torch.manual_seed(0)
    model = Phi3ForCausalLM(Phi3Config(**values(layers))).to(torch.bfloat16)
    model.save_pretrained(base, max_shard_size="100MB")
    gated = attach(model, TRAIN.lora, TRAIN.gate)
    tensors = {name: torch.randn(p.shape) * 0.02 for name, p in gated.parameters().items()}
    save_file(tensors, base / "adapter" / "adapter.safetensors")


def prompts(count: int, tokens: int) -> list[list[int]]:
    return [[(7 * i + 31 * n) % 32_000 for i in range(tokens)] for n in range(count)]


def streamed(base: Path, config: BurnInConfig) -> list[Any]:
    from so8t.build.burnin.proof import prove
    from so8t.build.burnin.skeleton import gated_model, written_model
    from so8t.build.burnin.stage import write_folded
    from so8t.core.progress import Progress

    out = base / "folded"
    out.mkdir()
    model, weights = gated_model(base, base / "adapter" / "adapter.safetensors", TRAIN)
    error = write_folded(Progress(stream=io.StringIO()), model, weights, base, out)
    plain, written = written_model(out)
    return prove(model, plain, prompts(config.prompts, config.tokens), config, error, (weights, written))


def in_memory(base: Path, config: BurnInConfig) -> list[Any]:
    import torch
    from safetensors.torch import load_file

    from so8t.build.burnin.fold import fold
    from so8t.build.burnin.proof import prove
    from so8t.build.model.attach import attach
    from so8t.build.model.loading import load_causal
    from so8t.build.train.swa import copy_into

    model = attach(load_causal(base, torch.float32), TRAIN.lora, TRAIN.gate)
    copy_into(model.parameters(), load_file(base / "adapter" / "adapter.safetensors"))
    assert model.rotations is not None
    model.rotations.refresh()
    plain, error = fold(model)
    return prove(model, plain, prompts(config.prompts, config.tokens), config, error)


WAYS = {"streamed": streamed, "in memory": in_memory}


def child(way: str, base: Path, config: BurnInConfig) -> dict[str, Any]:
    """In a process of its own."""
    import torch
    import transformers.models.phi3.modeling_phi3  # noqa: F401 (so that the imports are not counted)

    import so8t.build.burnin.stage  # noqa: F401

    torch.set_num_threads(1)
    baseline, begin = resident.now(), time.process_time()
    resident.forget_peak()
    checks = WAYS[way](base, config)
    failed = [f"{c.name} {c.precision}" for c in checks if not c.passed]
    return {"bytes": resident.peak() - baseline, "seconds": time.process_time() - begin, "failed": failed}


def measured(way: str, base: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", way, "--base", str(base)]
    command += ["--prompts", str(options.prompts), "--tokens", str(options.tokens), "--layers", str(options.layers)]
    done = subprocess.run(command, env=os.environ | resident.GIVE_BACK, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return found


def compare(options: argparse.Namespace) -> dict[str, Any]:
    shape = Architecture.of(values(options.layers))
    moments = burnin_moments(shape, BurnInConfig(prompts=options.prompts, tokens=options.tokens), TRAIN.lora)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "adapter").mkdir()
        measured("make", base, options)
        for way in WAYS:
            found = measured(way, base, options)
            rows.append({"way": way, "mib": round(found["bytes"] / MIB), "seconds": round(found["seconds"], 1)})
            if found["failed"]:
                raise SystemExit(f"{way}: {found['failed']}")
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "safetensors")}
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.platform()}",
        "python": platform.python_version(), **versions, "parameters": shape.total,
        "estimate_mib": {name: round(size / MIB) for name, size in moments.items()}, "measured": rows,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, default=Path(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child == "make":
        make(options.base, options.layers)
        return
    if options.child:
        config = BurnInConfig(prompts=options.prompts, tokens=options.tokens)
        print(json.dumps(child(options.child, options.base, config)))
        return
    found = compare(options)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print("\n".join(f"{name}: {value}" for name, value in found.items() if name != "measured"))
    for row in found["measured"]:
        print(f"{row['way']:12} {row['mib']:6} MiB  {row['seconds']:7.1f} s of CPU")


if __name__ == "__main__":
    main()
