"""What a folded model costs beside its base: tokens a second of both GGUFs, and that their tensors are the same.

    python3 benchmarks/fold_overhead.py runs/tiny [--rounds 9] [--tokens 200] [--json]

Both folders are exported to F16 by our own exporter and answer the same prompts in turn, each from a server of its own
with one thread and made to write the same tokens.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import gguf
from training import machine
from training.ratios import paired

from so8t.ask.llamacpp_server import serve
from so8t.build.export.phi3 import export_f16

TOKEN = 300  # any one that is text
PROMPTS = ("本日の会議では", "資料をまとめると", "点検の手順は", "お客さまへの返事は")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    facts = machine.facts()
    with tempfile.TemporaryDirectory() as place:
        files = {name: Path(place) / f"{name}.gguf" for name in ("base", "folded")}
        export_f16(options.run / "base" / "model", files["base"], "base")
        export_f16(options.run / "burnin" / "model", files["folded"], "folded")
        layouts = [layout(file) for file in files.values()]
        with serve(files["base"], 1024) as base, serve(files["folded"], 1024) as folded:
            rates = race({"base": base, "folded": folded}, options.rounds, options.tokens)
    ratio = paired(rates["folded"], rates["base"])
    found = {
        "machine": facts, "tensors": len(layouts[0]), "identical": layouts[0] == layouts[1],
        "tokens_per_second": {n: round(sorted(r)[len(r) // 2], 1) for n, r in rates.items()},
        "folded_over_base": ratio.to_json(),
    }  # fmt: skip
    print(json.dumps(found, ensure_ascii=False) if options.json else text(found, str(ratio)))


def layout(file: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and type of every tensor."""
    return [(t.name, tuple(map(int, t.shape)), t.tensor_type.name) for t in gguf.GGUFReader(file).tensors]


def race(addresses: dict[str, str], rounds: int, tokens: int) -> dict[str, list[float]]:
    """Tokens a second of each, round by round, the first to go changing with the round."""
    rates: dict[str, list[float]] = {name: [] for name in addresses}
    for number in range(-1, rounds):  # the first warms up
        order = list(addresses) if number % 2 else list(addresses)[::-1]
        for name in order:
            rate = written(addresses[name], tokens)
            if number >= 0:
                rates[name].append(rate)
    return rates


def written(address: str, tokens: int) -> float:
    """Tokens a second by llama.cpp's own timing."""
    seconds = 0.0
    for prompt in PROMPTS:
        body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        body["logit_bias"] = [[TOKEN, 1e4]]  # both write the same: turning tokens into text takes time as well
        request = urllib.request.Request(address + "/completion", json.dumps(body).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
            found = json.load(answer)
        if found["tokens_predicted"] != tokens:
            raise SystemExit(f"{address}: {found['tokens_predicted']} of {tokens} tokens")
        seconds += found["timings"]["predicted_ms"] / 1000
    return tokens * len(PROMPTS) / seconds


def text(found: dict[str, Any], ratio: str) -> str:
    rates = found["tokens_per_second"]
    return "\n".join(
        [
            machine.line(found["machine"]),
            f"{found['tensors']} tensors, names, shapes and types {'identical' if found['identical'] else 'DIFFERENT'}",
            f"tokens a second: base {rates['base']}, folded {rates['folded']}; folded / base {ratio}",
        ]
    )


if __name__ == "__main__":
    main()
