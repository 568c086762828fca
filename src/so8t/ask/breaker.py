"""A circuit breaker (Nygard, Release It!): a server that keeps failing is left alone for a while, then tried once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FAILURES = 3
FIRST_SECONDS, LONGEST_SECONDS = 2.0, 60.0


@dataclass(slots=True)
class Breaker:
    """closed: all pass. open: none until `_until`. half open: one passes, and its outcome decides."""

    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    _pause: float = FIRST_SECONDS
    _until: float = 0.0
    _trying: bool = False

    @property
    def is_open(self) -> bool:
        return self.failures >= FAILURES

    def may_pass(self) -> bool:
        """Whether a request may go now; in the half-open state the first that asks is the one."""
        if not self.is_open:
            return True
        if self._trying or self.clock() < self._until:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        self.failures, self._pause, self._trying = 0, FIRST_SECONDS, False

    def failed(self) -> None:
        self.failures += 1
        if self.is_open:
            if self._trying:
                self._pause = min(2 * self._pause, LONGEST_SECONDS)
            self._until = self.clock() + self._pause
        self._trying = False

    def released(self) -> None:
        """The one that was let through never came to an outcome (it was cancelled): let another try."""
        self._trying = False
