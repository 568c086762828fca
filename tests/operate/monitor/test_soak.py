"""A day of 24 hours in compressed time: people work, and each kind of attack comes once, then a flood. Exactly what was
done is found, nothing twice and nothing lost, also while the ledger cannot be written; the ledger verifies at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_machine import Machine
from office_server import build
from yara_samples import BAD

from so8t.ask.backend import FakeBackend
from so8t.core import signing
from so8t.core.errors import LedgerUnavailable
from so8t.core.ledger_format import Entry
from so8t.core.ledger_read import LedgerReader
from so8t.core.ledger_verify import verify
from so8t.core.serve_config import MonitorConfig
from so8t.operate.gateway import Gateway
from so8t.operate.monitor.alarm import MOST_OF_A_KIND
from so8t.operate.monitor.baseline import read_baseline
from so8t.operate.monitor.devices import STORAGE, Medium
from so8t.operate.monitor.monitor import Monitor
from so8t.operate.monitor.notice import FindingNotice
from so8t.operate.monitor.system import Program, Socket
from so8t.operate.monitor.watch import Reference, Watch, watch_of

MIDNIGHT = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)  # in Japan
STEP, DAY = 5.0, 24 * 3600.0
MODEL = ("127.0.0.1", 11434)
FLOOD = 3000


def at(clock: str) -> float:
    hours, minutes = clock.split(":")
    return int(hours) * 3600.0 + int(minutes) * 60


class NoLedger:
    def append(self, *_: object, **__: object) -> Future[Entry]:
        failed: Future[Entry] = Future()
        failed.set_exception(LedgerUnavailable(where="ledger"))
        return failed


class Told:
    """Notices of changed files, given by the day."""

    def __init__(self) -> None:
        self.paths: set[Path] = set()

    def start(self) -> None: ...
    def stop(self) -> None: ...

    def take(self) -> tuple[set[Path], bool]:
        found, self.paths = self.paths, set()
        return found, False


@dataclass
class Day:
    """What happens when. `tell` is the teller of the monitor."""

    folder: Path
    gateway: Gateway
    machine: Machine = field(default_factory=Machine)
    now: float = 0.0
    messages: list[tuple[float, FindingNotice]] = field(default_factory=list)
    mail: list[str] = field(default_factory=list)
    notices: Told = field(default_factory=Told)
    plan: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)
    _lasting: dict[str, list[Socket]] = field(default_factory=dict)

    def tell(self, told: FindingNotice) -> None:
        self.messages.append((self.now, told))

    def moment(self) -> datetime:
        return MIDNIGHT + timedelta(seconds=self.now)

    @property
    def share(self) -> Path:
        return self.folder / "share"

    @property
    def package(self) -> Path:
        return self.folder / "so8t"

    def monitor(self) -> Monitor:
        config = MonitorConfig(folders=(str(self.share),), quiet_hours=("22:00", "06:00"))
        reference = Reference(self.folder / "monitor.json", self.moment, self.package)
        watch = watch_of(
            config, self.machine.system(), reference, named=("10.0.0.7",), own_port=8008,
            upstreams=lambda: ["http://127.0.0.1:11434"],
        )  # fmt: skip
        assert watch.files is not None
        watch.files.clock, watch.files.notified = lambda: self.now, lambda folders: self.notices
        watch.files.start()
        return Monitor(self.gateway, watch, teller=self, clock=lambda: self.now)

    # -- what is in order --

    def begin(self) -> None:
        self.share.mkdir()
        self.package.mkdir()
        (self.package / "a.py").write_text("a = 1\n")
        for n in range(20):
            (self.share / f"{n:02}.txt").write_text("会議の記録\n" * 50, encoding="utf-8")
        for pid in range(100, 160):
            self.machine.runs(pid, f"/usr/lib/service-{pid}", user="root")
        self.machine.runs(5, "/usr/sbin/sshd", user="root")
        self.machine.runs(10, "/opt/so8t/.venv/bin/python", "so8t", "so8t")
        self.machine.runs(20, "/usr/lib/soffice.bin")
        self.machine.devices = {Medium("1d6b:0002:", "hub")}
        self.machine.there = {"/usr/sbin/sshd"}

    def work(self, step: int) -> None:
        """An office: jobs come and go, an update replaces a service, people ask, log and model are spoken to."""
        machine, minute = self.machine, step // 12
        for pid in [p for p in machine.exes if 1000 <= p < 9000]:
            del machine.exes[pid], machine.programs[pid]
        for k in range(step % 7):
            machine.runs(1000 + (step * 7 + k) % 8000, f"/usr/bin/job-{k}", user="root")
        if minute % 60 == 30:
            machine.runs(5, "/usr/sbin/sshd (deleted)", "sshd", "root")  # replaced by an update, a file is there
        if minute % 60 == 40:
            machine.runs(5, "/usr/sbin/sshd", "sshd", "root")
        usual = [
            Socket(("0.0.0.0", 22), None, "listen", 5), Socket(("10.0.0.5", 8008), None, "listen", 10),
            Socket(("127.0.0.1", 40000 + minute % 999), None, "listen", 11),
            Socket(("10.0.0.5", 51000 + step % 999), ("10.0.0.7", 514), "open", 10),
            Socket(("127.0.0.1", 52000 + step % 999), MODEL, "open", 10),
            *(Socket(("10.0.0.5", 8008), (f"10.0.1.{k}", 60000 + step % 999), "open", 10) for k in range(step % 9)),
        ]  # fmt: skip
        machine.open = usual + [s for sockets in self._lasting.values() for s in sockets]

    # -- what is not --

    def during(self, begin: str, end: str, name: str, *sockets: Socket) -> None:
        self.plan.append((at(begin), lambda: self._lasting.__setitem__(name, list(sockets))))
        self.plan.append((at(end), lambda: self._lasting.pop(name)))

    def do(self, clock: str, what: Callable[[], Any]) -> None:
        self.plan.append((at(clock), what))

    def attacks(self, monitor: Monitor) -> None:
        machine, reference = self.machine, monitor.watched.reference
        machine.programs |= {70: Program("curl", "sato"), 71: Program("python3", "sato"), 72: Program("nc", "sato")}
        outside = Socket(("10.0.0.5", 45000), ("203.0.114.9", 443), "open", 70)
        self.during("02:10", "02:40", "egress", outside)
        self.during("02:40", "02:41", "left over", Socket(outside.local, outside.remote, "ended"))
        self.during("03:00", "23:59", "listener", Socket(("0.0.0.0", 4444), None, "listen", 72))
        stick = Medium("0781:5581:4C53", "Ultra", STORAGE)
        self.do("05:00", lambda: machine.devices.add(stick))  # type: ignore[union-attr]
        self.do("05:10", lambda: machine.devices.discard(stick))  # type: ignore[union-attr]
        self.during("09:00", "11:00", "bypass", Socket(("127.0.0.1", 46000), MODEL, "open", 71))
        for clock, pid, exe in (
            ("10:00", 9001, "/tmp/x"), ("11:00", 9002, "/usr/bin/gone (deleted)"),
            ("11:30", 9003, "/memfd:y (deleted)"),
        ):  # fmt: skip
            self.do(clock, lambda pid=pid, exe=exe: machine.runs(pid, exe))  # type: ignore[misc]
        self.do("12:00", lambda: machine.runs(9004, "/bin/dash", parent=20))
        self.do("13:00", lambda: (self.package / "a.py").write_text("a = 2\n"))
        self.do("13:30", lambda: (self.package / "a.py").write_text("a = 1\n"))
        self.do("14:00", lambda: self.drop("a.com", BAD["eicar_test_file"][0][1]))
        self.do("14:01", lambda: self.drop("b.txt", b"harmless"))
        self.do("15:00", lambda: self.replace_baseline(reference.path))
        self.do("16:00", lambda: setattr(machine, "error", psutil.AccessDenied()))
        self.do("16:05", lambda: setattr(machine, "error", None))
        for n in range(FLOOD // 10):
            self.plan.append((at("17:00") + n * STEP, lambda n=n: self.ten_more(n)))  # type: ignore[misc]
        self.plan.append((at("17:00") + FLOOD / 10 * STEP, lambda: self._lasting.pop("flood")))
        ledger = self.gateway.ledger
        self.do("18:00", lambda: setattr(self.gateway, "ledger", NoLedger()))
        self.during("18:02", "18:03", "unseen", Socket(("0.0.0.0", 5555), None, "listen", 72))
        self.do("18:05", lambda: setattr(self.gateway, "ledger", ledger))
        self.plan.sort(key=lambda item: item[0])

    def ten_more(self, n: int) -> None:
        """Attempts to reach ten addresses that nobody tried before."""
        addresses = [(f"198.18.{n % 250}.{10 * (n // 250) + k}", n + 1) for k in range(10)]
        self._lasting["flood"] = [Socket(("10.0.0.5", 47000), where, "trying", 70) for where in addresses]

    def drop(self, name: str, content: bytes) -> None:
        (self.share / name).write_bytes(content)
        self.notices.paths.add(self.share / name)

    def replace_baseline(self, path: Path) -> None:
        found = read_baseline(path)
        assert found is not None
        type(found)(found.taken, "evil", found.package, found.listeners, found.media).write(path)


EXPECTED = {
    ("egress", "203.0.114.9:443"), ("listener", "nc network:4444"), ("medium", "0781:5581:4C53"),
    ("bypass", "python3 (sato)"),
    ("program_temporary", "/tmp/x"), ("program_deleted", "/usr/bin/gone"), ("program_memory", "/memfd:y"),
    ("shell", "soffice.bin > dash"), ("package_changed", "so8t"), ("blind", "network"), ("flood", "egress"),
    ("listener", "nc network:5555"),
}  # fmt: skip


async def live(day: Day, monitor: Monitor) -> int:
    """The day, look by look; how many looks the ledger refused."""
    await monitor.begin()
    refused, plan = 0, iter(day.plan)
    due, what = next(plan)
    for step in range(int(DAY / STEP)):
        day.now = step * STEP
        while due <= day.now:
            what()
            due, what = next(plan, (float("inf"), lambda: None))
        day.work(step)
        turns = [*monitor.watched.turns, *([monitor.files] if monitor.files else [])]
        with contextlib.suppress(LedgerUnavailable):
            refused += 1
            await monitor.look(turns)
            refused -= 1
    return refused


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Day, Monitor, list[dict[str, Any]], int]]:
    folder = tmp_path_factory.mktemp("soak")
    gateway, _, ledger, _, authenticator = build(folder, FakeBackend())
    day = Day(folder, gateway)
    day.begin()
    day.work(0)
    gateway.now = ledger._clock = day.moment
    monitor = day.monitor()
    day.attacks(monitor)
    try:
        refused = asyncio.run(live(day, monitor))
    finally:
        authenticator.close()
        ledger.close()
    entries = LedgerReader(folder / "ledger.db").entries(kinds=("finding",), limit=10_000)
    yield day, monitor, [dict(entry.data) | {"time": entry.time} for entry in entries], refused


Lived = tuple[Day, Monitor, list[dict[str, Any]], int]


def test_exactly_what_was_done_is_found(lived: Lived) -> None:
    day, _, entries, _ = lived
    found = Counter((e["finding"], e["subject"]) for e in entries if e["event"] == "found")
    flood = {key for key in found if key[0] == "egress" and key[1].startswith("198.18.")}
    assert len(flood) == MOST_OF_A_KIND
    own = {("file_rule", str(day.share / "a.com")), *(key for key in found if key[0] == "baseline_changed")}
    assert found.keys() - flood == EXPECTED | own and len(own) == 2
    assert set(found.values()) == {1}


def test_nothing_is_lost(lived: Lived) -> None:
    """What the ledger refused is there afterwards, and of a flood the number."""
    _, monitor, entries, refused = lived
    assert 55 <= refused <= 61 and monitor.lost == 0 and not monitor._waiting
    (suppressed,) = [e for e in entries if e["event"] == "suppressed"]
    assert suppressed["count"] == FLOOD - MOST_OF_A_KIND and suppressed["facts"]["kind"] == "egress"
    again = [e for e in entries if e["event"] == "again" and e["subject"] == "nc network:4444"]
    assert 3 <= len(again) <= 6 and sum(e["count"] for e in again) > 10_000
    assert [e["why"] for e in entries if e["event"] == "baseline"] == ["first", "replaced"]


def test_people_are_told_and_woken_for_what_is_critical_alone(lived: Lived) -> None:
    day, _, entries, _ = lived
    night = [(told.finding.kind, told.held) for moment, told in day.messages if moment < at("06:00")]
    assert night == [("egress", 0)]
    morning = [told for moment, told in day.messages if at("06:00") <= moment < at("06:01")]
    assert [(told.finding.kind, told.held) for told in morning] == [("medium", 1)]  # and the listener before it
    told = {(m.finding.kind, m.finding.subject) for _, m in day.messages}
    severe = {(e["finding"], e["subject"]) for e in entries if e["event"] == "found" and e["severity"] != "info"}
    assert severe - told == {("listener", "nc network:4444")}


def test_it_stays_small_and_the_ledger_verifies(lived: Lived) -> None:
    day, monitor, entries, _ = lived
    programs = monitor.watched.programs
    assert programs is not None and len(programs._seen) <= len(day.machine.exes)
    assert monitor.alarm.remembered <= 40 and len(monitor.latest) <= 100
    assert len(entries) < 80
    report = verify(day.folder / "ledger.db", None, signing.load_public(day.folder / "ledger.key.pub"))
    assert report.ok and report.problems == ()


def test_the_watch_is_put_together_as_configured() -> None:
    def made(**values: Any) -> Watch:
        return watch_of(MonitorConfig(**values), Machine(devices=None).system(), Reference(Path("none")))

    assert [turn.name for turn in made().turns] == ["baseline", "network", "programs", "usb", "integrity"]
    assert made().files is None and made().unknown == ("usb",)
    assert [turn.name for turn in made(watch=("egress",)).turns] == ["baseline", "network"]
    assert sum(turn.share for turn in made().turns) <= 0.01
