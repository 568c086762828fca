"""What vectors add to the full text: questions in a paragraph's own words, and in others (benchmarks/search).

    python benchmarks/search_meaning.py --model F.gguf [--paragraphs 400]

The paragraphs of the package's corpus are the documents: those the questions ask for, and others up to --paragraphs.
Vectors are those of a GGUF in llama.cpp (mean over its tokens), as the office's own upstream makes them. recall@5: how
often the right paragraph is among the first five. "words": as without vectors; "near": vectors alone; "both": as with
serve.search.vectors, where the meaning is asked only when no document has all the words.

Then, whether a least nearness would tell questions about nothing in the documents (nothing.jsonl) from those that find
their paragraph by meaning. Three measures of the nearest: its cosine; how many standard deviations it lies above the
mean of all; how far it lies above the mean of the next twenty. The least value of each is the one that loses LOST of
the right finds of the dev half; shown is what it does in the half of --split: lost = right finds gone; far = questions
about nothing whose nearest is too far; silent = of those, what words do not find anything for either.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.core.files import read_jsonl
from so8t.core.packaged import packaged, policy_text
from so8t.core.progress import Progress
from so8t.core.serve_config import SearchConfig, SearchFolder
from so8t.decide.policy import parse_policy
from so8t.operate.search import vectors
from so8t.operate.search.folders import folders_of
from so8t.operate.search.indexing import update
from so8t.operate.search.searching import search
from so8t.operate.search.store import IndexStore

POLICY = parse_policy(*policy_text("demo"))
LEVEL = POLICY.levels.names[0]
FIRST = 5
CONTEXT = 1024
LOST = (0.02, 0.05, 0.1)
MEASURES = ("cosine", "deviations", "above next")
Questions = list[dict[str, str]]
Vectors = list[list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="GGUF")
    parser.add_argument("--paragraphs", type=int, default=400)
    parser.add_argument("--split", choices=("dev", "test"), default="dev", help="where a least nearness is shown")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measured(Path(folder), options.model, options.paragraphs, options.split))


def corpus(count: int, wanted: set[str]) -> dict[str, str]:
    """id -> text: those wanted, then others evenly over the fields."""
    paths = sorted(Path(str(packaged("corpus"))).glob("*.jsonl"))
    texts = {r["id"]: r["text"] for path in paths for _, r in read_jsonl(path)}
    others = [id for id in texts if id not in wanted]
    step = max(1, len(others) // max(1, count - len(wanted)))
    kept = {*wanted, *others[::step][: count - len(wanted)]}
    return {id: text for id, text in texts.items() if id in kept}


def questions_of(name: str) -> Questions:
    text = (Path(__file__).parent / "search" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


async def measured(folder: Path, model: Path, count: int, split: str) -> int:
    questions, nothing = questions_of("questions.jsonl"), questions_of("nothing.jsonl")
    documents = folder / "documents"
    documents.mkdir()
    for id, text in corpus(count, {q["id"] for q in questions}).items():
        (documents / f"{id}.txt").write_text(text, encoding="utf-8")
    config = SearchConfig(str(folder / "index.db"), folders=(SearchFolder(str(documents), "d", LEVEL),))
    store = IndexStore(Path(config.index), POLICY.levels.names, write=True)
    update(store, folders_of(config, POLICY), POLICY, Progress(stream=io.StringIO()))
    vectors.loaded(store)
    vectors.prepare(store, [1.0, 0.0])
    with serve(model, CONTEXT, threads=2, embeddings=True) as address:
        backend = LlamaCpp(address)
        begin, passages = time.perf_counter(), 0
        while waiting := vectors.waiting(store):
            vectors.put(store, waiting, await backend.embed([one.text for one in waiting]))
            passages += len(waiting)
        seconds = time.perf_counter() - begin
        print(f"{passages} passages in {seconds:.0f} s ({passages / seconds:.1f} a second)")
        pointed = {}
        for kind in ("same", "other"):
            pointed[kind] = [(await backend.embed([q[kind]]))[0] for q in questions]
            show(store, kind, questions, pointed[kind])
        unanswered = [(await backend.embed([q["query"]]))[0] for q in nothing]
        await backend.close()
    least_nearness(store, questions, pointed, nothing, unanswered, split)
    return 0


def least_nearness(
    store: IndexStore, questions: Questions, pointed: dict[str, Vectors], nothing: Questions, unanswered: Vectors,
    split: str,
) -> None:  # fmt: skip
    right = {half: right_finds(store, questions, pointed, half) for half in ("dev", "test")}
    here = [(q["query"], v) for q, v in zip(nothing, unanswered, strict=True) if q["split"] == split]
    wrong = np.array([nearness(store, vector) for _, vector in here])
    wordless = np.array([not search(store, query, LEVEL, most=FIRST).hits for query, _ in here])
    print(
        f"{split}: {len(right[split])} right finds, {len(here)} about nothing, of them {wordless.sum()} without words"
    )
    for column, measure in enumerate(MEASURES):
        told = [f"area {area(right[split][:, column], wrong[:, column]):.2f}"]
        for lost in LOST:
            least = np.quantile(right["dev"][:, column], lost)
            gone, far = (right[split][:, column] < least).mean(), wrong[:, column] < least
            told.append(f">= {least:.3f}: lost {gone:.2f} far {far.mean():.2f} silent {(far & wordless).mean():.2f}")
        print(f"  {measure}: " + "  ".join(told))


def right_finds(store: IndexStore, questions: Questions, pointed: dict[str, Vectors], half: str) -> NDArray[np.float64]:
    """The nearness of each question whose paragraph is among the first by meaning; every second one is dev."""
    made = []
    for vectors_ in pointed.values():
        for number, (question, vector) in enumerate(zip(questions, vectors_, strict=True)):
            if (number % 2 == 0) == (half == "dev") and f"{question['id']}.txt" in near_places(store, vector):
                made.append(nearness(store, vector))
    return np.array(made)


def nearness(store: IndexStore, vector: Sequence[float]) -> tuple[float, float, float]:
    """In the order of MEASURES, of the nearest of all parts."""
    cosines = np.array([1.0 - one.distance for one in vectors.nearest(store, vector, 0, None, 1 << 20)])
    first = cosines[0]
    return float(first), float((first - cosines.mean()) / cosines.std()), float(first - cosines[1:21].mean())


def area(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> float:
    """How often a right find is nearer than a question about nothing: 0.5 tells nothing, 1 tells them apart."""
    return float(((right[:, None] > wrong) + 0.5 * (right[:, None] == wrong)).mean())


def near_places(store: IndexStore, vector: Sequence[float]) -> list[str]:
    near = vectors.nearest(store, vector, 0, None, FIRST)
    return [read[1].place for one in near if (read := store.part(one.part, 0)) is not None]


def show(store: IndexStore, kind: str, questions: Questions, pointed: Vectors) -> None:
    right = dict.fromkeys(("words", "near", "both"), 0)
    for question, vector in zip(questions, pointed, strict=True):
        name = f"{question['id']}.txt"
        words = search(store, question[kind], LEVEL, most=FIRST)
        both = search(store, question[kind], LEVEL, most=FIRST, vector=vector)
        right["words"] += name in [hit.place for hit in words.hits]
        right["near"] += name in near_places(store, vector)
        right["both"] += name in [hit.place for hit in both.hits]
    print(f"{kind}: " + "  ".join(f"{how} {n / len(questions):.2f}" for how, n in right.items()))


if __name__ == "__main__":
    sys.exit(main())
