"""A Windows in memory behind pywin32's compiled modules: services, registry, event log, rights of files.

Only what is compiled in pywin32 is faked, with the names, arguments and errors that it has. Its Python layer
(win32serviceutil, win32evtlogutil) is the real one where SO8T_PYWIN32_WHEEL names pywin32's wheel; else a stand-in of
the few functions that so8t calls. The same tests run over both.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from so8t.operate.eventlog.message_file import read_message_file

ADMINISTRATORS, SOMEBODY = "S-1-5-32-544", "S-1-5-21-1-2-3-1001"
WORDS = {2: "file not found", 5: "Access is denied.", 1056: "running", 1060: "no such service", 1062: "not started",
         1073: "exists", 1072: "marked for deletion", 317: "no such message", 87: "parameter"}  # fmt: skip
COMPILED = ("pywintypes", "win32api", "win32evtlog", "win32security", "win32service", "servicemanager")
LAYER = ("winerror", "win32con", "win32evtlogutil", "win32serviceutil")
STOPPED, START_PENDING, STOP_PENDING, RUNNING = 1, 2, 3, 4


class Error(Exception):
    """pywintypes.error."""

    def __init__(self, winerror: int, funcname: str, strerror: str = "") -> None:
        self.winerror, self.funcname, self.strerror = winerror, funcname, strerror or WORDS.get(winerror, "?")
        super().__init__(winerror, funcname, self.strerror)


@dataclass
class Record:
    """PyEventLogRecord."""

    SourceName: str
    EventID: int
    EventType: int
    StringInserts: tuple[str, ...] | None


@dataclass
class FakeService:
    created: tuple[Any, ...]
    config2: dict[int, Any] = field(default_factory=dict)
    state: int = STOPPED
    win32_exit: int = 1077
    own_exit: int = 0
    marked: bool = False


@dataclass
class FakeSecurity:
    owner: str
    closed: bool = False
    entries: list[tuple[tuple[int, int], int, str]] | None = field(default_factory=list)

    def GetSecurityDescriptorOwner(self) -> str:
        return self.owner

    def GetSecurityDescriptorControl(self) -> tuple[int, int]:
        return (0x8004 | (0x1000 if self.closed else 0), 1)

    def GetSecurityDescriptorDacl(self) -> FakeAcl | None:
        return None if self.entries is None else FakeAcl(list(self.entries))


@dataclass
class FakeAcl:
    entries: list[tuple[tuple[int, int], int, str]] = field(default_factory=list)

    def AddAccessAllowedAceEx(self, revision: int, aceflags: int, access: int, sid: str) -> None:
        assert revision == 2
        self.entries.append(((0, aceflags), access, sid))

    def GetAceCount(self) -> int:
        return len(self.entries)

    def GetAce(self, index: int) -> tuple[tuple[int, int], int, str]:
        return self.entries[index]


@dataclass
class Windows:
    """`admin`: whether the caller is one. `starts`: what a started service does (its state afterwards, exit code)."""

    admin: bool = True
    language: int = 0x411
    services: dict[str, FakeService] = field(default_factory=dict)
    registry: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: list[Record] = field(default_factory=list)
    security: dict[str, FakeSecurity] = field(default_factory=dict)
    default_owner: str = ADMINISTRATORS
    starts: Callable[[FakeService], None] = lambda service: setattr(service, "state", RUNNING)
    refuse: dict[str, int] = field(default_factory=dict)
    handles: int = 0
    statuses: list[tuple[int, ...]] = field(default_factory=list)
    handler: Callable[..., Any] | None = None

    def check(self, function: str) -> None:
        """`refuse` names functions that fail, and with which error."""
        if function in self.refuse:
            raise Error(self.refuse[function], function)

    def key(self, name: str) -> str:
        return name.lower()

    def opened(self) -> int:
        self.handles += 1
        return self.handles

    # -- win32service ----------------------------------------------------------------------------------------------

    def OpenSCManager(self, machineName: Any, dbName: Any, desiredAccess: int) -> str:
        if not self.admin and desiredAccess != 1:
            raise Error(5, "OpenSCManager")
        self.opened()
        return "manager"

    def CreateService(
        self, scHandle: str, name: str, displayName: str, desiredAccess: int, serviceType: int, startType: int,
        errorControl: int, binaryFile: str, loadOrderGroup: Any, bFetchTag: int, serviceDeps: Any, acctName: str,
        password: Any,
    ) -> FakeService:  # fmt: skip
        self.check("CreateService")
        if name in self.services:
            raise Error(1072 if self.services[name].marked else 1073, "CreateService")
        made = FakeService((serviceType, startType, errorControl, binaryFile, "", 0, [], acctName, displayName))
        self.services[name] = made
        assert password is None and serviceType == 0x10
        self.opened()
        return made

    def OpenService(self, scHandle: str, name: str, desiredAccess: int) -> FakeService:
        if name not in self.services:
            raise Error(1060, "OpenService")
        if not self.admin and desiredAccess & ~(1 | 4):
            raise Error(5, "OpenService")
        self.opened()
        return self.services[name]

    def GetServiceKeyName(self, scHandle: str, name: str) -> str:
        raise Error(1060, "GetServiceKeyName")

    def CloseServiceHandle(self, handle: Any) -> None:
        self.handles -= 1

    def ChangeServiceConfig2(self, handle: FakeService, InfoLevel: int, info: Any) -> None:
        self.check("ChangeServiceConfig2")
        handle.config2[InfoLevel] = info

    def QueryServiceConfig(self, handle: FakeService) -> tuple[Any, ...]:
        return handle.created

    def QueryServiceConfig2(self, handle: FakeService, InfoLevel: int) -> Any:
        return handle.config2[InfoLevel]

    def QueryServiceStatusEx(self, handle: FakeService) -> dict[str, int]:
        return {
            "ServiceType": 0x10, "CurrentState": handle.state, "ControlsAccepted": 1,
            "Win32ExitCode": handle.win32_exit, "ServiceSpecificExitCode": handle.own_exit, "CheckPoint": 0,
            "WaitHint": 0, "ProcessId": 4711 if handle.state != STOPPED else 0, "ServiceFlags": 0,
        }  # fmt: skip

    def QueryServiceStatus(self, handle: FakeService) -> tuple[int, ...]:
        return (0x10, handle.state, 1, handle.win32_exit, handle.own_exit, 0, 0)

    def StartService(self, handle: FakeService, args: Any) -> None:
        if handle.state != STOPPED:
            raise Error(1056, "StartService")
        handle.win32_exit = handle.own_exit = 0
        self.starts(handle)

    def ControlService(self, handle: FakeService, code: int) -> tuple[int, ...]:
        assert code == 1  # SERVICE_CONTROL_STOP
        if handle.state == STOPPED:
            raise Error(1062, "ControlService")
        handle.state = STOPPED
        return self.QueryServiceStatus(handle)

    def DeleteService(self, handle: FakeService) -> None:
        name = next(name for name, service in self.services.items() if service is handle)
        del self.services[name]

    def SetServiceStatus(self, handle: Any, status: tuple[int, ...]) -> None:
        self.statuses.append(status)

    # -- win32api --------------------------------------------------------------------------------------------------

    def RegCreateKey(self, key: int, subKey: str) -> str:
        if not self.admin:
            raise Error(5, "RegCreateKey")
        self.registry.setdefault(self.key(subKey), {})
        self.opened()
        return subKey

    def RegOpenKey(self, key: int, subKey: str, reserved: int = 0, sam: int = 0x20019) -> str:
        assert key == -2147483646
        if self.key(subKey) not in self.registry:
            raise Error(2, "RegOpenKey")
        self.opened()
        return subKey

    def RegCloseKey(self, key: str) -> None:
        self.handles -= 1

    def RegSetValueEx(self, key: str, valueName: str, reserved: int, type: int, value: Any) -> None:
        self.registry[self.key(key)][valueName] = value

    def RegQueryValueEx(self, key: str, valueName: str) -> tuple[Any, int]:
        values = self.registry[self.key(key)]
        if valueName not in values:
            raise Error(2, "RegQueryValueEx")
        return values[valueName], 1

    def RegDeleteKey(self, key: int, subKey: str) -> None:
        if self.registry.pop(self.key(subKey), None) is None:
            raise Error(2, "RegDeleteKey")

    def GetFullPathName(self, fileName: str) -> str:
        return fileName

    def LoadLibraryEx(self, fileName: str, handle: int, reserved: int) -> Path:
        if not Path(fileName).is_file():
            raise Error(2, "LoadLibraryEx")
        return Path(fileName)

    def FormatMessageW(self, flags: int, source: Path, id: int, language: int, inserts: Any) -> str:
        text = read_message_file(source).get(self.language, {}).get(id)
        if text is None:
            raise Error(317, "FormatMessageW")
        for i, insert in enumerate(inserts, 1):
            text = text.replace(f"%{i}", insert)
        return text.replace("%n", "\r\n").split("%0")[0]

    # -- win32evtlog -----------------------------------------------------------------------------------------------

    def ReportEvent(
        self, EventLog: str, Type: int, Category: int, EventID: int, UserSid: Any, Strings: Any, RawData: Any
    ) -> None:
        self.check("ReportEvent")
        self.log.append(Record(EventLog, EventID, Type, tuple(Strings)))

    def ReadEventLog(self, Handle: list[Record], Flags: int, Offset: int) -> list[Record]:
        """A few at a time, the newest first; each open log goes on where it stopped."""
        assert Flags == 8 | 1
        taken, Handle[:] = Handle[:3], Handle[3:]
        return taken

    # -- win32security ---------------------------------------------------------------------------------------------

    def GetNamedSecurityInfo(self, ObjectName: str, ObjectType: int, SecurityInfo: int) -> FakeSecurity:
        assert ObjectType == 1 and SecurityInfo == 1 | 4
        inherited = [((0, 0x10), 0x1200A9, "S-1-5-32-545")]
        return self.security.get(ObjectName) or FakeSecurity(self.default_owner, False, inherited)

    def SetNamedSecurityInfo(
        self, ObjectName: str, ObjectType: int, SecurityInfo: int, Owner: str, Group: Any, Dacl: FakeAcl, Sacl: Any
    ) -> None:
        if not self.admin:
            raise Error(5, "SetNamedSecurityInfo")
        assert ObjectType == 1 and SecurityInfo == (1 | 4 | -2147483648) and Group is None and Sacl is None
        self.security[ObjectName] = FakeSecurity(Owner, True, list(Dacl.entries))

    def LookupAccountName(self, systemName: Any, accountName: str) -> tuple[str, str, int]:
        if accountName != "OFFICE\\so8t$":
            raise Error(1332, "LookupAccountName", "no mapping")
        return "S-1-5-21-1-2-3-2000", "OFFICE", 1

    # -- servicemanager --------------------------------------------------------------------------------------------

    def RegisterServiceCtrlHandler(self, serviceName: str, callback: Callable[..., Any], extra_args: bool) -> str:
        assert extra_args
        self.handler = callback
        return "status handle"


def modules(windows: Windows) -> dict[str, ModuleType]:
    """The compiled modules."""
    made = {name: ModuleType(name) for name in COMPILED}
    service, evtlog, manager = made["win32service"], made["win32evtlog"], made["servicemanager"]
    for name in ("pywintypes", "win32api", "win32service"):
        vars(made[name])["error"] = Error
    for name in (
        "OpenSCManager", "CreateService", "OpenService", "GetServiceKeyName", "CloseServiceHandle",
        "ChangeServiceConfig2", "QueryServiceConfig", "QueryServiceConfig2", "QueryServiceStatusEx",
        "QueryServiceStatus", "StartService", "ControlService", "DeleteService", "SetServiceStatus",
    ):  # fmt: skip
        setattr(service, name, getattr(windows, name))
    vars(service).update(
        SC_MANAGER_ALL_ACCESS=0xF003F, SERVICE_ALL_ACCESS=0xF01FF, SERVICE_WIN32_OWN_PROCESS=0x10,
        SERVICE_INTERACTIVE_PROCESS=0x100, SERVICE_DEMAND_START=3, SERVICE_ERROR_NORMAL=1, SERVICE_NO_CHANGE=-1,
        SERVICE_CONFIG_DESCRIPTION=1, SERVICE_CONFIG_DELAYED_AUTO_START_INFO=3, SERVICE_CONTROL_STOP=1,
        SERVICE_CONTROL_PAUSE=2, SERVICE_CONTROL_CONTINUE=3, SERVICE_CONTROL_INTERROGATE=4,
        SERVICE_CONTROL_SHUTDOWN=5, SERVICE_STOPPED=STOPPED, SERVICE_START_PENDING=START_PENDING,
        SERVICE_STOP_PENDING=STOP_PENDING, SERVICE_RUNNING=RUNNING,
    )  # fmt: skip
    for name in ("RegCreateKey", "RegOpenKey", "RegCloseKey", "RegSetValueEx", "RegQueryValueEx", "RegDeleteKey",
                 "GetFullPathName", "LoadLibraryEx", "FormatMessageW"):  # fmt: skip
        setattr(made["win32api"], name, getattr(windows, name))
    vars(made["win32api"]).update(
        FreeLibrary=lambda handle: None, ExpandEnvironmentStrings=lambda text: text,
        MAKELANGID=lambda primary, sub: primary | sub << 10, Sleep=lambda ms, alertable=0: 0,
    )  # fmt: skip
    vars(evtlog).update(
        __file__="win32evtlog.pyd", EVENTLOG_ERROR_TYPE=1, EVENTLOG_WARNING_TYPE=2, EVENTLOG_INFORMATION_TYPE=4,
        EVENTLOG_BACKWARDS_READ=8, EVENTLOG_SEQUENTIAL_READ=1, ReportEvent=windows.ReportEvent,
        RegisterEventSource=lambda server, source: source, DeregisterEventSource=lambda handle: None,
        OpenEventLog=lambda server, name: windows.log[::-1], ReadEventLog=windows.ReadEventLog,
        CloseEventLog=lambda handle: None,
    )  # fmt: skip
    vars(made["win32security"]).update(
        PROTECTED_DACL_SECURITY_INFORMATION=-2147483648, ACL=FakeAcl, ConvertStringSidToSid=str,
        ConvertSidToStringSid=str, LookupAccountName=windows.LookupAccountName,
        GetNamedSecurityInfo=windows.GetNamedSecurityInfo, SetNamedSecurityInfo=windows.SetNamedSecurityInfo,
    )  # fmt: skip
    vars(manager).update(
        RegisterServiceCtrlHandler=windows.RegisterServiceCtrlHandler, SetEventSourceName=lambda *given: None
    )
    return made


def with_real_layer(compiled: dict[str, ModuleType], wheel: Path) -> dict[str, ModuleType]:
    """pywin32's own Python modules out of its wheel. The fakes must be in sys.modules, and what this returns too."""
    made = dict(compiled)
    with zipfile.ZipFile(wheel) as archive:
        for name in LAYER:
            made[name] = sys.modules[name] = ModuleType(name)
            source = archive.read(f"win32/lib/{name}.py").decode("utf-8")
            exec(compile(source, f"{wheel}/{name}.py", "exec"), vars(made[name]))
    return made
