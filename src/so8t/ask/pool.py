"""Several servers with the same model as one backend: the least busy answers, one that is down is passed over.

What only one server would have to say again is asked of another: a request that could not be sent, or broke before the
first piece came. What the server understood and refused (BackendProtocol) is not asked again elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from so8t.ask.backend import GREEDY, Generation, Piece, Sampling, Upstream
from so8t.ask.breaker import Breaker
from so8t.core.errors import BackendDown, BackendError

T = TypeVar("T")
LOOK_SECONDS = 5.0


@dataclass(slots=True)
class Replica:
    """One server of a pool, and how it is doing."""

    name: str
    backend: Upstream
    breaker: Breaker
    busy: int = 0
    served: int = 0
    failed: int = 0
    healthy: bool = True

    def back(self, name: str) -> None:
        """It was started again, and answers under this name."""
        self.name, self.healthy = name, True
        self.breaker.succeeded()


@dataclass(slots=True)
class Pool:
    """An Upstream over replicas. `seconds_between_checks`: how often all are asked whether they live (watch())."""

    replicas: tuple[Replica, ...]
    seconds_between_checks: float = 5.0
    _turn: int = field(default=0, repr=False)

    @classmethod
    def of(cls, backends: Sequence[tuple[str, Upstream]], clock: Callable[[], float] = time.monotonic) -> Pool:
        return cls(tuple(Replica(name, backend, Breaker(clock)) for name, backend in backends))

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        return await self._first(lambda b: b.label_scores(prompt, labels))

    async def generate(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> Generation:
        return await self._first(lambda b: b.generate(prompt, maximum_tokens, stop, sampling))

    async def stream(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> AsyncGenerator[Piece]:
        down: BackendError | None = None
        for replica in self._order():
            began = False
            try:
                with self._at_work(replica):
                    pieces = replica.backend.stream(prompt, maximum_tokens, stop, sampling)
                    async with contextlib.aclosing(pieces):
                        async for piece in pieces:
                            began = True
                            yield piece
                    return
            except BackendDown as error:
                if began:
                    raise
                down = error
        raise down or self._none_left()

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return await self._first(lambda b: b.embed(texts))

    async def tokenize(self, text: str) -> list[int]:
        return await self._first(lambda b: b.tokenize(text))

    async def alive(self) -> bool:
        return any([await replica.backend.alive() for replica in self.replicas])

    async def close(self) -> None:
        for replica in self.replicas:
            await replica.backend.close()

    def up(self) -> dict[str, bool]:
        """Which servers would be asked now, by name."""
        return {replica.name: replica.healthy and not replica.breaker.is_open for replica in self.replicas}

    async def watch(self) -> None:
        """Ask all replicas for ever whether they live; one that does not answer is passed over until it does."""
        while True:
            await asyncio.gather(*(_look_at(replica) for replica in self.replicas))
            await asyncio.sleep(self.seconds_between_checks)

    async def _first(self, ask: Callable[[Upstream], Awaitable[T]]) -> T:
        down: BackendError | None = None
        for replica in self._order():
            try:
                with self._at_work(replica):
                    return await ask(replica.backend)
            except BackendDown as error:
                down = error
        raise down or self._none_left()

    def _order(self) -> Iterator[Replica]:
        """Those that may be asked, the least busy first; of equals another one each time."""
        self._turn += 1
        count = len(self.replicas)
        turned = [self.replicas[(self._turn + i) % count] for i in range(count)]
        for replica in sorted(turned, key=lambda r: (not r.healthy, r.busy)):
            if replica.breaker.may_pass():
                yield replica

    @contextlib.contextmanager
    def _at_work(self, replica: Replica) -> Iterator[None]:
        """Only a server that could not be reached has failed; one that answered nonsense is there."""
        replica.busy += 1
        try:
            yield
        except BackendDown:
            replica.failed += 1
            replica.breaker.failed()
            raise
        except BaseException:  # refused, cancelled, closed by the reader: no success, and no failure to reach it
            replica.breaker.released()
            raise
        else:
            replica.served += 1
            replica.breaker.succeeded()
        finally:
            replica.busy -= 1

    def _none_left(self) -> BackendDown:
        names = ", ".join(r.name for r in self.replicas)
        return BackendDown(where=names, detail="all are down; tried again by themselves within a minute")


async def _look_at(replica: Replica) -> None:
    """One that hangs counts as a failure, as one that cannot be reached does; its requests only run into deadlines."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            replica.healthy = await replica.backend.alive()
    except Exception:
        replica.healthy = False
    if not replica.healthy:
        replica.breaker.failed()
    elif replica.breaker.is_open and replica.breaker.may_pass():
        replica.breaker.succeeded()
