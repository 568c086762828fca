"""Indexing and searching many office documents: ours, SQLite's own trigrams, and reading everything with ripgrep.

    python benchmarks/search_speed.py [--documents 10000] [--megabytes 200]

The documents are made of the package's own paragraphs, put together at random, in plain text, four levels mixed. Each
question is a substring of two to eight characters taken from the documents, so what must be found is known: every
document that holds it. ripgrep is measured where it is installed. Times are wall clock on this machine, in one run.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from so8t.core.files import read_jsonl
from so8t.core.packaged import packaged, policy_text
from so8t.core.progress import Progress
from so8t.core.serve_config import SearchConfig, SearchFolder
from so8t.decide.policy import parse_policy
from so8t.operate.search.folders import folders_of
from so8t.operate.search.grams import matched
from so8t.operate.search.indexing import update
from so8t.operate.search.searching import search
from so8t.operate.search.store import IndexStore

POLICY = parse_policy(*policy_text("demo"))
LEVELS = POLICY.levels.names
QUESTIONS = 200


def documents(root: Path, count: int, megabytes: float, seed: int = 8) -> dict[str, str]:
    """Name -> text as written; every text starts with a heading that no other has."""
    corpus = packaged("corpus")
    paragraphs = [r["text"] for path in sorted(Path(str(corpus)).glob("*.jsonl")) for _, r in read_jsonl(path)]
    generator, written = random.Random(seed), {}
    average = megabytes * 1e6 / count
    for n in range(count):
        level, size, parts = LEVELS[n % len(LEVELS)], 0, [f"文書 {n:06d} 番"]
        target = generator.expovariate(1 / average)
        while size < target:
            parts.append(generator.choice(paragraphs))
            size += len(parts[-1].encode())
        path = root / level / f"{n // 500:03d}" / f"{n:06d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        written[str(path)] = "\n\n".join(parts)
        path.write_text(written[str(path)], encoding="utf-8")
    return written


def questions(texts: Sequence[str], seed: int = 9) -> list[str]:
    generator, found = random.Random(seed), set[str]()
    while len(found) < QUESTIONS:
        text = matched(generator.choice(texts))
        start, length = generator.randrange(max(1, len(text) - 10)), generator.randint(2, 8)
        if len(piece := text[start : start + length]) == length:
            found.add(piece)
    return sorted(found)


def trigrams(texts: dict[str, str], path: Path) -> tuple[apsw.Connection, list[str], float]:
    """A plain FTS5 table with the tokenizer trigram, of the same normal form."""
    db = apsw.Connection(str(path))
    db.execute("CREATE VIRTUAL TABLE t USING fts5(text, content='', tokenize='trigram')")
    names, begin = list(texts), time.perf_counter()
    with db:
        for n, name in enumerate(names):
            db.execute("INSERT INTO t(rowid, text) VALUES(?, ?)", (n, matched(texts[name])))
    return db, names, time.perf_counter() - begin


Finds = Callable[[str], set[str]]


def measured(name: str, finds: Finds, asked: Sequence[str], truth: Sequence[set[str]]) -> str:
    times, hit, told, wanted = [], 0, 0, 0
    for question, true in zip(asked, truth, strict=True):
        begin = time.perf_counter()
        found = finds(question)
        times.append((time.perf_counter() - begin) * 1e3)
        hit, told, wanted = hit + len(found & true), told + len(found), wanted + len(true)
    times.sort()
    precision = f"{hit / told:.3f}" if told else "-"
    return (
        f"| {name} | {hit / wanted:.3f} | {precision} | {statistics.median(times):.1f} | "
        f"{times[len(times) * 95 // 100]:.1f} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--megabytes", type=float, default=200.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), options.documents, options.megabytes)
    return 0


def run(folder: Path, count: int, megabytes: float) -> None:
    root = folder / "files"
    texts = documents(root, count, megabytes)
    size = sum(len(t.encode()) for t in texts.values()) / 1e6
    config = SearchConfig(folders=tuple(SearchFolder(str(root / level), level, level) for level in LEVELS))
    store = IndexStore(folder / "index.db", LEVELS, write=True)
    folders, quiet = folders_of(config, POLICY), Progress(stream=io.StringIO())
    report = update(store, folders, POLICY, quiet)
    disk = (folder / "index.db").stat().st_size / 1e6
    print(f"{report.read:,} documents, {size:.0f} MB of text: indexed in {report.seconds:.0f} s, index {disk:.0f} MB")
    print(f"nothing changed: looked through in {update(store, folders, POLICY, quiet).seconds:.2f} s")
    one = Path(next(iter(texts)))
    one.write_text("一つだけ直した文書です。", encoding="utf-8")
    print(f"one file changed: {update(store, folders, POLICY, quiet, [one]).seconds:.3f} s")
    one.write_text(texts[str(one)], encoding="utf-8")
    update(store, folders, POLICY, quiet, [one])
    asked = questions(list(texts.values()))
    plain = {name: matched(text) for name, text in texts.items()}
    truth = [{name for name, text in plain.items() if question in text} for question in asked]
    db, names, seconds = trigrams(texts, folder / "trigrams.db")
    print(f"trigrams: indexed in {seconds:.0f} s (from memory), {(folder / 'trigrams.db').stat().st_size / 1e6:.0f} MB")
    print("\n| | recall | precision | p50 ms | p95 ms |\n|---|--:|--:|--:|--:|")
    total = len(texts)
    print(measured("so8t, all documents", lambda q: everything(store, q, total), asked, truth))
    print(measured("SQLite trigrams", lambda q: by_trigrams(db, names, q), asked, truth))
    if shutil.which("rg"):
        few = asked[:20]
        print(measured("ripgrep (20 questions)", lambda q: by_ripgrep(root, q), few, truth[:20]))
    times = []
    for question in asked:
        for clearance in LEVELS:
            begin = time.perf_counter()
            search(store, question, clearance)
            times.append((time.perf_counter() - begin) * 1e3)
    times.sort()
    print(f"\nten best with passages, any clearance: p50 {statistics.median(times):.1f} ms, "
          f"p95 {times[len(times) * 95 // 100]:.1f} ms")  # fmt: skip
    store.close()


def everything(store: IndexStore, question: str, most: int) -> set[str]:
    from so8t.operate.search.grams import phrase

    found, _ = store.find(phrase(question), len(LEVELS) - 1, None, most)
    marks = ",".join(str(f.id) for f in found)
    rows = store.db.execute(f"SELECT files.path FROM parts JOIN files ON files.id = file WHERE parts.id IN ({marks})")
    return {path for (path,) in rows}


def by_trigrams(db: apsw.Connection, names: Sequence[str], question: str) -> set[str]:
    quoted = '"' + question.replace('"', '""') + '"'
    return {names[n] for (n,) in db.execute("SELECT rowid FROM t WHERE t MATCH ?", (quoted,))}


def by_ripgrep(root: Path, question: str) -> set[str]:
    done = subprocess.run(["rg", "-l", "-F", "-i", "--", question, str(root)], capture_output=True, text=True)
    return set(done.stdout.splitlines())


if __name__ == "__main__":
    sys.exit(main())
