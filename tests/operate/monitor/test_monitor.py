"""The monitor beside an office: ledger first, then event log, people, figures; it begins, goes on after errors, and
remembers over a restart.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine
from office_server import build

from so8t.ask.backend import FakeBackend
from so8t.core.errors import ConfigValueInvalid, LedgerUnavailable
from so8t.core.ledger_read import LedgerReader
from so8t.core.serve_config import LedgerConfig, MonitorConfig, NotifyConfig, ServeConfig
from so8t.operate.eventlog.event_log import EventLog
from so8t.operate.eventlog.file_sink import FileSink
from so8t.operate.gateway import Gateway
from so8t.operate.monitor import monitor as monitor_module
from so8t.operate.monitor.finding import Finding, Severity
from so8t.operate.monitor.monitor import Monitor
from so8t.operate.monitor.office import machine_watch, state_path
from so8t.operate.monitor.system import Program, Socket
from so8t.operate.monitor.watch import Reference, watch_of
from so8t.operate.review.notify import Notifier
from so8t.operate.server.metrics import Metrics

DAY, NIGHT = (datetime(2026, 11, 26, hour, tzinfo=UTC) for hour in (3, 15))  # noon and midnight in Japan
CRITICAL = Finding("program_memory", Severity.CRITICAL, "/memfd:x", {"process": "x"})
WARNING = Finding("program_temporary", Severity.WARNING, "/tmp/x", {"process": "x"})
INFO = Finding("medium", Severity.INFO, "046d:c31c:", {})


class Office:
    """A gateway over a real ledger, and a machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.machine = folder, Machine()
        (folder / "so8t").mkdir(exist_ok=True)
        (folder / "so8t" / "a.py").write_text("a")
        self.gateway, _, self.ledger, _, self.authenticator = build(folder, FakeBackend())
        self.now = DAY
        self.gateway.now = lambda: self.now

    def monitor(self, config: MonitorConfig | None = None, **options: Any) -> Monitor:
        reference = Reference(self.folder / "monitor.json", package=self.folder / "so8t")
        watch = watch_of(config or MonitorConfig(), self.machine.system(), reference, own_port=8008)
        return Monitor(self.gateway, watch, LedgerReader(self.folder / "ledger.db"), **options)

    def entries(self) -> list[dict[str, Any]]:
        return [dict(e.data) for e in LedgerReader(self.folder / "ledger.db").entries(kinds=("finding",))]

    def close(self) -> None:
        self.authenticator.close()
        self.ledger.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def test_the_first_start_takes_a_baseline_and_a_second_keeps_it(office: Office) -> None:
    async def main() -> None:
        first = office.monitor()
        await first.begin()
        await first.begin()
        assert first.since == DAY
        await office.monitor().begin()

    asyncio.run(main())
    (entry,) = office.entries()
    assert (entry["event"], entry["why"], entry["files"]) == ("baseline", "first", 1)
    assert Path(office.folder / "monitor.json").exists()


@pytest.mark.parametrize("way", ["replaced", "removed"])
def test_a_baseline_that_changed_between_two_starts_is_told(office: Office, way: str) -> None:
    async def main() -> Monitor:
        await office.monitor().begin()
        path = office.folder / "monitor.json"
        (office.folder / "so8t" / "a.py").write_text("evil")
        path.unlink()
        if way == "replaced":
            office.monitor().watched.take_baseline()
        second = office.monitor()
        await second.begin()
        return second

    monitor = asyncio.run(main())
    assert [shown.finding.kind for shown in monitor.latest] == ["baseline_changed"]
    whys = [entry["why"] for entry in office.entries() if entry["event"] == "baseline"]
    assert whys == ["first", "in force" if way == "replaced" else "gone, taken anew"]


def test_a_baseline_that_cannot_be_written_leaves_the_rest_watching(office: Office) -> None:
    office.machine.runs(7, "/tmp/x")
    (office.folder / "monitor.json").mkdir()

    async def main() -> list[str]:
        monitor = office.monitor()
        await monitor.begin()
        return [notice.finding.kind for notice in await monitor.look()]

    assert "program_temporary" in asyncio.run(main())
    assert {entry["finding"] for entry in office.entries()} >= {"baseline_broken", "program_temporary"}


def test_where_everything_is_told(office: Office) -> None:
    mails: list[EmailMessage] = []
    config = NotifyConfig(str(office.folder / "told.jsonl"), "10.0.0.6:25", "so8t@example.co.jp", ("a@example.co.jp",))
    notifier = Notifier(config, "x", lambda message, *_: mails.append(message))
    events = EventLog([FileSink(office.folder / "events.jsonl")], lambda: DAY)
    metrics = Metrics()

    async def main() -> Monitor:
        monitor = office.monitor(events=events, teller=notifier, page="http://127.0.0.1:8008/console/monitor")
        monitor.observers.append(metrics.found)
        await monitor.tell([INFO, WARNING, CRITICAL, CRITICAL])
        await notifier.deliver()
        await events.flush()
        events.close()
        return monitor

    monitor = asyncio.run(main())
    assert [(e["finding"], e["severity"], e["count"]) for e in office.entries()] == [
        ("medium", "info", 1), ("program_temporary", "warning", 1), ("program_memory", "critical", 1),
    ]  # fmt: skip
    lines = [json.loads(line) for line in (office.folder / "events.jsonl").read_text().splitlines()]
    assert [(e["id"], e["kind"]) for e in lines] == [(1006, "program_temporary"), (1007, "program_memory")]
    told = [json.loads(line) for line in (office.folder / "told.jsonl").read_text("utf-8").splitlines()]
    assert [line["finding"] for line in told] == ["program_temporary", "program_memory"] and told[1]["seq"] == lines[1][
        "seq"
    ]
    assert [m["Subject"].split()[1] for m in mails] == ["注意", "重大"] and "記憶の写し" in mails[1].get_content()
    text = metrics.registry.get_sample_value
    assert text("so8t_findings_total", {"severity": "critical"}) == 1 == monitor.counted[Severity.CRITICAL]
    assert monitor.kinds["medium"] == 1


@pytest.mark.parametrize(
    ("threshold", "told"),
    [("warning", ["program_temporary", "program_memory"]), ("critical", ["program_memory"]), ("none", [])],
)
def test_from_which_severity_on_people_are_told(office: Office, threshold: Any, told: list[str]) -> None:
    messages: list[Any] = []
    teller = type("Teller", (), {"tell": lambda self, message: messages.append(message.finding.kind)})()
    monitor = office.monitor(MonitorConfig(notify=threshold), teller=teller)
    asyncio.run(monitor.tell([INFO, WARNING, CRITICAL]))
    assert messages == told


def test_quiet_hours(office: Office) -> None:
    messages: list[Any] = []
    teller = type("Teller", (), {"tell": lambda self, message: messages.append((message.finding.kind, message.held))})()
    office.now = NIGHT

    async def main() -> None:
        monitor = office.monitor(MonitorConfig(quiet_hours=("22:00", "06:00")), teller=teller)
        await monitor.tell([WARNING, CRITICAL])
        await monitor.tell([Finding("shell", Severity.WARNING, "nginx > sh")])
        assert messages == [("program_memory", 0)]
        office.now = DAY
        await monitor.tell([])
        await monitor.tell([])

    asyncio.run(main())
    assert messages == [("program_memory", 0), ("shell", 1)] and len(office.entries()) == 3


def test_what_the_ledger_refuses_waits_for_it(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "MOST_WAITING", 2)
    real = Gateway.note

    async def refused(*_: object) -> None:
        raise LedgerUnavailable(where="ledger")

    async def main() -> Monitor:
        monitor = office.monitor()
        monkeypatch.setattr(Gateway, "note", refused)
        for found in ([CRITICAL], [WARNING, INFO]):
            with pytest.raises(LedgerUnavailable):
                await monitor.tell(found)
        assert not monitor.latest and monitor.lost == 1
        monkeypatch.setattr(Gateway, "note", real)
        await monitor.tell([])
        return monitor

    monitor = asyncio.run(main())
    assert [entry["finding"] for entry in office.entries()] == ["program_memory", "program_temporary"]
    assert len(monitor.latest) == 2


def test_a_look_that_the_ledger_refuses_loses_nothing_of_it(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program is new once only, and a baseline is replaced once only."""
    real = Gateway.note

    async def refused(*_: object) -> None:
        raise LedgerUnavailable(where="ledger")

    async def main() -> None:
        monitor = office.monitor(clock=lambda: 0.0)
        await monitor.begin()
        (office.folder / "so8t" / "b.py").write_text("b")
        office.monitor().watched.take_baseline()
        office.machine.runs(7, "/tmp/x")
        monkeypatch.setattr(Gateway, "note", refused)
        with pytest.raises(LedgerUnavailable):
            await monitor.look()
        monkeypatch.setattr(Gateway, "note", real)
        await monitor.look()

    asyncio.run(main())
    told = [(entry["event"], entry.get("why") or entry.get("finding")) for entry in office.entries()]
    assert told == [
        ("baseline", "first"), ("baseline", "replaced"), ("found", "baseline_changed"), ("found", "program_temporary"),
    ]  # fmt: skip


def test_the_last_findings_are_there_after_a_restart(office: Office) -> None:
    async def main() -> Monitor:
        first = office.monitor()
        await first.begin()
        await first.tell([WARNING, CRITICAL])
        known = {"event": "found", "finding": "egress", "severity": "info", "facts": {}, "subject": "x"}
        for odd in ({"finding": "of a later version"}, {"severity": "odd"}, {"facts": []}, {"event": "odd"}):
            await office.gateway.note("finding", known | odd)
        second = office.monitor()
        await second.begin()
        return second

    monitor = asyncio.run(main())
    assert [shown.finding for shown in monitor.latest] == [WARNING, CRITICAL]
    assert not monitor.counted  # figures count since the start


def test_it_looks_for_ever_and_over_errors(office: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """watch() itself: a look that finds, a ledger that fails meanwhile, an end by cancelling."""
    monkeypatch.setattr(monitor_module, "SHORTEST_PAUSE", 0.01)
    (tmp_path / "share").mkdir()
    real, refused = Gateway.note, [True, True]

    async def note(self: Gateway, kind: str, body: dict[str, Any]) -> Any:
        if body["event"] == "found" and refused:
            refused.pop()
            raise LedgerUnavailable(where="ledger")
        return await real(self, kind, body)

    async def main() -> Monitor:
        config = MonitorConfig(interval_seconds=0.02, folders=(str(tmp_path / "share"),))
        monitor = office.monitor(config)
        office.machine.runs(7, "/tmp/x")
        task = asyncio.create_task(monitor.watch())
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if monitor.latest:
                break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return monitor

    monkeypatch.setattr(Gateway, "note", note)
    monitor = asyncio.run(main())
    assert [shown.finding.kind for shown in monitor.latest] == ["program_temporary"] and not refused
    assert sum(turn.looks for turn in monitor.watched.turns) >= 5 and monitor.files is not None


def test_how_often_it_was_seen_is_shown(office: Office) -> None:
    clock = [0.0]

    async def main() -> Monitor:
        monitor = office.monitor(clock=lambda: clock[0])
        office.machine.open = [Socket(("10.0.0.5", 5), ("203.0.114.9", 443), "open", 7)]
        office.machine.programs[7] = Program("curl", "sato")
        for step in range(800):
            clock[0] = step * 5.0
            await monitor.look()
        return monitor

    monitor = asyncio.run(main())
    (shown,) = [shown for shown in monitor.latest if shown.finding.kind == "egress"]
    assert shown.count == 720 and [e["event"] for e in office.entries() if e["finding"] == "egress"] == [
        "found",
        "again",
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"allowed_networks": ("office",)}, {"allowed_listeners": ("x",)}, {"folders": ("/nowhere",)},
        {"models": ("ollama:11434",)}, {"models": ("http://127.0.0.1:x",)},
        {"folders": (".",), "rules": "/nowhere"}, {"quiet_hours": ("22:00",)},
    ],
    ids=lambda v: next(iter(v)),
)  # fmt: skip
def test_a_wrong_configuration_is_refused_at_the_start(office: Office, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigValueInvalid, match=r"serve\.monitor"):
        office.monitor(MonitorConfig(**values))


def test_where_the_baseline_lies() -> None:
    assert state_path(ServeConfig()) == Path("runs/serve/monitor.json")
    assert state_path(ServeConfig(ledger=LedgerConfig("/x/ledger.db"))) == Path("/x/monitor.json")
    assert state_path(ServeConfig(monitor=MonitorConfig(state="/y/m.json"))) == Path("/y/m.json")


def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    """The real edge, once: nothing of it raises."""
    watch = machine_watch(ServeConfig(monitor=MonitorConfig(state=str(tmp_path / "m.json"))), tuple)
    assert watch.take_baseline() == []
    found = watch.look(0.0)
    assert {turn.name: turn.looks for turn in watch.turns} == dict.fromkeys([turn.name for turn in watch.turns], 1)
    assert not [f for f in found if f.kind in ("package_changed", "baseline_changed", "baseline_broken")]
    assert all(turn.cpu < 5 for turn in watch.turns)
