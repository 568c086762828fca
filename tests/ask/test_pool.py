"""Several servers as one: the least busy first, one that is down passed over, tried again after a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.ask.backend import FakeBackend, Piece
from so8t.ask.breaker import FAILURES, FIRST_SECONDS, LONGEST_SECONDS, Breaker
from so8t.ask.pool import Pool
from so8t.core.errors import BackendDown, BackendProtocol

DOWN = BackendDown(where="http://127.0.0.1:1")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pool(*backends: FakeBackend, clock: Clock | None = None) -> Pool:
    return Pool.of([(f"s{n}", backend) for n, backend in enumerate(backends)], clock or Clock())


def said(made: Pool) -> str:
    return asyncio.run(made.generate("x", 8)).text


def test_one_that_is_down_is_passed_over_and_then_left_alone() -> None:
    bad, good = FakeBackend(error=DOWN), FakeBackend(answer="はい")
    made = pool(bad, good)
    assert [said(made) for _ in range(20)] == ["はい"] * 20
    assert len(bad.prompts) == FAILURES and made.up() == {"s0": False, "s1": True}


def test_it_is_tried_again_after_a_pause_by_one_request() -> None:
    clock, bad = Clock(), FakeBackend(error=DOWN)
    made = pool(bad, FakeBackend(answer="はい"), clock=clock)
    for _ in range(20):
        said(made)
    clock.now += FIRST_SECONDS
    bad.error, bad.answer = None, "戻りました"
    assert {said(made) for _ in range(6)} == {"はい", "戻りました"} and made.up()["s0"]


def test_all_down_is_said_at_once() -> None:
    made = pool(FakeBackend(error=DOWN), FakeBackend(error=DOWN))
    for _ in range(10):
        with pytest.raises(BackendDown):
            said(made)
    with pytest.raises(BackendDown, match="s0, s1"):
        said(made)


def test_what_a_server_refuses_is_not_asked_elsewhere() -> None:
    other = FakeBackend()
    made = pool(FakeBackend(error=BackendProtocol(detail="context")), other)
    results = []
    for _ in range(4):
        try:
            results.append(said(made))
        except BackendProtocol:
            results.append("refused")
    assert results.count("refused") == 2 and all(made.up().values())


def test_load_is_spread() -> None:
    backends = [FakeBackend(answer=str(n)) for n in range(3)]
    made = pool(*backends)
    assert sorted(said(made) for _ in range(9)) == ["0"] * 3 + ["1"] * 3 + ["2"] * 3


def test_the_least_busy_is_asked() -> None:
    class Slow(FakeBackend):
        async def generate(self, *_: Any, **__: Any) -> Any:
            await asyncio.sleep(60)

    async def main() -> list[str]:
        made = pool(Slow(), FakeBackend(answer="空いています"))
        waiting = [asyncio.create_task(made.generate("x", 8)) for _ in range(2)]
        await asyncio.sleep(0)
        found = [(await made.generate("x", 8)).text for _ in range(5)]
        for task in waiting:
            task.cancel()
        return found

    assert asyncio.run(main()) == ["空いています"] * 5


class Half(FakeBackend):
    async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[Piece]:
        yield Piece("一つめ")
        raise DOWN


def streamed(made: Pool) -> list[str]:
    async def main() -> list[str]:
        return [piece.text async for piece in made.stream("x", 8)]

    return asyncio.run(main())


def test_a_stream_moves_on_only_before_its_first_piece() -> None:
    assert "".join(streamed(pool(FakeBackend(error=DOWN), FakeBackend(answer="はい")))) == "はい"
    with pytest.raises(BackendDown):
        streamed(pool(Half()))


def test_a_reader_who_leaves_is_no_failure() -> None:
    async def main(made: Pool) -> None:
        pieces = made.stream("x", 8)
        async for _ in pieces:
            break
        await pieces.aclose()

    made = pool(FakeBackend(answer="長い答えです"))
    for _ in range(FAILURES + 1):
        asyncio.run(main(made))
    assert made.up() == {"s0": True} and made.replicas[0].busy == 0


def test_health_checks_bring_one_back_without_a_request() -> None:
    async def main() -> None:
        clock, bad = Clock(), FakeBackend(error=DOWN)
        made = pool(bad, FakeBackend(), clock=clock)
        made.seconds_between_checks = 0.0
        watching = asyncio.create_task(made.watch())
        for _ in range(10):
            await made.generate("x", 8)
            await asyncio.sleep(0)
        assert made.up() == {"s0": False, "s1": True}
        bad.error = None
        clock.now += FIRST_SECONDS
        for _ in range(10):
            await asyncio.sleep(0)
        assert made.up() == {"s0": True, "s1": True}
        watching.cancel()

    asyncio.run(main())


@given(st.lists(st.sampled_from(["ask", "fail", "succeed", "wait"]), max_size=60))
def test_a_breaker_never_lets_two_try_and_never_waits_too_long(steps: list[str]) -> None:
    clock = Clock()
    breaker, out = Breaker(clock), 0
    for step in steps:
        if step == "ask" and breaker.may_pass():
            out += 1
            assert not breaker.is_open or out >= 1
        elif step == "fail":
            breaker.failed()
            assert not breaker.is_open or not breaker.may_pass()
        elif step == "succeed":
            breaker.succeeded()
            assert breaker.may_pass()
        else:
            clock.now += LONGEST_SECONDS
    breaker.released()
    clock.now += LONGEST_SECONDS
    assert breaker.may_pass()
    if breaker.is_open:
        assert not breaker.may_pass()  # one is trying


def test_a_server_that_hangs_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP: connections are taken and nothing comes; only the look at its health can tell."""
    monkeypatch.setattr("so8t.ask.pool.LOOK_SECONDS", 0.01)

    class Hung(FakeBackend):
        async def alive(self) -> bool:
            await asyncio.sleep(60)
            return True

    async def main() -> dict[str, bool]:
        made = pool(Hung(), FakeBackend())
        made.seconds_between_checks = 0.0
        watching = asyncio.create_task(made.watch())
        await asyncio.sleep(0.2)
        watching.cancel()
        return made.up()

    assert asyncio.run(main()) == {"s0": False, "s1": True}
