"""so8t selftest windows: what the service relies on, tried on the real Windows it runs on."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from so8t.core.selftest import Check, Figures, Result, Skip, Wrong
from so8t.operate.eventlog.event import SOURCE, Event
from so8t.operate.eventlog.message_file import read_message_file
from so8t.operate.eventlog.messages import packaged_messages, rendered
from so8t.operate.eventlog.windows_sink import TYPES, WindowsSink
from so8t.operate.service.pywin32 import FILE_NOT_FOUND, Pywin32, windows_says
from so8t.operate.service.selftest import four_events, new_token, require, run_checks, until
from so8t.operate.service.windows import FAILURE_ACTIONS, PAUSES, PRIVILEGES, REQUIRED_PRIVILEGES, WindowsService
from so8t.operate.service.windows_rights import account_sid, rights_of, wanted

SOURCE_KEY = rf"SYSTEM\CurrentControlSet\Services\EventLog\Application\{SOURCE}"
LOCAL_MACHINE, BACKWARDS, SEQUENTIAL = -2147483646, 8, 1  # HKEY_LOCAL_MACHINE as pywin32 has it; EVENTLOG_*_READ
MOST = 5_000  # records looked through, the newest first


@dataclass(slots=True)
class WindowsBench:
    service: WindowsService
    token: str = field(default_factory=new_token)
    written: list[Event] = field(default_factory=list)
    read: list[Any] = field(default_factory=list)

    @property
    def api(self) -> Pywin32:
        return self.service.api


def selftest(service: WindowsService, tell: Callable[[Result], None]) -> dict[str, Any]:
    """The report. The four events stay in the log: nothing can take one back out."""
    bench = WindowsBench(service)
    return run_checks("so8t selftest windows", bench, CHECKS, tell, bench.token)


def system(bench: WindowsBench) -> Figures:
    return {"windows": platform.version(), "edition": platform.win32_edition() or "?", "pywin32": _pywin32()}


def _pywin32() -> str:
    try:
        return metadata.version("pywin32")
    except metadata.PackageNotFoundError:
        return "?"


def source(bench: WindowsBench) -> Figures:
    return {"message file": str(_message_file(bench))}


def _message_file(bench: WindowsBench) -> Path:
    api = bench.api.win32api
    with windows_says(bench.api, SOURCE_KEY, but=FILE_NOT_FOUND):
        key = api.RegOpenKey(LOCAL_MACHINE, SOURCE_KEY)
        try:
            named = str(api.RegQueryValueEx(key, "EventMessageFile")[0])
        finally:
            api.RegCloseKey(key)
        file = Path(api.ExpandEnvironmentStrings(named))
        if not named or not file.is_file():
            raise Wrong(f"{named or 'no message file'}: not there")
        return file
    raise Wrong(f"{SOURCE} is not registered: so8t service install")


def messages(bench: WindowsBench) -> Figures:
    """The file that Windows will look the words up in holds ours, in both languages."""
    file = _message_file(bench)
    found, ours = read_message_file(file), packaged_messages()
    if file.name.lower() == "eventlogmessages.dll":
        raise Skip("the .NET Framework's general file: every id, no words of ours")
    require(
        f"language {language:#x}, id {number}"
        for language, table in ours.items()
        for number, text in table.items()
        if found.get(language, {}).get(number) != text
    )
    return {"languages": len(ours), "ids": len(next(iter(ours.values())))}


def write(bench: WindowsBench) -> Figures:
    events = four_events(bench.token)
    WindowsSink(bench.api.win32evtlogutil).write(events)
    bench.written = events
    return {"written": len(events), "request": bench.token}


def read_back(bench: WindowsBench) -> Figures:
    """Each once, with its id, its kind and its line, and no other under this number."""
    if not bench.written:
        raise Skip("nothing was written")
    bench.read = until(lambda: _records(bench), len(bench.written))
    found = {(r.EventID & 0xFFFF, r.EventType, tuple(r.StringInserts or ())) for r in bench.read}
    expected = {(int(e.id), TYPES[e.id], (e.message,)) for e in bench.written}
    require([f"{len(bench.read)} records"] if len(bench.read) != len(expected) else [])
    require(f"missing {number}" for number, _, _ in sorted(expected - found))
    return {"read": len(bench.read), "ids": " ".join(str(n) for n, _, _ in sorted(found))}


def _records(bench: WindowsBench) -> list[Any]:
    log, seen, found = bench.api.win32evtlog, 0, []
    with windows_says(bench.api, "Application"):
        handle = log.OpenEventLog(None, "Application")
        try:
            while seen < MOST and (records := log.ReadEventLog(handle, BACKWARDS | SEQUENTIAL, 0)):
                seen += len(records)
                ours = (r for r in records if r.SourceName.upper() == SOURCE)
                found += [r for r in ours if any(bench.token in text for text in r.StringInserts or ())]
        finally:
            log.CloseEventLog(handle)
    return found


def words(bench: WindowsBench) -> Figures:
    """What Event Viewer shows, from the registered file, in the language of the system."""
    if not bench.read:
        raise Skip("nothing was read back")
    shown, ours = {}, packaged_messages()
    for record in bench.read:
        text = str(bench.api.win32evtlogutil.FormatMessage(record)).rstrip("\r\n")
        number = record.EventID & 0xFFFF
        for language, table in ours.items():
            if text == rendered(table[number], *record.StringInserts).rstrip("\r\n"):
                shown[number] = language
        if number not in shown:
            raise Wrong(f"{number}: {text[:200]!r}")
    return {"language": " ".join(sorted({f"{language:#x}" for language in shown.values()}))}


def service(bench: WindowsBench) -> Figures:
    """As it was installed: account, automatic start, restarts after a crash, no privileges."""
    state = _installed(bench)
    require([] if state.autostart else ["does not start with the system"])
    require([] if state.account.lower() == bench.service.account.lower() else [f"account {state.account}"])
    failure, privileges = bench.service.configured(FAILURE_ACTIONS), bench.service.configured(REQUIRED_PRIVILEGES)
    require([] if tuple(p for _, p in failure["Actions"]) == PAUSES else [f"restarts {failure['Actions']}"])
    require([] if tuple(privileges or ()) == PRIVILEGES else [f"privileges {privileges}"])
    return {"state": state.condition, "account": state.account}


def rights(bench: WindowsBench) -> Figures:
    """Nobody but SYSTEM, administrators and the service may use the folders."""
    _installed(bench)
    sid = account_sid(bench.api, bench.service.account)
    folders = bench.service.rights()
    for folder, mask in folders.items():
        found, must = rights_of(bench.api, folder), wanted(sid, mask)
        if found != must:
            raise Wrong(
                f"{folder}: owner {found.owner}, {'closed' if found.closed else 'open'}, {_shown(found.grants)}"
            )
    return {"folders": len(folders)}


def _shown(grants: dict[str, int]) -> str:
    return " ".join(f"{sid}={mask:#x}" for sid, mask in sorted(grants.items()))


def _installed(bench: WindowsBench) -> Any:
    state = bench.service.status()
    if state.condition == "absent":
        raise Skip("the service is not installed")
    return state


CHECKS: tuple[Check[WindowsBench, Figures], ...] = (
    Check("system", "この Windows と pywin32", "this Windows, and pywin32", system),
    Check("source", "イベントログのソース SO8T が登録されている", "event source SO8T is registered", source),
    Check("messages", "文面の DLL に、日本語と英語で 1001 から 1007 がある", "the message DLL: ja and en", messages),
    Check("write", "1001 から 1004 の四つを書く", "write 1001 to 1004", write),
    Check("read", "四つを読み戻す(番号、種類、本文、一度ずつ)", "read the four back, each once", read_back),
    Check("words", "登録した DLL の文で、システムの言語で見える", "shown in the system's language", words),
    Check("service", "サービスの登録(アカウント、自動開始、再起動、特権)", "the service as installed", service),
    Check("rights", "フォルダの権限", "rights of the folders", rights),
)
