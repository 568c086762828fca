"""Guessing is slowed, then stopped: by the pair of name and address, by address, and by name.

From one address a name has `attempts` tries, then that address waits `lock_minutes` for it. One address has four times
as many over all names, and a name four times as many over all addresses. So nobody can lock another out from a single
address: the owner of the name still gets in from his own. An attempt counts when it begins, not when it fails, so a
hundred at once are no hundred guesses.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from so8t.core.errors import TooManyAttempts

WIDER = 4  # how many times `attempts` an address or a name alone has
SLOW = 4  # the last tries before a lock wait 1, 2, 4, 8 s
Key = tuple[str, str, str]


@dataclass(slots=True)
class _Counter:
    failures: int = 0
    until: float = -math.inf  # nothing is looked at before
    last: float = 0.0


class Attempts:
    """Counters in memory, at most `maximum`, the longest untouched forgotten first. `clock`: seconds, monotonic."""

    def __init__(
        self, attempts: int, lock_minutes: float, clock: Callable[[], float], *, maximum: int = 20_000
    ) -> None:
        self._attempts, self._lock, self._clock, self._maximum = max(1, attempts), lock_minutes * 60, clock, maximum
        self._counters: OrderedDict[Key, _Counter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counters)

    def begin(self, name: str | None, address: str | None) -> None:
        """Count an attempt. Raises TooManyAttempts when one of its counters says to wait; then it does not count.

        name None: no name was given (an API key). address None: shared by many, as a proxy's; it is not counted.
        """
        self.check(name, address)
        now = self._clock()
        for key, limit in self._keys(name, address):
            counter = self._counters.setdefault(key, _Counter())
            self._counters.move_to_end(key)
            counter.failures, counter.last = counter.failures + 1, now
            counter.until = now + self._wait(limit - counter.failures)
        while len(self._counters) > self._maximum:
            self._counters.popitem(last=False)

    def check(self, name: str | None, address: str | None) -> None:
        """Raises TooManyAttempts without counting anything; the address is asked first."""
        if seconds := self.wait(name, address):
            raise TooManyAttempts(seconds)

    def wait(self, name: str | None, address: str | None) -> int:
        """Seconds until an attempt would be looked at."""
        now = self._clock()
        for key, _ in self._keys(name, address):
            counter = self._counters.get(key)
            if counter is None:
                continue
            if now >= max(counter.until, counter.last + self._lock):
                del self._counters[key]
            elif now < counter.until:
                return math.ceil(counter.until - now)
        return 0

    def succeeded(self, name: str, address: str | None) -> None:
        """The right password: name and pair start anew; the address only gets this one try back."""
        for key, limit in self._keys(name, address):
            counter = self._counters.get(key)
            if counter is None:
                continue
            if key[0] == "address" and counter.failures > 1:
                counter.failures -= 1
                counter.until = counter.last + self._wait(limit - counter.failures)
            else:
                del self._counters[key]

    def locked(self, name: str | None, address: str | None) -> list[str]:
        """Which of "address", "pair", "name" are at their limit."""
        keys = self._keys(name, address)
        return [key[0] for key, limit in keys if (c := self._counters.get(key)) is not None and c.failures >= limit]

    def _wait(self, left: int) -> float:
        if left <= 0:
            return self._lock
        return 2.0 ** (SLOW - left) if left <= SLOW else 0.0

    def _keys(self, name: str | None, address: str | None) -> Iterator[tuple[Key, int]]:
        """Counters of an attempt with their limits, the address first."""
        network = None if address is None else network_of(address)
        if network is not None:
            yield ("address", network, ""), self._attempts * WIDER
        if name is not None:
            yield ("pair", network or "", name), self._attempts
            yield ("name", "", name), self._attempts * WIDER


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What one machine can take for itself: an IPv4 address, or the /64 around an IPv6 one. Other text as it is."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
