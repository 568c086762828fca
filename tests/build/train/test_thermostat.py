"""Heat: one warning, a pause with hysteresis, and no way to hang in it or to train through it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.train.gpu import Reading
from so8t.build.train.thermostat import BLIND, REMIND, SLICE, Thermostat
from so8t.core.config import GpuConfig
from so8t.core.errors import ConfigValueInvalid

CONFIG = GpuConfig(warn=75.0, pause=80.0, resume=70.0, seconds=10.0)
Temperatures = Sequence[float | None]


class Room:
    """A clock that only sleeping moves, a card with a given course of temperatures, and what was said of it."""

    def __init__(self, temperatures: Temperatures, config: GpuConfig = CONFIG) -> None:
        self.now, self.slept, self.reads = 1000.0, [0.0][:0], 0
        self.said: list[str] = []
        self.records: list[tuple[str, dict[str, Any]]] = []
        self.stop = threading.Event()
        self.last: float | None = None
        self.at_sleep: Callable[[], None] = lambda: None
        self._course: Iterator[float | None] = iter(temperatures)
        self.thermostat = Thermostat(
            config, self, lambda ja, en: self.said.append(en), self._record, lambda: self.now, self._sleep
        )

    def read(self) -> Reading | None:
        """After its course the card is cool."""
        self.reads += 1
        self.last = next(self._course, 40.0)
        return None if self.last is None else Reading(self.last, 1, 2, 3.0, 4.0)

    def _sleep(self, seconds: float) -> None:
        assert 0 < seconds <= SLICE
        self.now += seconds
        self.slept.append(seconds)
        self.at_sleep()

    def _record(self, event: str, /, **facts: Any) -> None:
        self.records.append((event, facts))

    def step(self, seconds: float = 10.0) -> float:
        paused = self.thermostat.check(self.stop)
        self.now += seconds
        return paused

    def events(self, *names: str) -> list[tuple[str, dict[str, Any]]]:
        return [(n, f) for n, f in self.records if n in names]


def test_a_cool_card_is_only_recorded() -> None:
    room = Room([60.0, 75.0, 70.1])
    assert [room.step() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert room.said == [] and room.slept == []
    assert [f["temperature"] for _, f in room.events("gpu")] == [60.0, 75.0, 70.1]
    assert room.records[0][1] == {
        "temperature": 60.0, "memory_used": 1, "memory_total": 2, "utilisation": 3.0, "watts": 4.0,
    }  # fmt: skip


def test_it_reads_no_more_often_than_configured() -> None:
    room = Room([50.0] * 100)
    for _ in range(1000):
        room.step(0.25)
    assert room.reads == 25


def test_it_warns_once_until_the_card_was_cool_again() -> None:
    """Flapping around the threshold is one warning; what rearms it is the lower one."""
    room = Room([76.0, 74.9, 76.0, 70.5, 79.0, 70.0, 76.0])
    for _ in range(7):
        room.step()
    assert len(room.said) == 2 and "76" in room.said[0] and "80" in room.said[0]
    assert room.events("hot") == [("hot", {"temperature": 76.0, "paused": False})] * 2


def test_it_pauses_until_the_lower_threshold() -> None:
    room = Room([80.1, 79.0, 75.0, 70.1, 70.0, 60.0])
    assert room.step() == pytest.approx(40.0)
    assert room.reads == 5 and room.last == 70.0
    assert room.events("hot") == [("hot", {"temperature": 80.1, "paused": True})]
    ((_, cool),) = room.events("cool")
    assert cool == {"temperature": 70.0, "seconds": pytest.approx(40.0), "why": "cool"}
    assert len(room.said) == 2 and "pauses" in room.said[0] and "goes on after 40 s" in room.said[1]
    assert room.step() == 0.0


def test_exactly_at_the_threshold_it_trains() -> None:
    room = Room([80.0])
    assert room.step() == 0.0
    assert "pauses above" in room.said[0]


def test_a_stop_ends_the_pause_at_once() -> None:
    room = Room([90.0] * 1000)
    room.at_sleep = lambda: room.stop.set() if len(room.slept) == 7 else None
    assert room.step() == pytest.approx(7 * SLICE)
    assert room.reads == 1
    assert room.events("cool")[0][1]["why"] == "stopped"
    assert len(room.said) == 1  # nothing is said of going on


def test_a_stop_before_the_pause_is_obeyed_too() -> None:
    room = Room([90.0])
    room.stop.set()
    assert room.step() == 0.0 and room.slept == []


def test_a_sensor_that_dies_in_the_pause_does_not_hold_training_up() -> None:
    room = Room([90.0, 85.0, *[None] * 50])
    assert room.step() == pytest.approx((1 + BLIND) * 10.0)
    assert room.events("cool")[0][1] == {"temperature": 85.0, "seconds": pytest.approx(40.0), "why": "unreadable"}
    assert "unwatched" in room.said[-1] and len(room.said) == 2
    room.step()
    room.step()
    assert len(room.said) == 2  # said once


def test_a_gap_in_the_pause_is_no_death() -> None:
    room = Room([90.0, None, None, 85.0, None, None, 69.0])
    assert room.step() == pytest.approx(60.0)
    assert room.events("cool")[0][1]["why"] == "cool"


def test_a_sensor_that_fails_while_training_is_said_once_and_again_after_it_was_back() -> None:
    room = Room([60.0, None, None, 60.0, None])
    for _ in range(5):
        assert room.step() == 0.0
    assert len(room.said) == 2 and all("unwatched" in s for s in room.said)


def test_a_pause_without_end_is_not_silent() -> None:
    minutes = 45
    room = Room([95.0] + [88.0] * (minutes * 6))
    room.step()
    assert sum("still at 88" in s for s in room.said) == int(minutes * 60 // REMIND)


def test_no_sensor_costs_nothing() -> None:
    said: list[str] = []
    thermostat = Thermostat(CONFIG, None, lambda ja, en: said.append(en), lambda event, /, **facts: None)
    assert thermostat.check(threading.Event()) == 0.0 and said == []


@pytest.mark.parametrize("resume", [80.0, 81.0])
def test_thresholds_without_a_gap_are_refused(resume: float) -> None:
    with pytest.raises(ConfigValueInvalid, match=r"train\.gpu\.resume"):
        Room([], GpuConfig(resume=resume))


@given(
    st.lists(st.none() | st.floats(20.0, 110.0, allow_nan=False), max_size=60),
    st.floats(0.0, 30.0),
    st.floats(0.0, 20.0),
)
def test_whatever_the_card_does(temperatures: Temperatures, interval: float, step: float) -> None:
    """It always comes back, and never to train on a card last seen above the limit."""
    room = Room(temperatures, GpuConfig(warn=75.0, pause=80.0, resume=70.0, seconds=interval))
    for _ in range(len(temperatures) + 2):
        before = room.now
        paused = room.step(step)
        assert room.last is None or room.last <= CONFIG.pause
        assert paused == pytest.approx(max(0.0, room.now - before - step), abs=1e-6)
        if paused:
            assert room.last is None or room.last <= CONFIG.resume
    pauses = [f for _, f in room.events("hot") if f["paused"]]
    assert len(pauses) == len(room.events("cool"))
    assert all(f["temperature"] > CONFIG.pause for f in pauses)
