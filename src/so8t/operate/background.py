"""Work that goes on beside the requests: what breaks it is logged, and it is taken up again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

PAUSE_SECONDS = 5.0
logger = logging.getLogger("so8t.serve")


@asynccontextmanager
async def beside(works: Sequence[Callable[[], Awaitable[Any]]]) -> AsyncIterator[None]:
    """All of them run for the time of the block."""
    tasks = [asyncio.create_task(_kept_going(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _kept_going(work: Callable[[], Awaitable[Any]]) -> None:
    while True:
        try:
            await work()
        except Exception as error:
            logger.warning("%s broke off (%s), again in %g s", work, type(error).__name__, PAUSE_SECONDS)
        await asyncio.sleep(PAUSE_SECONDS)
