"""One at a time, in time, and never more waiting than may be."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from so8t.operate.intake.one_by_one import OneByOne
from so8t.operate.server.errors import Busy


def test_one_after_the_other() -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> int:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return 7

    async def main() -> list[int]:
        line = OneByOne(10.0)
        return await asyncio.gather(*(line.run(work, lambda: None) for _ in range(5)))

    assert asyncio.run(main()) == [7] * 5 and max(most) == 1


def test_too_many_are_told_so() -> None:
    async def main() -> list[object]:
        line = OneByOne(10.0, waiting=2)
        work = [line.run(lambda: time.sleep(0.2), lambda: None) for _ in range(4)]
        return await asyncio.gather(*work, return_exceptions=True)

    found = asyncio.run(main())
    assert sum(isinstance(one, Busy) for one in found) == 2


def test_what_takes_too_long_is_stopped() -> None:
    stopped = threading.Event()

    async def main() -> None:
        line = OneByOne(0.2)
        with pytest.raises(Busy, match="> 0"):
            await line.run(lambda: stopped.wait(10), stopped.set)
        assert await line.run(lambda: 3, lambda: None) == 3  # and the next one has his turn

    asyncio.run(main())
    assert stopped.is_set()


def test_an_asker_who_leaves_stops_it() -> None:
    stopped = threading.Event()

    async def main() -> None:
        task = asyncio.create_task(OneByOne(10.0).run(lambda: stopped.wait(10), stopped.set))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert stopped.is_set()


def test_what_breaks_is_told() -> None:
    def work() -> None:
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        asyncio.run(OneByOne(1.0).run(work, lambda: None))
