"""A verified bundle -> a running judge: the model server, the three judges, and in time the gateway over them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.core.bundle import Bundle, open_bundle
from so8t.core.files import read_json
from so8t.judge.triple import PROMPT, TripleJudge, load_triple, read_calibration

SLOTS = 2


@asynccontextmanager
async def running_judge(
    folder: Path, trusted_key: Path | None, *, allow_unproven: bool = False, threads: int = 1
) -> AsyncIterator[tuple[Bundle, TripleJudge]]:
    """Raises BundleBroken, SignatureInvalid, BundleUnproven before any model is started."""
    bundle = open_bundle(folder, trusted_key)
    if not allow_unproven:
        bundle.require_proof()
    prompt = read_json(folder / PROMPT)
    quantisation, context = str(prompt["deploy"]), int(prompt["context"])
    calibration = read_calibration(folder, quantisation)
    with serve(bundle.gguf(quantisation), context, slots=SLOTS, threads=threads) as address:
        backend = LlamaCpp(address)
        try:
            yield bundle, load_triple(folder, backend, calibration, bundle.payload_digest)
        finally:
            await backend.close()
