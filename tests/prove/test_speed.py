"""Speeds follow from the clock and from nothing else."""

from __future__ import annotations

import asyncio

from so8t.ask.backend import FakeBackend, Generation
from so8t.prove.speed import READ, REPEATS, prompts, read_per_second, verdict_speed, written_per_second


class Timed(FakeBackend):
    async def generate(self, prompt: str, maximum_tokens: int, stop: object = ()) -> Generation:
        self.prompts.append(prompt)
        return Generation("x", maximum_tokens, False, 0.5)


def test_written_tokens_a_second() -> None:
    assert asyncio.run(written_per_second(Timed())) == 128


def test_prompts_begin_differently_and_are_bounded() -> None:
    found = prompts([f"{n}番の文。" * 100 for n in range(7)])
    assert len(found) == REPEATS and len({p[:3] for p in found}) == REPEATS and all(len(p) == READ for p in found)
    assert prompts([]) == [] and prompts(["", "あ"]) == ["あ"]
    backend = Timed()
    speed = asyncio.run(read_per_second(backend, ["文" * 50, "章" * 50]))
    assert speed is not None and speed > 0 and len(backend.prompts) == 2
    assert asyncio.run(read_per_second(backend, [])) is None


def test_verdict_speed_by_hand() -> None:
    found = verdict_speed([0.1] * 18 + [0.2, 3.0], 2.0, 2)
    assert found["requests_per_second"] == 10 and found["p50"] == 0.1 and found["slowest"] == 3.0
    assert 0.1 < found["p95"] < 3.0 and (found["n"], found["concurrency"]) == (20, 2)
    assert verdict_speed([], 2.0, 2) == {}
