"""How fast the readers of documents/ are, and how often an encoding is told right, beside charset-normalizer.

    python3 benchmarks/readers.py --texts FILE.jsonl.gz

--texts: JSON lines with title and text. Files of about 20 MB are made from them and read three times; the best time
counts.
charset-normalizer is measured where it is installed.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import platform
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import zstandard

from so8t.documents.document import Document
from so8t.documents.encoding import detect
from so8t.documents.read import read

SIZE = 20_000_000
ENCODINGS = ("utf-8", "cp932", "euc_jp", "iso2022_jp")
LENGTHS = (10, 50, 200, 2000)
SAMPLES = 100
DUMP = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">\n{}</mediawiki>'
TEXT = "== 節 ==\n{1}[[リンク|語]]{{{{出典|x}}}}"
PAGE = f"<page><title>{{0}}</title><ns>0</ns><revision><text>{TEXT}</text></revision></page>\n"


def files(rows: list[dict[str, str]], folder: Path) -> dict[str, Path]:
    texts = [row["text"] for row in rows]
    many = (texts * (SIZE // sum(len(t.encode()) for t in texts) + 1))[: len(texts) * 2]
    lines = "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in many).encode()
    pages = "".join(PAGE.format(html.escape(r["title"]), html.escape(r["text"])) for r in rows)
    page = "<html><body><nav><a href=x>戻る</a></nav>" + "".join(f"<p>{html.escape(t)}</p>" for t in many[:4000])
    contents = {
        "a.jsonl": lines, "a.jsonl.gz": gzip.compress(lines, 6), "a.jsonl.zst": zstandard.compress(lines),
        "a.txt": "\n\n".join(many).encode(), "a.xml": DUMP.format(pages).encode(), "a.html": page.encode(),
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def seconds(path: Path) -> tuple[float, int, int]:
    """(best of three, documents, bytes of their text)"""
    best = float("inf")
    found: list[Document] = []
    for _ in range(3):
        begin = time.perf_counter()
        found = [item for item in read(path) if isinstance(item, Document)]
        best = min(best, time.perf_counter() - begin)
    return best, len(found), sum(len(d.text.encode()) for d in found)


def right(texts: list[str], guess: Callable[[bytes], str | None]) -> dict[str, dict[int, float]]:
    """Share of samples that come back as they were, by encoding and length."""
    rng, table = random.Random(3), {}
    for encoding in ENCODINGS:
        table[encoding] = {}
        for length in LENGTHS:
            hits = 0
            for _ in range(SAMPLES):
                text = rng.choice(texts).encode(encoding, "ignore").decode(encoding)[:length]
                try:
                    hits += text.encode(encoding).decode(guess(text.encode(encoding)) or "ascii") == text
                except (UnicodeDecodeError, LookupError):
                    continue
            table[encoding][length] = hits / SAMPLES
    return table


def charset_normalizer() -> Callable[[bytes], str | None] | None:
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return None
    return lambda raw: best.encoding if (best := from_bytes(raw).best()) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True)
    options = parser.parse_args()
    with gzip.open(options.texts, "rt", encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    with tempfile.TemporaryDirectory() as folder:
        speed = {}
        for name, path in files(rows, Path(folder)).items():
            best, count, size = seconds(path)
            speed[name] = {"documents_per_second": round(count / best), "text_mb_per_second": round(size / best / 1e6)}
    texts = [("".join(r["text"].split()) * 6)[:2400] for r in rows if len(r["text"]) > 400]
    found = {"so8t": right(texts, detect)}
    if other := charset_normalizer():
        found["charset-normalizer"] = right(texts, other)
    print(json.dumps({
        "speed": speed, "encodings_right": found, "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }, ensure_ascii=False, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
