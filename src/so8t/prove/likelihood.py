"""Log-likelihood of given tokens under a GGUF, by llama.cpp itself (SPEC P6), in a child process: it may abort.

    python -m so8t.prove.likelihood MODEL.gguf TOKENS.json CONTEXT THREADS

TOKENS.json = a list of texts, each a list of token ids. Prints {"nll": [...], "tokens": [...]}: for each text the sum
of -ln p(token | all before it) in nats, and over how many tokens.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from so8t.core.errors import BackendDown, PackageMissing

PIECE = 256  # tokens decoded at once: their logits over a vocabulary of 200 000 take 205 MB
SECONDS = 7200.0


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of every text the negative log-likelihood in nats, and over how many tokens."""

    nll: tuple[float, ...]
    tokens: tuple[int, ...]


def likelihood(model: Path, texts: Sequence[Sequence[int]], context: int, threads: int) -> Likelihood:
    """Raises PackageMissing without cyllama, BackendDown with llama.cpp's last words when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokens.json"
        file.write_text(json.dumps([list(t) for t in texts]), encoding="utf-8")
        command = [sys.executable, "-m", __name__, str(model), str(file), str(context), str(threads)]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise BackendDown(where=model, detail=f"> {SECONDS:.0f} s") from error
    words = done.stderr.decode("utf-8", "replace").strip().splitlines()
    last = words[-1] if words else ""
    if "ModuleNotFoundError" in last:
        raise PackageMissing(detail="cyllama")
    try:
        found = json.loads(done.stdout)
        made = Likelihood(tuple(map(float, found["nll"])), tuple(map(int, found["tokens"])))
    except (ValueError, LookupError, TypeError) as error:
        raise BackendDown(where=model, detail=f"llama.cpp: exit {done.returncode} {last}") from error
    if done.returncode != 0 or len(made.nll) != len(texts) or not np.isfinite(made.nll).all():
        raise BackendDown(where=model, detail=f"llama.cpp: exit {done.returncode} {last}")
    return made


def main() -> None:
    model, file, context, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # llama.cpp prints to stdout; the parent must read nothing but the answer there
    texts = json.loads(Path(file).read_text(encoding="utf-8"))
    with answer:
        json.dump(_measure(model, texts, context, threads), answer)


def _measure(model: str, texts: Sequence[Sequence[int]], context: int, threads: int) -> dict[str, list[Any]]:
    import cyllama.llama.llama_cpp as llama

    class Model(llama.LlamaModel):  # type: ignore[misc]
        """cyllama 0.2.18 asks the model for the size of its vocabulary, which only the vocabulary knows."""

        @property
        def n_vocab(self) -> int:
            return int(self.get_vocab().n_vocab)

    llama.disable_logging()
    settings = llama.LlamaContextParams()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = context, PIECE, PIECE
    settings.n_threads = settings.n_threads_batch = threads
    loaded = Model(model, llama.LlamaModelParams())
    vocabulary = loaded.get_vocab()
    begin = [int(vocabulary.token_bos())] if vocabulary.get_add_bos() else []
    running = llama.LlamaContext(loaded, settings)
    rows = [_one(llama, running, begin + list(ids)) for ids in texts]
    return {"nll": [nll for nll, _ in rows], "tokens": [count for _, count in rows]}


def _one(llama: Any, running: Any, ids: list[int]) -> tuple[float, int]:
    """One text from an empty context; the first token has nothing before it and is not counted."""
    running.kv_cache_clear()
    total = 0.0
    for start in range(0, len(ids), PIECE):
        piece = ids[start : start + PIECE]
        batch = llama.LlamaBatch(n_tokens=len(piece), embd=0, n_seq_max=1)
        for offset, token in enumerate(piece):
            batch.add(token, start + offset, [0], True)
        running.decode(batch)
        for offset, following in enumerate(ids[start + 1 : start + len(piece) + 1]):
            total += surprise(np.array(running.get_logits_ith(offset), np.float64), following)
    return total, max(0, len(ids) - 1)


def surprise(logits: np.ndarray[Any, np.dtype[np.float64]], token: int) -> float:
    """-ln softmax(logits)[token] in nats."""
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum()) - logits[token])


if __name__ == "__main__":
    main()
