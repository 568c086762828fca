"""Too hot: say so, then let the card rest until it is cool (plan 6.2, SPEC T3)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from so8t.build.train.gpu import Reading, Sensor
from so8t.core.config import GpuConfig
from so8t.core.errors import ConfigValueInvalid

SLICE = 0.5  # seconds: how long a request to stop may wait during a pause
BLIND = 3  # readings in a row that may fail during a pause before it is given up
REMIND = 600.0  # seconds between two lines about a pause that does not end
Why = Literal["cool", "stopped", "unreadable"]


class Record(Protocol):
    def __call__(self, event: str, /, **facts: float | str | bool | None) -> None: ...


@dataclass(slots=True)
class Thermostat:
    """Two thresholds with a gap between them, so that a card at the edge neither flaps nor fills the log.

    It warns once above `warn`, and again only after the card was down at `resume`; above `pause` it holds training up
    until the card is down at `resume`. Raises ConfigValueInvalid when `resume` is not below `pause`.
    """

    config: GpuConfig
    sensor: Sensor | None
    say: Callable[[str, str], None]
    record: Record
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _due: float = -math.inf
    _warned: bool = False
    _blind: bool = False

    def __post_init__(self) -> None:
        if self.config.resume >= self.config.pause:
            detail = f"train.gpu.resume = {self.config.resume:g} >= train.gpu.pause = {self.config.pause:g}"
            raise ConfigValueInvalid(detail=detail)

    def check(self, stop: threading.Event) -> float:
        """Call after every step; reads every config.seconds at most. Returns the seconds paused, mostly 0."""
        if self.sensor is None or self.clock() < self._due:
            return 0.0
        reading = self._read()
        paused = 0.0
        if reading is None:
            self._tell_blind()
        elif reading.temperature > self.config.pause:
            paused = self._pause(reading, stop)
        else:
            self._warn(reading)
        self._due = self.clock() + self.config.seconds
        return paused

    def _read(self) -> Reading | None:
        reading = None if self.sensor is None else self.sensor.read()
        if reading is not None:
            self._blind = False
            self.record("gpu", **reading.to_json())
        return reading

    def _tell_blind(self) -> None:
        if not self._blind:
            self._blind = True
            self.say(
                "      GPU の温度を読めません。見張りなしで学習を続けます",
                "      the GPU's temperature cannot be read: training goes on unwatched",
            )
            self.record("gpu", temperature=None)

    def _warn(self, reading: Reading) -> None:
        hot = reading.temperature
        if hot <= min(self.config.resume, self.config.warn):
            self._warned = False
        elif hot > self.config.warn and not self._warned:
            self._warned = True
            self.say(
                f"      GPU が {hot:.0f} ℃ です({self.config.pause:.0f} ℃ を超えたら休みます)",
                f"      the GPU is at {hot:.0f} °C (training pauses above {self.config.pause:.0f} °C)",
            )
            self.record("hot", temperature=hot, paused=False)

    def _pause(self, reading: Reading, stop: threading.Event) -> float:
        begin, hot = self.clock(), reading.temperature
        self.say(
            f"      GPU が {hot:.0f} ℃ のため、{self.config.resume:.0f} ℃ に下がるまで学習を休みます",
            f"      the GPU is at {hot:.0f} °C: training pauses until it is down to {self.config.resume:.0f} °C",
        )
        self.record("hot", temperature=hot, paused=True)
        why, last = self._cool_down(begin, reading, stop)
        seconds = self.clock() - begin
        self._warned = why != "cool"  # what was said of this heat is not said again
        if why == "unreadable":
            self._tell_blind()
        elif why == "cool":
            self.say(
                f"      GPU が {last.temperature:.0f} ℃ に下がりました。{seconds:.0f} 秒休み、学習を再開します",
                f"      the GPU is down to {last.temperature:.0f} °C: training goes on after {seconds:.0f} s",
            )
        self.record("cool", temperature=last.temperature, seconds=seconds, why=why)
        return seconds

    def _cool_down(self, begin: float, last: Reading, stop: threading.Event) -> tuple[Why, Reading]:
        """(why the pause ended, last reading). A sensor that stays silent ends it: nobody waits for the unseen."""
        failed, reminded = 0, begin
        while self._wait(stop):
            reading = self._read()
            failed = failed + 1 if reading is None else 0
            if failed >= BLIND:
                return "unreadable", last
            last = reading or last
            if reading is not None and reading.temperature <= self.config.resume:
                return "cool", last
            if self.clock() - reminded >= REMIND:
                reminded = self.clock()
                self._remind(last, reminded - begin)
        return "stopped", last

    def _remind(self, last: Reading, seconds: float) -> None:
        hot, minutes = f"{last.temperature:.0f}", f"{seconds / 60:.0f}"
        self.say(
            f"      GPU はまだ {hot} ℃ です({minutes} 分休止中)。吸気とファンを確かめてください",
            f"      the GPU is still at {hot} °C after {minutes} min: check air and fans",
        )

    def _wait(self, stop: threading.Event) -> bool:
        """One interval in slices; False as soon as a stop is asked for."""
        seconds = max(self.config.seconds, SLICE)
        slices = math.ceil(seconds / SLICE)
        for _ in range(slices):
            if stop.is_set():
                return False
            self.sleep(seconds / slices)
        return not stop.is_set()
