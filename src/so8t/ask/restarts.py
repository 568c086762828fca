"""When a server that died is started again: soon, then later and later, and only so often in a span of time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST_SECONDS = 1.0
MOST, SPAN_SECONDS = 6, 600.0


@dataclass(slots=True)
class Restarts:
    """1, 2, 4 … seconds between tries, by how many there were in the span; after MOST of them none until the first
    is out of it. A server that has run for a whole span begins anew."""

    clock: Callable[[], float] = time.monotonic
    _tries: deque[float] = field(default_factory=deque, repr=False)

    @property
    def spent(self) -> bool:
        """Whether the next try has to wait for the span."""
        self._forget()
        return len(self._tries) >= MOST

    def pause(self) -> float:
        """Seconds until the next try."""
        if self.spent:
            return self._tries[0] + SPAN_SECONDS - self.clock()
        return FIRST_SECONDS * 2.0 ** len(self._tries)

    def tried(self) -> None:
        self._tries.append(self.clock())

    def _forget(self) -> None:
        while self._tries and self.clock() - self._tries[0] >= SPAN_SECONDS:
            self._tries.popleft()
