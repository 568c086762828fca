"""How fast one running quantisation is: tokens a second read and written, requests a second, seconds to a verdict."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from so8t.ask.backend import Backend

WRITTEN = 64  # tokens
READ = 256
REPEATS, ENOUGH_SECONDS = 3, 2.0


async def written_per_second(backend: Backend) -> float:
    """Tokens a second of a greedy answer, the median of up to three."""
    rates, begin = [], time.perf_counter()
    for prompt in ("。", "本日", "資料")[:REPEATS]:
        made = await backend.generate(prompt, WRITTEN)
        rates.append(made.tokens / max(made.seconds, 1e-9))
        if time.perf_counter() - begin > ENOUGH_SECONDS:
            break
    return statistics.median(rates)


async def read_per_second(backend: Backend, texts: Sequence[str]) -> float | None:
    """Prompt tokens a second, the median of up to three prompts that begin differently: none is in the cache."""
    rates, begin = [], time.perf_counter()
    for prompt in prompts(texts):
        count = len(await backend.tokenize(prompt))
        start = time.perf_counter()
        await backend.generate(prompt, 1)
        rates.append(count / max(time.perf_counter() - start, 1e-9))
        if time.perf_counter() - begin > ENOUGH_SECONDS:
            break
    return statistics.median(rates) if rates else None


def prompts(texts: Sequence[str]) -> list[str]:
    """REPEATS prompts of about READ characters, each from texts of its own."""
    found = []
    for start in range(min(REPEATS, len(texts))):
        joined = "".join(texts[start::REPEATS])[:READ]
        if joined:
            found.append(joined)
    return found


def verdict_speed(seconds: Sequence[float], wall: float, concurrency: int) -> dict[str, Any]:
    """Of requests judged `concurrency` at a time in `wall` seconds: how many a second, and how long one took."""
    if not len(seconds) or wall <= 0:
        return {}
    p50, p95 = np.quantile(np.array(seconds, np.float64), [0.5, 0.95])
    return {
        "requests_per_second": round(len(seconds) / wall, 2),
        "p50": round(float(p50), 4),
        "p95": round(float(p95), 4),
        "slowest": round(float(max(seconds)), 4),
        "n": len(seconds),
        "concurrency": concurrency,
    }
