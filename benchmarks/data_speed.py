"""Documents a second of the collect stage beside HojiChar's filters, on the same files, in turns, in one run.

    python3 benchmarks/data_speed.py --texts FILE.jsonl.gz [--hojichar PYTHON] [--rounds 5] [--copies 8]

--texts: JSON lines with `text` (any real Japanese); neighbours are joined to documents of about 1,000 characters.
One process against one process is compared by CPU time, which other users of the machine do not blur; two processes
against one by wall time, on `--copies` of the texts in other kanji, so that starting a process does not count.
--hojichar: a Python that has `hojichar` installed; without it only our own figures are shown. Its chain: JSONLoader,
DocumentNormalizer, DocumentLengthFilter, AcceptJapanese, DiscardRareKuten, DiscardBBSComments, DiscardAds,
DiscardAdultContentJa (or not), DiscardDiscriminationContentJa, DiscardViolenceContentJa, MaskPersonalInformation,
JSONDumper.

Ours: read, repair, split, quality, domain, exact and near duplicates, quotas, one JSON-lines file a domain, fsync.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("RAYON_NUM_THREADS", "1")  # one process means one thread
os.environ.setdefault("OMP_NUM_THREADS", "1")

LENGTH = 900
WHOLE = 4000  # characters: no document is split, as HojiChar splits none
HOJICHAR = """
import sys, time, importlib.metadata, hojichar
from hojichar import Compose, document_filters as F
adult = [F.DiscardAdultContentJa()] if sys.argv[3] == "adult" else []
chain = Compose([F.JSONLoader(key="text"), F.DocumentNormalizer(), F.DocumentLengthFilter(min_doc_len=100,
    max_doc_len=50000), F.AcceptJapanese(), F.DiscardRareKuten(), F.DiscardBBSComments(), F.DiscardAds(), *adult,
    F.DiscardDiscriminationContentJa(), F.DiscardViolenceContentJa(), F.MaskPersonalInformation(), F.JSONDumper()])
begin, cpu = time.perf_counter(), time.process_time()
with open(sys.argv[1], encoding="utf-8") as f, open(sys.argv[2], "w", encoding="utf-8") as out:
    for line in f:
        if text := chain(line):
            out.write(text + "\\n")
print(time.perf_counter() - begin, time.process_time() - cpu, importlib.metadata.version("hojichar"))
"""


def documents(path: Path, copies: int) -> list[str]:
    """Neighbouring texts joined to LENGTH characters and more, `copies` times in other kanji.

    A copy has every kanji exchanged for another, so that it runs like the original and duplicates nothing. One
    document in twenty is a near duplicate of its neighbour.
    """
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as f:
        originals = list(_joined([json.loads(line)["text"] for line in f]))
    rng = random.Random(8)
    kanji = sorted({c for text in originals for c in text if "\u4e00" <= c <= "\u9fff"})
    made = list(originals)
    for _ in range(copies - 1):
        others = rng.sample(kanji, len(kanji))
        table = {ord(a): b for a, b in zip(kanji, others, strict=True)}
        made += [text.translate(table) for text in originals]
    for i in rng.sample(range(1, len(made)), len(made) // 20):
        made[i] = made[i - 1].replace("。", "。\n", 1)[:-3]
    return made


def _joined(texts: list[str]) -> Iterator[str]:
    text = ""
    for piece in texts:
        text += piece + "\n"
        if len(text) > LENGTH:
            yield text
            text = ""


def ours(file: Path, processes: int, longest: int = WHOLE) -> tuple[float, float]:
    """(wall, CPU) seconds for all of it; the CPU time of worker processes is not counted."""
    # Imported here: worker processes import this module anew, and need none of it.
    from so8t.build.data.collect import gather_and_settle, recipe_of
    from so8t.build.data.sources import find_sources, units
    from so8t.core.config import CollectConfig, SourceConfig
    from so8t.core.packaged import packaged
    from so8t.core.progress import Progress
    from so8t.decide.domain import DomainModel

    config = CollectConfig((SourceConfig(str(file)),), maximum_samples=10**9, maximum_per_domain=0, longest=longest)
    recipe = recipe_of(config, DomainModel.from_bytes(packaged("models", "domain_model.npz").read_bytes()))
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silent:
        out, work = Path(folder, "out"), Path(folder, "work")
        out.mkdir(), work.mkdir()
        begin, cpu = time.perf_counter(), time.process_time()
        sources = find_sources(config.sources)
        gather_and_settle(config, sources, units(sources), recipe, out, work, processes, Progress(stream=silent))
        return time.perf_counter() - begin, time.process_time() - cpu


def hojichar(python: str, file: Path, adult: str) -> tuple[float, float, str]:
    """(wall, CPU) seconds, version."""
    with tempfile.NamedTemporaryFile() as out:
        command = [python, "-c", HOJICHAR, str(file), out.name, adult]
        wall, cpu, version = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return float(wall), float(cpu), version


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--hojichar", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=8, help="for two processes against one")
    options = parser.parse_args()
    cpu: dict[str, list[float]] = {}
    wall: dict[str, list[float]] = {}
    version = ""
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder, "few.jsonl"), Path(folder, "many.jsonl")
        counts = {file: write(file, documents(options.texts, n)) for file, n in ((few, 1), (many, options.copies))}
        ours(few, 1)  # warm the caches of the disk and of our tables
        for _ in range(options.rounds):
            for name, longest in (("so8t", WHOLE), ("so8t, split at 800", 800)):
                cpu.setdefault(name, []).append(ours(few, 1, longest)[1])
            if options.hojichar:
                for name, adult in (("HojiChar, 12 filters", "adult"), ("HojiChar without the adult regex", "")):
                    _, seconds, version = hojichar(options.hojichar, few, adult)
                    cpu.setdefault(name, []).append(seconds)
            for processes in (1, 2):
                wall.setdefault(str(processes), []).append(ours(many, processes)[0])
    print(json.dumps({
        "documents": counts[few][0], "mean_characters": counts[few][1],
        "documents_per_cpu_second": {name: round(counts[few][0] / statistics.median(s)) for name, s in cpu.items()},
        "so8t_is_faster_by": {
            name: round(statistics.median(b / a for a, b in zip(cpu["so8t"], s, strict=True)), 2)
            for name, s in cpu.items() if name != "so8t"
        },
        "documents_for_two_processes": counts[many][0],
        "documents_per_second_by_processes": {
            n: round(counts[many][0] / statistics.median(s)) for n, s in wall.items()
        },
        "two_processes_are_faster_by": round(
            statistics.median(a / b for a, b in zip(wall["1"], wall["2"], strict=True)), 2),
        "hojichar": version, "python": platform.python_version(), "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
    }, ensure_ascii=False, indent=1))  # fmt: skip


def write(file: Path, texts: list[str]) -> tuple[int, int]:
    """(how many, their mean length)"""
    file.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts), encoding="utf-8")
    return len(texts), round(sum(map(len, texts)) / len(texts))


if __name__ == "__main__":
    main()
