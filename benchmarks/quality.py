"""How much good text each scorer keeps and how much junk it passes, by kind, on the frozen set of quality_set.py.

    python3 benchmarks/quality.py --wikipedia FILE.jsonl.gz --debian DIR [--half test] [--hojichar PYTHON]

--half unseen: 165 junk texts and 70 good ones that look like junk (data/unseen.jsonl), written after the scorer was
finished and never used for it; needs no other texts.

so8t and plan at the threshold 0.7; HojiChar's chain of data_speed.py (PYTHON must have `hojichar`). A table for
docs/results/data.md, and JSON with --json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import data_speed
import quality_set

from so8t.build.data.quality import plan_score, score_many
from so8t.build.data.signatures import shingle_hashes
from so8t.core.text import clean
from so8t.decide.codes import encode, encode_folded
from so8t.decide.linear import LONGEST, grams

THRESHOLD = 0.7
UNSEEN = Path(__file__).resolve().parent / "data" / "unseen.jsonl"


def ours(texts: list[str]) -> list[bool]:
    cleaned = [clean(text) for text in texts]  # not repaired: mojibake that can be turned back is no junk any more
    folded = encode_folded(cleaned)
    found = score_many(cleaned, encode(cleaned), shingle_hashes(folded), grams(folded, LONGEST))
    return [bool(v >= THRESHOLD) for v in found.value]


def hojichar(python: str, texts: list[str], adult: str) -> list[bool]:
    """One JSON line a text; what comes out again was kept."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        lines = (json.dumps({"text": t, "n": n}, ensure_ascii=False) for n, t in enumerate(texts))
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        script = data_speed.HOJICHAR.replace("F.JSONDumper()", "F.JSONDumper(dump_reason=False, export_extras=True)")
        script = script.replace('F.JSONLoader(key="text")', 'F.JSONLoader(key="text", extra_keys=["n"])')
        subprocess.run([python, "-c", script, str(source), str(target), adult], check=True, capture_output=True)
        kept = set()
        for line in target.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            kept.add(row["n"] if "n" in row else row["extras"]["n"])
    return [n in kept for n in range(len(texts))]


def unseen() -> list[quality_set.Labelled]:
    lines = UNSEEN.read_text(encoding="utf-8").splitlines()
    return [quality_set.Labelled(row["kind"], row["text"], row["id"]) for row in map(json.loads, lines)]


def labelled(options: argparse.Namespace) -> list[quality_set.Labelled]:
    return [r for r in quality_set.load(options.wikipedia, options.debian) if r.half == options.half]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    quality_set.source_options(parser)
    parser.add_argument("--half", choices=("dev", "test", "unseen"), default="dev")
    parser.add_argument("--hojichar", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = unseen() if options.half == "unseen" else labelled(options)
    texts = [row.text for row in rows]
    kept = {"so8t": ours(texts), "plan": [plan_score(t) >= THRESHOLD for t in texts]}
    if options.hojichar:
        kept["HojiChar"] = hojichar(options.hojichar, texts, "adult")
        kept["HojiChar without adult regex"] = hojichar(options.hojichar, texts, "")
    kinds = sorted({row.kind for row in rows}, key=lambda k: (k not in quality_set.GOOD, k))
    table = {
        kind: {"texts": sum(r.kind == kind for r in rows)}
        | {n: sum(k for r, k in zip(rows, v, strict=True) if r.kind == kind) for n, v in kept.items()}
        for kind in kinds
    }
    for name, wanted in (("good together", True), ("junk together", False)):
        members = [table[kind] for kind in kinds if (kind in quality_set.GOOD) == wanted]
        table[name] = {key: sum(m[key] for m in members) for key in members[0]}
    if options.json:
        print(json.dumps(table, ensure_ascii=False, indent=1))
        return
    print(f"| kind ({options.half} half) | texts | " + " | ".join(f"{n} keeps" for n in kept) + " |")
    print("|---|---:|" + "---:|" * len(kept))
    for kind, row in table.items():
        print(f"| {kind} | {row['texts']} | " + " | ".join(f"{row[n] / row['texts']:.1%}" for n in kept) + " |")


if __name__ == "__main__":
    main()
