"""Events to the Windows event log, source SO8T, ids 1001 to 1007 (plan E.1). Not yet run on Windows: tested over fakes.

Event Viewer shows an event's words through a message file named in the registry: ours (message_file.py), which
`so8t service install` puts down. pywin32's own holds ids 1 to 9 only; the .NET Framework's, part of every Windows since
8, holds every id up to 65535 as "%1", our message, and serves where ours is missing. Without any the event is there all
the same, and its export holds the message; Event Viewer only says that a description is missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import PureWindowsPath
from typing import Any, Protocol, cast

from so8t.core.errors import PackageMissing
from so8t.operate.eventlog.event import SOURCE, Event, EventId

MESSAGE_FILE = PureWindowsPath("Microsoft.NET", "Framework64", "v4.0.30319", "EventLogMessages.dll")
ERROR, WARNING, INFORMATION = 1, 2, 4  # EVENTLOG_*_TYPE of winnt.h
TYPES = {
    EventId.ALLOW: INFORMATION,
    EventId.ESCALATE: INFORMATION,
    EventId.DENY: WARNING,
    EventId.ERROR: ERROR,
    EventId.GAP: WARNING,
    EventId.FINDING: WARNING,
    EventId.CRITICAL: ERROR,
}


class EventApi(Protocol):
    """What we call of pywin32's win32evtlogutil; its errors (pywintypes.error) are no OSError."""

    def ReportEvent(self, appName: str, eventID: int, **options: Any) -> None: ...
    def AddSourceToRegistry(self, appName: str, msgDLL: str, eventLogType: str, eventLogFlags: int) -> None: ...
    def RemoveSourceFromRegistry(self, appName: str, eventLogType: str) -> None: ...


def event_api() -> EventApi:
    """pywin32's module. Raises PackageMissing."""
    try:
        return cast(EventApi, import_module("win32evtlogutil"))
    except ImportError:
        raise PackageMissing(detail="pywin32") from None


def register(api: EventApi, own: str = "", exists: Callable[[str], bool] = os.path.exists) -> str:
    """Make the source known, for an administrator at installation; returns the message file, "" where there is none."""
    general = str(PureWindowsPath(os.environ.get("SYSTEMROOT", r"C:\Windows")) / MESSAGE_FILE)
    found = next((file for file in (own, general) if file and exists(file)), "")
    api.AddSourceToRegistry(SOURCE, found, "Application", ERROR | WARNING | INFORMATION)
    return found


def unregister(api: EventApi) -> None:
    api.RemoveSourceFromRegistry(SOURCE, "Application")


class WindowsSink:
    """Application log. `api` is pywin32, or a test's own."""

    name = "windows"

    def __init__(self, api: EventApi) -> None:
        self._api = api

    def write(self, events: Sequence[Event]) -> None:
        """Raises whatever Windows says."""
        for event in events:
            self._api.ReportEvent(SOURCE, int(event.id), eventType=TYPES[event.id], strings=[event.message])

    def close(self) -> None:
        """Each report opens the log and closes it."""
