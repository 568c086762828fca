"""A watcher and its rhythm: never more of a core than its share, however large the machine. What a look cost decides
when the next may be; a watcher that would have to wait too long looks all the same, and says so. One dear look
alone is no news: the first one warms up, and Python's garbage collection falls on whichever thread is running.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from so8t.operate.monitor.finding import Facts, Finding, Severity

LONGEST_PAUSE = 60.0
DEAR_LOOKS = 2
logger = logging.getLogger("so8t.serve")


@dataclass(slots=True)
class Turn:
    """`seconds` between two looks at least, `share` of one core at most. `cpu`: seconds of CPU used by `looks`.

    `problem`: why the last look saw nothing, or ""; `dear`: how many of the last looks in a row cost too much.
    """

    name: str
    watch: Callable[[], list[Finding]]
    seconds: float
    share: float
    cpu_time: Callable[[], float] = time.thread_time
    due: float = float("-inf")
    cpu: float = 0.0
    looks: int = 0
    problem: str = ""
    dear: int = 0

    def look(self, now: float) -> list[Finding]:
        """One look; whatever goes wrong in it makes a finding, not an error."""
        begin = self.cpu_time()
        try:
            found, self.problem = self.watch(), ""
        except Exception as error:  # what breaks one watcher must not blind the others
            if not isinstance(error, (psutil.Error, OSError)):
                logger.warning("host monitor: %s", self.name, exc_info=True)
            self.problem = type(error).__name__
            found = [Finding("blind", Severity.WARNING, self.name, {"watch": self.name, "error": self.problem})]
        cost = self.cpu_time() - begin
        self.cpu, self.looks = self.cpu + cost, self.looks + 1
        wanted = max(self.seconds, cost / self.share)
        longest = max(self.seconds, LONGEST_PAUSE)
        self.due = now + min(wanted, longest)
        self.dear = self.dear + 1 if wanted > longest else 0
        if self.dear >= DEAR_LOOKS:
            facts: Facts = {"watch": self.name, "error": "slow", "milliseconds": round(cost * 1e3)}
            found.append(Finding("blind", Severity.WARNING, f"{self.name} (slow)", facts))
        return found
