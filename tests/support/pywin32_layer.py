"""Stand-ins for the few functions of pywin32's Python layer that so8t calls, for a machine without its wheel.

The same parameters by the same names, the same calls of the compiled modules below. test_pywin32_layer.py holds them
against the real ones where SO8T_PYWIN32_WHEEL names the wheel.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

MACHINE = -2147483646
EVENTS = "SYSTEM\\CurrentControlSet\\Services\\EventLog"


def with_stand_in(compiled: dict[str, ModuleType]) -> dict[str, ModuleType]:
    made = dict(compiled) | {name: ModuleType(name) for name in ("win32serviceutil", "win32evtlogutil")}
    events, services = EventLayer(made), ServiceLayer(made)
    for name in ("AddSourceToRegistry", "RemoveSourceFromRegistry", "ReportEvent", "FormatMessage"):
        setattr(made["win32evtlogutil"], name, getattr(events, name))
    for name in ("InstallService", "RemoveService", "StartService", "StopService"):
        setattr(made["win32serviceutil"], name, getattr(services, name))
    vars(made["win32serviceutil"])["ServiceFramework"] = framework(made)
    return made


class EventLayer:
    def __init__(self, made: dict[str, ModuleType]) -> None:
        self.api, self.evtlog = made["win32api"], made["win32evtlog"]

    def AddSourceToRegistry(
        self, appName: str, msgDLL: Any = None, eventLogType: str = "Application", eventLogFlags: Any = None,
        categoryDLL: Any = None, categoryCount: int = 0,
    ) -> None:  # fmt: skip
        key = self.api.RegCreateKey(MACHINE, f"{EVENTS}\\{eventLogType}\\{appName}")
        self.api.RegSetValueEx(key, "EventMessageFile", 0, 2, msgDLL)
        self.api.RegSetValueEx(key, "TypesSupported", 0, 4, eventLogFlags)
        self.api.RegCloseKey(key)

    def RemoveSourceFromRegistry(self, appName: str, eventLogType: str = "Application") -> None:
        try:
            self.api.RegDeleteKey(MACHINE, f"{EVENTS}\\{eventLogType}\\{appName}")
        except self.api.error as error:
            if error.winerror != 2:
                raise

    def ReportEvent(
        self, appName: str, eventID: int, eventCategory: int = 0, eventType: int = 1, strings: Any = None,
        data: Any = None, sid: Any = None,
    ) -> None:  # fmt: skip
        log = self.evtlog.RegisterEventSource(None, appName)
        self.evtlog.ReportEvent(log, eventType, eventCategory, eventID, sid, strings, data)
        self.evtlog.DeregisterEventSource(log)

    def FormatMessage(self, eventLogRecord: Any, logType: str = "Application") -> str:
        key = self.api.RegOpenKey(MACHINE, f"{EVENTS}\\{logType}\\{eventLogRecord.SourceName}")
        try:
            file = self.api.ExpandEnvironmentStrings(self.api.RegQueryValueEx(key, "EventMessageFile")[0])
            library = self.api.LoadLibraryEx(file, 0, 2)
            return str(self.api.FormatMessageW(0x800, library, eventLogRecord.EventID, 0, eventLogRecord.StringInserts))
        except self.api.error:
            return ""
        finally:
            self.api.RegCloseKey(key)


class ServiceLayer:
    def __init__(self, made: dict[str, ModuleType]) -> None:
        self.made, self.service = made, made["win32service"]

    def _opened(self, name: str) -> tuple[Any, Any]:
        manager = self.service.OpenSCManager(None, None, self.service.SC_MANAGER_ALL_ACCESS)
        try:
            return manager, self.service.OpenService(manager, name, self.service.SERVICE_ALL_ACCESS)
        except self.service.error:
            self.service.CloseServiceHandle(manager)
            raise

    def _close(self, *handles: Any) -> None:
        for handle in handles:
            self.service.CloseServiceHandle(handle)

    def InstallService(
        self, pythonClassString: Any, serviceName: str, displayName: str, startType: Any = None,
        errorControl: Any = None, bRunInteractive: int = 0, serviceDeps: Any = None, userName: Any = None,
        password: Any = None, exeName: Any = None, perfMonIni: Any = None, perfMonDll: Any = None, exeArgs: Any = None,
        description: Any = None, delayedstart: Any = None,
    ) -> None:  # fmt: skip
        own = self.service
        manager = own.OpenSCManager(None, None, own.SC_MANAGER_ALL_ACCESS)
        try:
            made = own.CreateService(
                manager, serviceName, displayName, own.SERVICE_ALL_ACCESS, own.SERVICE_WIN32_OWN_PROCESS, startType,
                own.SERVICE_ERROR_NORMAL, f'"{exeName}" {exeArgs}', None, 0, serviceDeps, userName, password,
            )  # fmt: skip
            own.ChangeServiceConfig2(made, own.SERVICE_CONFIG_DESCRIPTION, description)
            own.ChangeServiceConfig2(made, own.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, delayedstart)
            own.CloseServiceHandle(made)
        finally:
            own.CloseServiceHandle(manager)

    def RemoveService(self, serviceName: str) -> None:
        manager, handle = self._opened(serviceName)
        self.service.DeleteService(handle)
        self._close(handle, manager)
        vars(self.made["win32evtlogutil"])["RemoveSourceFromRegistry"](serviceName)

    def StartService(self, serviceName: str, args: Any = None, machine: Any = None) -> None:
        manager, handle = self._opened(serviceName)
        try:
            self.service.StartService(handle, args)
        finally:
            self._close(handle, manager)

    def StopService(self, serviceName: str, machine: Any = None) -> Any:
        manager, handle = self._opened(serviceName)
        try:
            return self.service.ControlService(handle, 1)
        finally:
            self._close(handle, manager)


def framework(made: dict[str, ModuleType]) -> type:
    """win32serviceutil.ServiceFramework, as far as our host leans on it."""

    class ServiceFramework:
        def __init__(self, args: Any) -> None:
            manager = made["servicemanager"]
            self.ssh = manager.RegisterServiceCtrlHandler(args[0], self.ServiceCtrlHandlerEx, True)
            manager.SetEventSourceName(self._svc_name_)  # type: ignore[attr-defined]
            self.checkPoint = 0

        def ReportServiceStatus(
            self, serviceStatus: int, waitHint: int = 5000, win32ExitCode: int = 0, svcExitCode: int = 0
        ) -> None:
            accepted = 0 if serviceStatus == 2 else self.GetAcceptedControls()  # type: ignore[attr-defined]
            self.checkPoint = 0 if serviceStatus in (1, 4) else self.checkPoint + 1
            status = (0x10, serviceStatus, accepted, win32ExitCode, svcExitCode, self.checkPoint, waitHint)
            made["win32service"].SetServiceStatus(self.ssh, status)

        def ServiceCtrlHandlerEx(self, control: int, event_type: int, data: Any) -> Any:
            known = {1: "SvcStop", 4: "SvcInterrogate", 5: "SvcShutdown"}
            if control in known:
                return getattr(self, known[control])()
            return self.SvcOtherEx(control, event_type, data)  # type: ignore[attr-defined]

    return ServiceFramework
