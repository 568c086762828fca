"""Requests a minute: a burst, then an even flow; one's own bucket only."""

from __future__ import annotations

from typing import Any

import pytest

from so8t.core.errors import TooManyAttempts, TooManyRequests
from so8t.operate.identity.request_rate import RequestRate


def test_a_burst_then_an_even_flow(clock: Any) -> None:
    rate = RequestRate(60, clock)
    for _ in range(60):
        rate.take("taro")
    with pytest.raises(TooManyRequests) as caught:
        rate.take("taro")
    assert caught.value.seconds == 1 and isinstance(caught.value, TooManyAttempts)
    rate.take("hanako")
    clock.value += 1
    rate.take("taro")
    with pytest.raises(TooManyRequests):
        rate.take("taro")
    clock.value -= 3600  # a clock set back gives nothing and breaks nothing
    with pytest.raises(TooManyRequests):
        rate.take("taro")


def test_bounded_and_off(clock: Any) -> None:
    rate = RequestRate(10, clock, maximum=50)
    for n in range(500):
        rate.take(f"user{n}")
    assert len(rate) == 50
    unlimited = RequestRate(0, clock)
    for _ in range(1000):
        unlimited.take("taro")
