"""Peak memory of the collect stage as the corpus grows tenfold: it should not.

    python3 benchmarks/data_memory.py --texts FILE.jsonl.gz [--documents 10000 30000 100000 300000]

Each size runs in a process of its own; the texts are those of data_speed.py, repeated with numbered changes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import data_speed


def one(texts: Path, count: int) -> None:
    base = data_speed.documents(texts, 1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "documents.jsonl")
        with file.open("w", encoding="utf-8") as f:
            for n in range(count):  # a number every few sentences: no two documents are near duplicates
                text = base[n % len(base)].replace("。", f"({n}番)。")
                f.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        base.clear()
        seconds, _ = data_speed.ours(file, 1, longest=800)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"documents": count, "peak_mb": round(peak), "seconds": round(seconds, 1)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 30_000, 100_000, 300_000])
    parser.add_argument("--one", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.texts, options.one)
        return
    for count in options.documents:
        command = [sys.executable, __file__, "--texts", str(options.texts), "--one", str(count)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
