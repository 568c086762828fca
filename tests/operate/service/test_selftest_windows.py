"""The self-test of Windows on a Windows in memory: it passes where all is well, and each check can fail."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from fake_pywin32 import SOMEBODY, FakeSecurity, Record, Windows

from so8t.core.selftest import Result
from so8t.operate.eventlog.exported import heads_of
from so8t.operate.eventlog.message_file import dll
from so8t.operate.eventlog.messages import encode_table, packaged_messages
from so8t.operate.service.places import Places
from so8t.operate.service.selftest import four_events, new_token
from so8t.operate.service.selftest_windows import selftest
from so8t.operate.service.service import perform
from so8t.operate.service.windows import WindowsService

NAMES = ["system", "source", "messages", "write", "read", "words", "service", "rights"]
SOURCE_KEY = "system\\currentcontrolset\\services\\eventlog\\application\\so8t"


@pytest.fixture
def installed(make: Callable[..., WindowsService], monkeypatch: pytest.MonkeyPatch) -> WindowsService:
    monkeypatch.setattr("so8t.operate.service.selftest.PAUSE_SECONDS", 0.0)
    service = make()
    perform(service.installation(), lambda step: None)
    return service


def outcome(service: WindowsService) -> tuple[dict[str, str], dict[str, Any]]:
    told: list[Result] = []
    report = selftest(service, told.append)
    assert [r.name for r in told] == [c["name"] for c in report["checks"]] == NAMES
    return {c["name"]: c["status"] for c in report["checks"]}, report


def reason(report: dict[str, Any], name: str) -> str:
    return next(str(c["reason"]) for c in report["checks"] if c["name"] == name)


@pytest.mark.parametrize("language", [0x411, 0x409])
def test_all_is_well(installed: WindowsService, windows: Windows, language: int) -> None:
    windows.language = language
    windows.log += [Record("Other", 1001, 4, ("x",)), Record("SO8T", 1001, 4, None), Record("SO8T", 1001, 4, ("y",))]
    found, report = outcome(installed)
    assert set(found.values()) == {"passed"} and report["failed"] == 0, report
    ours = [r for r in windows.log if r.StringInserts and report["token"] in r.StringInserts[0]]
    assert [(r.EventID, r.EventType) for r in ours] == [(1001, 4), (1002, 4), (1003, 2), (1004, 1)]
    figures = {c["name"]: {m["name"]: m["value"] for m in c["measures"]} for c in report["checks"]}
    assert figures["words"] == {"language": hex(language)} and figures["read"]["ids"] == "1001 1002 1003 1004"
    assert windows.handles == 0


def test_its_events_are_nobodys_evidence(tmp_path: Any) -> None:
    """They have no number of the ledger, so a later comparison passes over them."""
    path = tmp_path / "events.txt"
    head = f"so8t seq=1 head={'ab' * 32} id=1001"
    path.write_text("\n".join([head, *(event.message for event in four_events(new_token()))]), encoding="utf-8")
    assert [h.seq for h in heads_of(path)] == [1]


def test_without_the_service_it_says_what_to_do(
    make: Callable[..., WindowsService], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so8t.operate.service.selftest.PAUSE_SECONDS", 0.0)
    found, report = outcome(make())
    assert found == dict(zip(NAMES, ["passed", "failed", "failed", "passed", "passed", "failed", "skipped", "skipped"],
                             strict=True))  # fmt: skip
    assert "so8t service install" in reason(report, "source")


def test_a_message_file_that_went_away(installed: WindowsService, places: Places) -> None:
    assert places.messages is not None
    places.messages.unlink()
    found, _ = outcome(installed)
    assert [n for n in NAMES if found[n] == "failed"] == ["source", "messages", "words"]


def test_a_message_file_with_other_words(installed: WindowsService, places: Places) -> None:
    assert places.messages is not None
    tables = packaged_messages()
    changed = {language: encode_table(dict(table) | {1003: "%1"}) for language, table in tables.items()}
    places.messages.write_bytes(dll(changed))
    found, report = outcome(installed)
    assert [n for n in NAMES if found[n] == "failed"] == ["messages", "words"]
    assert "id 1003" in reason(report, "messages") and "1003" in reason(report, "words")


def test_the_general_file_has_no_words_of_ours(installed: WindowsService, windows: Windows, places: Places) -> None:
    assert places.messages is not None
    general = places.messages.with_name("EventLogMessages.dll")
    general.write_bytes(dll({0x409: encode_table({n: "%1" for n in range(1001, 1006)})}))
    windows.registry[SOURCE_KEY]["EventMessageFile"] = str(general)
    assert outcome(installed)[0]["messages"] == "skipped"


def test_a_log_that_refuses(installed: WindowsService, windows: Windows) -> None:
    windows.refuse["ReportEvent"] = 5
    found, report = outcome(installed)
    assert (found["write"], found["read"], found["words"]) == ("failed", "skipped", "skipped")
    assert "Access is denied" in reason(report, "write")


@pytest.mark.parametrize("change", ["lost", "twice", "kind", "text"])
def test_a_log_that_keeps_something_else(
    installed: WindowsService, pywin32: dict[str, ModuleType], windows: Windows, change: str
) -> None:
    def report_event(log: str, kind: int, category: int, number: int, sid: Any, strings: Any, data: Any) -> None:
        record = Record(log, number, kind, tuple(strings))
        if number == 1002:
            if change == "lost":
                return
            if change == "twice":
                windows.log.append(record)
            if change == "kind":
                record.EventType = 1
            if change == "text":
                record.StringInserts = (strings[0] + " x",)
        windows.log.append(record)

    vars(pywin32["win32evtlog"])["ReportEvent"] = report_event
    assert outcome(installed)[0]["read"] == "failed"


@pytest.mark.parametrize(
    ("level", "value"), [(2, {"Actions": []}), (6, ("SeDebugPrivilege",)), (2, {"Actions": [(1, 1), (1, 1), (1, 1)]})]
)
def test_a_service_that_was_changed(installed: WindowsService, windows: Windows, level: int, value: Any) -> None:
    windows.services["so8t"].config2[level] = value
    assert outcome(installed)[0]["service"] == "failed"


@pytest.mark.parametrize(("place", "value"), [(1, 3), (7, "LocalSystem")])
def test_a_service_under_another_account_or_by_hand(
    installed: WindowsService, windows: Windows, place: int, value: Any
) -> None:
    made = list(windows.services["so8t"].created)
    made[place] = value
    windows.services["so8t"].created = tuple(made)
    assert outcome(installed)[0]["service"] == "failed"


@pytest.mark.parametrize("change", ["owner", "open", "more", "mask"])
def test_folders_whose_rights_were_changed(
    installed: WindowsService, windows: Windows, places: Places, change: str
) -> None:
    security = windows.security[str(places.data)]
    assert security.entries is not None
    if change == "owner":
        security.owner = SOMEBODY
    if change == "open":
        security.closed = False
    if change == "more":
        security.entries.append(((0, 3), 0x1200A9, "S-1-5-32-545"))
    if change == "mask":
        security.entries[2] = ((0, 3), 0x1F01FF, security.entries[2][2])
    found, report = outcome(installed)
    assert found["rights"] == "failed" and str(places.data) in reason(report, "rights")
    windows.security[str(places.data)] = FakeSecurity(SOMEBODY, True, None)
    assert outcome(installed)[0]["rights"] == "failed"
