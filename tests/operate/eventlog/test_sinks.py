"""What each event log is given, over real sockets and files; Windows over a fake of pywin32."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from so8t.core.errors import ConfigValueInvalid, PackageMissing
from so8t.core.serve_config import LedgerConfig
from so8t.operate.eventlog import file_sink
from so8t.operate.eventlog.event import Event, EventId
from so8t.operate.eventlog.exported import heads_of
from so8t.operate.eventlog.file_sink import FileSink
from so8t.operate.eventlog.journald_sink import JournaldSink
from so8t.operate.eventlog.sinks import sinks_of
from so8t.operate.eventlog.syslog_sink import SyslogAddress, SyslogSink, syslog_address
from so8t.operate.eventlog.windows_sink import WindowsSink, event_api, register, unregister

TIME = "2026-11-26T09:00:00.000000+00:00"
EVENTS = [
    Event(EventId.DENY, TIME, 12, "ab" * 32, "req-1"),
    Event(EventId.GAP, TIME, 20, "cd" * 32, first=13),
]
LINES = [
    f"so8t seq=12 head={'ab' * 32} id=1003 event=DENY time={TIME} request=req-1",
    f"so8t seq=20 head={'cd' * 32} id=1005 event=GAP time={TIME} from=13",
]
unix_only = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no local sockets")


# -- file -------------------------------------------------------------------------------------------------------------


def test_file_appends_whole_lines_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    sink = FileSink(path)
    sink.write(EVENTS[:1])
    path.rename(tmp_path / "heads.1")  # rotated
    sink.write(EVENTS[:1])
    with path.open("ab") as f:
        f.write(b'{"half')
    sink.write(EVENTS[1:])
    first, half, last = path.read_text().splitlines()
    assert json.loads(first) == EVENTS[0].fields() | {"message": LINES[0]} and half == '{"half'
    assert json.loads(last)["message"] == LINES[1]
    assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [head.seq for head in heads_of(path)] == [12, 20]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "heads.jsonl"
    sink = FileSink(path)
    sink.write(EVENTS[:1])
    before = path.read_bytes()

    def full(handle: int, content: bytes) -> None:
        os.write(handle, content[:10])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(file_sink, "_write_all", full)
    with pytest.raises(OSError, match="full"):
        sink.write(EVENTS)
    assert path.read_bytes() == before


# -- syslog -----------------------------------------------------------------------------------------------------------


def test_syslog_line_is_rfc_5424() -> None:
    line = SyslogSink(SyslogAddress("udp", "127.0.0.1", 1), "server 一").line(EVENTS[0])
    form = r"<108>1 (\S+) server so8t [0-9]+ 1003 - (.*)"  # 13 * 8 + 4: log audit, warning
    match = re.fullmatch(form, line)
    assert match and match[1] == TIME and match[2] == LINES[0]


def test_syslog_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10)
        sink = SyslogSink(SyslogAddress("udp", "127.0.0.1", daemon.getsockname()[1]))
        sink.write(EVENTS)
        got = [daemon.recv(4096).decode() for _ in EVENTS]
        sink.close()
    assert got == [sink.line(event) for event in EVENTS]


@unix_only
def test_syslog_over_the_local_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "log"))
        daemon.settimeout(10)
        sink = SyslogSink(SyslogAddress("local", str(tmp_path / "log")))
        sink.write(EVENTS[:1])
        assert daemon.recv(4096).decode().endswith(LINES[0])
        sink.close()
    with pytest.raises(OSError):
        SyslogSink(SyslogAddress("local", str(tmp_path / "none"))).write(EVENTS)


def _accept(server: socket.socket, got: list[bytes], read: threading.Event) -> None:
    """Take one connection, read one message from it, hang up."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(10)
        got.append(connection.recv(4096))
    read.set()


def test_syslog_over_tcp_counts_octets_and_notices_a_daemon_that_went_away() -> None:
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = SyslogSink(SyslogAddress("tcp", "127.0.0.1", server.getsockname()[1]))
        for _ in range(2):  # the second write finds the first connection closed and opens another
            read = threading.Event()
            daemon = threading.Thread(target=_accept, args=(server, got, read), daemon=True)
            daemon.start()
            sink.write(EVENTS[:1])
            assert read.wait(10)
            daemon.join(10)
    sink.close()
    line = sink.line(EVENTS[0]).encode()
    assert got == [b"%d %s" % (len(line), line)] * 2
    with pytest.raises(OSError):
        sink.write(EVENTS[:1])


@pytest.mark.parametrize(
    "bad",
    ["udp://logs.example:514", "udp://192.0.2.1", "http://192.0.2.1:514", "192.0.2.1:514", "tcp://192.0.2.1:0",
     "tcp://192.0.2.1:70000", "udp://a:b@192.0.2.1:514", "udp://192.0.2.1:514/x", "udp://[::1:514", "tcp://:514"],
)  # fmt: skip
def test_syslog_address_is_literal(bad: str) -> None:
    with pytest.raises(ConfigValueInvalid):
        syslog_address(bad)
    assert syslog_address("tcp://[::1]:6514") == SyslogAddress("tcp", "::1", 6514)
    assert syslog_address("") == SyslogAddress("local", "/dev/log")


# -- journald ---------------------------------------------------------------------------------------------------------


@unix_only
def test_journald_gets_searchable_fields(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "socket"))
        daemon.settimeout(10)
        JournaldSink(str(tmp_path / "socket")).write(EVENTS)
        first, second = (dict(x.split("=", 1) for x in daemon.recv(4096).decode().splitlines()) for _ in EVENTS)
    assert first == {
        "MESSAGE": LINES[0], "PRIORITY": "4", "SYSLOG_IDENTIFIER": "so8t", "SO8T_EVENT_ID": "1003",
        "SO8T_EVENT": "DENY", "SO8T_SEQ": "12", "SO8T_HEAD": "ab" * 32, "SO8T_REQUEST": "req-1",
    }  # fmt: skip
    assert second["SO8T_FROM"] == "13" and second["SO8T_SEQ"] == "20"


# -- Windows ----------------------------------------------------------------------------------------------------------


class FakeApi:
    """win32evtlogutil's three functions with its own parameter names."""

    def __init__(self) -> None:
        self.reports: list[tuple[Any, ...]] = []
        self.sources: dict[str, tuple[str, str, int]] = {}

    def ReportEvent(
        self, appName: str, eventID: int, eventCategory: int = 0, eventType: int = 4, strings: Any = None,
        data: Any = None, sid: Any = None,
    ) -> None:  # fmt: skip
        self.reports.append((appName, eventID, eventType, strings))

    def AddSourceToRegistry(
        self, appName: str, msgDLL: str | None = None, eventLogType: str = "Application", eventLogFlags: int = 0
    ) -> None:
        assert msgDLL is not None  # pywin32's own holds ids 1 to 9 only
        self.sources[appName] = (msgDLL, eventLogType, eventLogFlags)

    def RemoveSourceFromRegistry(self, appName: str, eventLogType: str = "Application") -> None:
        del self.sources[appName]


def test_windows_gets_the_plans_ids_and_the_message() -> None:
    api = FakeApi()
    WindowsSink(api).write([*EVENTS, Event.of_error("L02", TIME)])
    assert api.reports[:2] == [("SO8T", 1003, 2, [LINES[0]]), ("SO8T", 1005, 2, [LINES[1]])]
    assert api.reports[2][:3] == ("SO8T", 1004, 1)


def test_windows_registration_names_a_message_file_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEMROOT", r"D:\Windows")
    file = r"D:\Windows\Microsoft.NET\Framework64\v4.0.30319\EventLogMessages.dll"
    own, api = r"D:\Program Files\so8t\so8t-messages.dll", FakeApi()
    assert register(api, own, lambda path: True) == own and api.sources["SO8T"] == (own, "Application", 7)
    assert register(api, own, lambda path: path == file) == file and api.sources["SO8T"][0] == file
    assert register(api, "", lambda path: path == file) == file
    assert register(api, own, lambda path: False) == "" and api.sources["SO8T"][0] == ""
    unregister(api)
    assert api.sources == {}


@pytest.mark.skipif(sys.platform == "win32", reason="pywin32 may be there")
def test_without_pywin32_the_error_names_it() -> None:
    with pytest.raises(PackageMissing, match="pywin32"):
        event_api()


# -- configuration ----------------------------------------------------------------------------------------------------


def test_sinks_of_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "new" / "heads.jsonl"
    config = LedgerConfig(events=("file", "syslog", "journald", "file"), syslog="udp://192.0.2.1:514",
                          events_file=str(path))  # fmt: skip
    assert [sink.name for sink in sinks_of(config, "linux")] == ["file", "syslog", "journald"]
    assert path.parent.is_dir() and sinks_of(LedgerConfig()) == []


def test_what_this_machine_has_not_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for config, platform in (
        (LedgerConfig(events=("windows",)), "linux"),
        (LedgerConfig(events=("windows",)), "win32"),  # no pywin32 here
        (LedgerConfig(events=("journald",)), "win32"),
        (LedgerConfig(events=("syslog",)), "win32"),
        (LedgerConfig(events=("syslog",), syslog="udp://logs:514"), "linux"),
        (LedgerConfig(events=("file",), events_file=str(tmp_path)), "linux"),
        (LedgerConfig(events=("file",), events_file=str(tmp_path / "file" / "x")), "linux"),
    ):
        with pytest.raises(ConfigValueInvalid):
            sinks_of(config, platform)
