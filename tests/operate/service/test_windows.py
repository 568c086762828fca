"""The service on a Windows in memory: installed whole or not at all, with little rights, and taken away again."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_pywin32 import RUNNING, SOMEBODY, START_PENDING, STOPPED, FakeSecurity, FakeService, Windows

from so8t.core.errors import (
    AdministratorNeeded,
    PackageMissing,
    PlaceUnfit,
    ServiceAbsent,
    ServiceFailed,
    ServiceThere,
    So8tError,
    SourceMissing,
)
from so8t.operate.eventlog.message_file import read_message_file
from so8t.operate.eventlog.messages import packaged_messages
from so8t.operate.service.places import Places
from so8t.operate.service.pywin32 import Pywin32
from so8t.operate.service.service import Program, perform
from so8t.operate.service.windows import WindowsService
from so8t.operate.service.windows_rights import (
    ADMINISTRATORS,
    FULL,
    MODIFY,
    READ,
    SYSTEM,
    account_sid,
    rights_of,
    service_sid,
    wanted,
)

Make = Callable[..., WindowsService]
SOURCE_KEY = "system\\currentcontrolset\\services\\eventlog\\application\\so8t"


def install(service: WindowsService) -> list[str]:
    done: list[str] = []
    service.check()
    perform(service.installation(), lambda step: done.append(step.en))
    return done


def test_what_is_installed(make: Make, windows: Windows, places: Places, program: Program) -> None:
    service = make()
    assert service.status().condition == "absent"
    assert len(install(service)) == 4
    made = windows.services["so8t"]
    kind, start, control, command, *_, account, display = made.created
    assert (kind, start, control, account) == (0x10, 2, 1, r"NT SERVICE\so8t")
    assert display.startswith("so8t 社内") and command == service.command
    assert made.config2[1].startswith("社内の依頼") and made.config2[3] is True  # description, delayed start
    assert made.config2[2]["Actions"] == [(1, 5_000), (1, 30_000), (1, 300_000)]  # restarts, with pauses
    assert made.config2[6] == ("SeChangeNotifyPrivilege",)  # and so nobody to impersonate
    assert made.config2[7] == 60_000 and made.config2[5] == 1
    state = service.status()
    assert (state.condition, state.autostart, state.exit_code) == ("stopped", True, None)  # never started, not failed
    assert windows.handles == 0


def test_the_command_line_is_isolated_and_quoted(make: Make, program: Program, places: Places) -> None:
    words = shlex.split(make(arguments=["--config", 'C:\\a b\\"x"']).command, posix=True)
    assert words[:6] == [str(program.base), "-I", "-B", "-X", "utf8", str(program.packages / "service host.py")]
    named = dict(zip(words[6:14:2], words[7:14:2], strict=True))
    assert named == {
        "--packages": str(program.packages), "--python": str(program.python), "--folder": str(places.data),
        "--logs": str(places.logs),
    }  # fmt: skip
    assert words[14:16] == ["--", "--config"]


def test_the_source_is_registered_with_our_own_words(make: Make, windows: Windows, places: Places) -> None:
    install(make())
    registered = windows.registry[SOURCE_KEY]
    assert registered == {"EventMessageFile": str(places.messages), "TypesSupported": 7}
    assert places.messages is not None and read_message_file(places.messages) == packaged_messages()


def test_nobody_else_may_use_the_folders(make: Make, windows: Windows, places: Places) -> None:
    service = make()
    install(service)
    sid = service_sid("so8t")
    for folder, mask in {places.data.parent: READ, places.data: MODIFY, places.logs: MODIFY}.items():
        assert folder is not None and folder.is_dir()
        assert rights_of(service.api, folder) == wanted(sid, mask)
        entries = windows.security[str(folder)].entries
        assert entries == [((0, 3), FULL, SYSTEM), ((0, 3), FULL, ADMINISTRATORS), ((0, 3), mask, sid)]


def test_the_sid_of_a_service_is_windows_own() -> None:
    """The one SID of this kind that everybody knows: TrustedInstaller's."""
    assert service_sid("TrustedInstaller") == "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
    assert service_sid("so8t") == service_sid("SO8T")


def test_a_managed_account_takes_the_rights(make: Make, windows: Windows, places: Places) -> None:
    service = make(account="OFFICE\\so8t$")
    install(service)
    assert windows.services["so8t"].created[7] == "OFFICE\\so8t$"
    assert "S-1-5-21-1-2-3-2000" in rights_of(service.api, places.data).grants
    with pytest.raises(ServiceFailed, match="no mapping"):
        account_sid(service.api, "OFFICE\\nobody")


def test_start_stop_and_status(make: Make, windows: Windows) -> None:
    service = make()
    install(service)
    service.start()
    service.start()  # one that runs is no error
    assert service.status().condition == "running" and service.status().pid == 4711
    service.stop()
    service.stop()
    assert service.status().condition == "stopped" and windows.handles == 0


def test_a_slow_start_is_waited_for(make: Make, windows: Windows) -> None:
    service = make(pause=lambda seconds: setattr(windows.services["so8t"], "state", RUNNING))
    install(service)
    windows.starts = lambda made: setattr(made, "state", START_PENDING)
    service.start()
    assert service.status().condition == "running"


@pytest.mark.parametrize(("win32", "own", "code"), [(1066, 8, 8), (1067, 0, 1067)])
def test_a_start_that_fails_tells_its_exit_code_and_the_log(
    make: Make, windows: Windows, places: Places, win32: int, own: int, code: int
) -> None:
    service = make()
    install(service)

    def fail(made: FakeService) -> None:
        made.state, made.win32_exit, made.own_exit = STOPPED, win32, own

    windows.starts = fail
    with pytest.raises(ServiceFailed, match=f"failed, exit code {code}") as caught:
        service.start()
    assert caught.value.where == str(places.logs)
    assert service.status().exit_code == code
    service.stop()  # it is stopped already


def test_one_that_never_gets_ready_is_told(make: Make, windows: Windows) -> None:
    service = make()
    install(service)
    windows.starts = lambda made: setattr(made, "state", START_PENDING)
    with pytest.raises(ServiceFailed, match="starting"):
        service.start()


def test_removal_leaves_the_ledger(make: Make, windows: Windows, places: Places) -> None:
    service = make()
    install(service)
    (places.data / "ledger.db").touch()
    service.start()
    perform(service.removal(), lambda step: None)
    assert windows.services == {} and SOURCE_KEY not in windows.registry
    assert places.messages is not None and not places.messages.exists()
    assert (places.data / "ledger.db").exists() and places.config.exists()
    with pytest.raises(ServiceAbsent):
        service.removal()
    assert windows.handles == 0


def test_what_fails_in_the_middle_leaves_nothing_half_done(make: Make, windows: Windows) -> None:
    service = make()
    windows.refuse["CreateService"] = 87
    with pytest.raises(ServiceFailed, match=r"CreateService: parameter \(87\)"):
        install(service)
    assert windows.services == {} and SOURCE_KEY not in windows.registry


def test_an_undo_that_fails_too_keeps_the_first_error(make: Make, windows: Windows, monkeypatch: Any) -> None:
    service = make()
    windows.refuse["CreateService"] = 87

    def no(service: WindowsService) -> None:
        raise ServiceFailed(detail="undo")

    monkeypatch.setattr(WindowsService, "_unregister", no)
    with pytest.raises(ServiceFailed, match="CreateService"):
        install(service)


def test_a_message_file_in_use(make: Make, windows: Windows, places: Places, monkeypatch: Any) -> None:
    """Windows keeps an open DLL from being replaced or deleted."""
    service = make()
    install(service)
    assert places.messages is not None
    monkeypatch.setattr("so8t.operate.eventlog.message_file.write_bytes", _in_use)
    monkeypatch.setattr(Path, "unlink", _in_use)
    service.installation()[1].do()  # it is there with the same words
    perform(service.removal(), lambda step: None)
    assert places.messages.exists() and windows.services == {} and SOURCE_KEY not in windows.registry
    places.messages.write_bytes(b"other words")
    with pytest.raises(ServiceFailed, match="PermissionError"):
        service.installation()[1].do()


def _in_use(*given: Any, **named: Any) -> None:
    raise PermissionError(13, "in use")


def test_hardening_that_windows_refuses_is_no_installation(make: Make, windows: Windows) -> None:
    service = make()
    steps = service.installation()
    with pytest.raises(ServiceFailed, match="ChangeServiceConfig2"):
        for step in steps:
            if step is steps[-1]:
                windows.refuse["ChangeServiceConfig2"] = 87
            step.do()
    steps[2].undo()  # type: ignore[misc]
    assert windows.services == {}


def test_what_cannot_be_installed_is_said_first(make: Make, windows: Windows, tmp_path: Path) -> None:
    service = make()
    windows.admin = False
    with pytest.raises(AdministratorNeeded):
        service.check()
    assert service.status().condition == "absent"  # everybody may look
    windows.admin = True
    with pytest.raises(SourceMissing, match=r"none\.toml"):
        make(config=tmp_path / "none.toml").check()
    install(service)
    with pytest.raises(ServiceThere):
        service.check()
    assert windows.handles == 0


def test_a_program_in_a_users_folder_is_refused(make: Make, tmp_path: Path, program: Program) -> None:
    home = tmp_path / "Users" / "yamada" / "python.exe"
    home.parent.mkdir(parents=True)
    home.touch()
    with pytest.raises(PlaceUnfit, match="yamada"):
        make(program=Program(home, home, program.packages, program.source)).check()


def test_folders_that_somebody_else_made_are_refused(make: Make, windows: Windows, places: Places) -> None:
    """Every user may make a folder below ProgramData, would own it, and could change it later."""
    service = make()
    planted = places.config.parent / "policy.toml"
    planted.touch()
    windows.security[str(planted)] = FakeSecurity(SOMEBODY)
    with pytest.raises(PlaceUnfit, match=SOMEBODY):
        service.check()
    with pytest.raises(PlaceUnfit):  # also when it came between the check and the work
        perform(service.installation(), lambda step: None)
    assert windows.services == {}


def test_a_link_below_our_folder_is_refused(make: Make, places: Places, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    places.bundle.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PlaceUnfit, match="link"):
        make().check()


def test_too_many_files_to_look_through_is_refused(make: Make, places: Places, monkeypatch: Any) -> None:
    monkeypatch.setattr("so8t.operate.service.windows_rights.MAX_ENTRIES", 3)
    for i in range(4):
        (places.config.parent / str(i)).touch()
    with pytest.raises(PlaceUnfit, match="> 3 files"):
        make().check()


def test_rights_that_are_no_list_or_a_denial_are_seen(make: Make, windows: Windows, places: Places) -> None:
    service = make()
    windows.security[str(places.data)] = FakeSecurity(SYSTEM, True, None)
    assert rights_of(service.api, places.data).grants == {"S-1-1-0": FULL}
    windows.security[str(places.data)] = FakeSecurity(SYSTEM, True, [((1, 3), FULL, SYSTEM)])
    assert rights_of(service.api, places.data).grants == {SYSTEM: 0}


@pytest.mark.parametrize(
    ("number", "kind"),
    [(5, AdministratorNeeded), (1314, AdministratorNeeded), (1060, ServiceAbsent), (1073, ServiceThere),
     (1072, ServiceFailed), (87, ServiceFailed)],
)  # fmt: skip
def test_windows_errors_become_ours(make: Make, windows: Windows, number: int, kind: type[So8tError]) -> None:
    service = make()
    windows.refuse["CreateService"] = number
    with pytest.raises(kind, match=str(number)):
        service.installation()[2].do()


def test_without_pywin32_the_error_names_it() -> None:
    with pytest.raises(PackageMissing, match="pywin32"):
        Pywin32.load()


def test_the_stand_in_has_the_layers_parameters(pywin32: dict[str, ModuleType]) -> None:
    """Run over both: what so8t calls has these parameters in the real layer and in the stand-in."""
    expected = {
        ("win32serviceutil", "InstallService"): ("pythonClassString", "serviceName", "displayName", "startType",
         "errorControl", "bRunInteractive", "serviceDeps", "userName", "password", "exeName", "perfMonIni",
         "perfMonDll", "exeArgs", "description", "delayedstart"),
        ("win32serviceutil", "RemoveService"): ("serviceName",),
        ("win32serviceutil", "StartService"): ("serviceName", "args", "machine"),
        ("win32serviceutil", "StopService"): ("serviceName", "machine"),
        ("win32evtlogutil", "AddSourceToRegistry"): ("appName", "msgDLL", "eventLogType", "eventLogFlags",
         "categoryDLL", "categoryCount"),
        ("win32evtlogutil", "RemoveSourceFromRegistry"): ("appName", "eventLogType"),
        ("win32evtlogutil", "ReportEvent"): ("appName", "eventID", "eventCategory", "eventType", "strings", "data",
         "sid"),
        ("win32evtlogutil", "FormatMessage"): ("eventLogRecord", "logType"),
    }  # fmt: skip
    for (module, name), parameters in expected.items():
        assert tuple(inspect.signature(getattr(pywin32[module], name)).parameters) == parameters, name
    framework = pywin32["win32serviceutil"].ServiceFramework
    said = tuple(inspect.signature(framework.ReportServiceStatus).parameters)
    assert said == ("self", "serviceStatus", "waitHint", "win32ExitCode", "svcExitCode")
