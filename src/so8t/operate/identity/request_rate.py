"""How many requests a minute one identity may make: a token bucket each."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from so8t.core.errors import TooManyRequests


class RequestRate:
    """`per_minute` at once, refilled evenly; 0 = no limit. At most `maximum` buckets: the longest unused is dropped,
    which gives its owner a full one, so `maximum` is more than a company has people."""

    def __init__(self, per_minute: int, clock: Callable[[], float], *, maximum: int = 20_000) -> None:
        self._capacity, self._clock, self._maximum = float(per_minute), clock, maximum
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str) -> None:
        """Raises TooManyRequests with the seconds until the next is allowed; what is refused costs no token."""
        if not self._capacity:
            return
        now, rate = self._clock(), self._capacity / 60
        tokens, when = self._buckets.get(name, (self._capacity, now))
        tokens = min(self._capacity, tokens + max(0.0, now - when) * rate)
        if tokens < 1:
            raise TooManyRequests(math.ceil((1 - tokens) / rate))
        self._buckets[name] = (tokens - 1, now)
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._maximum:
            self._buckets.popitem(last=False)
