"""What vectors add to the full text: questions in a paragraph's own words, and in others (benchmarks/search).

    python benchmarks/search_meaning.py --model F.gguf [--paragraphs 400]

The paragraphs of the package's corpus are the documents: those the questions ask for, and others up to --paragraphs.
Vectors are those of a GGUF in llama.cpp (mean over its tokens), as the office's own upstream makes them. recall@5: how
often the right paragraph is among the first five. "words": as without vectors; "near": vectors alone; "both": as with
serve.search.vectors, where the meaning is asked only when no document has all the words.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
import tempfile
import time
from pathlib import Path

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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="GGUF")
    parser.add_argument("--paragraphs", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measured(Path(folder), options.model, options.paragraphs))


def corpus(count: int, wanted: set[str]) -> dict[str, str]:
    """id -> text: those wanted, then others evenly over the fields."""
    paths = sorted(Path(str(packaged("corpus"))).glob("*.jsonl"))
    texts = {r["id"]: r["text"] for path in paths for _, r in read_jsonl(path)}
    others = [id for id in texts if id not in wanted]
    step = max(1, len(others) // max(1, count - len(wanted)))
    kept = {*wanted, *others[::step][: count - len(wanted)]}
    return {id: text for id, text in texts.items() if id in kept}


async def measured(folder: Path, model: Path, count: int) -> int:
    here = Path(__file__).parent / "search" / "questions.jsonl"
    questions = [json.loads(line) for line in here.read_text(encoding="utf-8").splitlines()]
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
        for kind in ("same", "other"):
            pointed = [(await backend.embed([q[kind]]))[0] for q in questions]
            show(store, kind, questions, pointed)
        await backend.close()
    return 0


def show(store: IndexStore, kind: str, questions: list[dict[str, str]], pointed: list[list[float]]) -> None:
    right = dict.fromkeys(("words", "near", "both"), 0)
    for question, vector in zip(questions, pointed, strict=True):
        name = f"{question['id']}.txt"
        words = search(store, question[kind], LEVEL, most=FIRST)
        both = search(store, question[kind], LEVEL, most=FIRST, vector=vector)
        near = vectors.nearest(store, vector, 0, None, FIRST)
        places = [read[1].place for one in near if (read := store.part(one.part, 0)) is not None]
        right["words"] += name in [hit.place for hit in words.hits]
        right["near"] += name in places
        right["both"] += name in [hit.place for hit in both.hits]
    print(f"{kind}: " + "  ".join(f"{how} {n / len(questions):.2f}" for how, n in right.items()))


if __name__ == "__main__":
    sys.exit(main())
