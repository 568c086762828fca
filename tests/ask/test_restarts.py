"""A server that keeps dying is started less and less often, and one that has run for a while at once."""

from __future__ import annotations

from so8t.ask.restarts import MOST, SPAN_SECONDS, Restarts


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_pause_doubles_and_tries_are_limited_in_a_span() -> None:
    clock, pauses = Clock(), list[float]()
    restarts = Restarts(clock)
    for _ in range(MOST):
        assert not restarts.spent
        pauses.append(restarts.pause())
        clock.now += pauses[-1]
        restarts.tried()
    assert pauses == [1, 2, 4, 8, 16, 32] and restarts.spent
    clock.now += restarts.pause()
    assert clock.now == 1001 + SPAN_SECONDS and not restarts.spent


def test_after_a_quiet_span_it_begins_anew() -> None:
    clock = Clock()
    restarts = Restarts(clock)
    restarts.tried()
    assert restarts.pause() == 2
    clock.now += SPAN_SECONDS
    assert restarts.pause() == 1


def test_for_ever_dying_it_is_tried_no_more_often_than_allowed() -> None:
    clock, tries = Clock(), list[float]()
    restarts = Restarts(clock)
    while clock.now < 1000 + 6 * SPAN_SECONDS:
        clock.now += restarts.pause()
        restarts.tried()
        tries.append(clock.now)
    for at in tries:
        assert sum(at <= other < at + SPAN_SECONDS for other in tries) <= MOST
