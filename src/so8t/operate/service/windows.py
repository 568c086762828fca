"""so8t as a service of Windows, by pywin32: an account of its own without rights, restarts with pauses, a clean stop.

Not yet run on Windows itself: see docs/windows.md for what was, and `so8t selftest windows` for the rest.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t.core.errors import ServiceAbsent, ServiceFailed, ServiceThere, SourceMissing
from so8t.operate.eventlog.message_file import write_message_file
from so8t.operate.eventlog.windows_sink import register, unregister
from so8t.operate.service.places import Places
from so8t.operate.service.pywin32 import (
    ALREADY_RUNNING,
    NEVER_STARTED,
    NOT_ACTIVE,
    SPECIFIC_ERROR,
    Pywin32,
    windows_says,
)
from so8t.operate.service.service import DESCRIPTION, DISPLAY, NAME, WAIT_SECONDS, Condition, Program, State, Step
from so8t.operate.service.windows_rights import MODIFY, READ, account_sid, protect, refuse_strangers, wanted

ACCOUNT = rf"NT SERVICE\{NAME}"
PAUSES = (5_000, 30_000, 300_000)  # milliseconds before the first, second and every later start after a crash
FORGET_SECONDS = 86_400
SHUTDOWN_MILLISECONDS = 60_000
PRIVILEGES = ("SeChangeNotifyPrivilege",)  # without SeImpersonatePrivilege, which every service has otherwise
AUTO_START = 2
# winsvc.h: SERVICE_CONFIG_*
FAILURE_ACTIONS, SERVICE_SID, REQUIRED_PRIVILEGES, PRESHUTDOWN = 2, 5, 6, 7
CONDITIONS: dict[int, Condition] = {1: "stopped", 2: "starting", 3: "stopping", 4: "running"}
_ALL_OF_MANAGER, _CONNECT, _ALL_OF_SERVICE, _QUERY = 0xF003F, 1, 0xF01FF, 1 | 4


@dataclass(frozen=True, slots=True)
class WindowsService:
    """`host`: the script that speaks with the service control manager; `arguments`: of `so8t serve`.

    Another `account` than the service's own must be one without a password: a group managed service account.
    """

    api: Pywin32
    places: Places
    program: Program
    config: Path
    host: Path
    arguments: Sequence[str] = ()
    account: str = ACCOUNT
    pause: Callable[[float], None] = field(default=time.sleep)

    def check(self) -> None:
        with self._manager(_ALL_OF_MANAGER):
            pass
        if self.status().condition != "absent":
            raise ServiceThere(where=NAME)
        self.places.check_programs((self.program.base, self.program.packages, self.program.source, self.host))
        for file in (self.program.base, self.host, self.config):
            if not file.is_file():
                raise SourceMissing(where=file)
        self._refuse_strangers()

    def installation(self) -> Sequence[Step]:
        messages, shown = str(self.places.messages), ", ".join(map(str, self.rights()))
        return (
            Step(
                f"フォルダの権限を SYSTEM、管理者、{self.account} だけにする: {shown}",
                f"only SYSTEM, administrators and {self.account} may use: {shown}",
                self._protect,
            ),
            Step(
                f"イベントログのソース SO8T を登録する: {messages}",
                f"register event source SO8T: {messages}",
                self._register, self._unregister,
            ),
            Step(
                f"サービス {NAME} を登録する({self.account}、自動・遅延開始): {self.command}",
                f"create service {NAME} ({self.account}, delayed automatic start): {self.command}",
                self._create, self._delete,
            ),
            Step(
                "異常終了のときは 5 秒、30 秒、以後 5 分おいて起動し直す。特権は外し、停止には 60 秒まで待つ",
                "start again after a crash: 5 s, 30 s, then 5 minutes; no privileges; 60 s for a shutdown",
                self._configure,
            ),
        )  # fmt: skip

    def removal(self) -> Sequence[Step]:
        if self.status().condition == "absent":
            raise ServiceAbsent(where=NAME)
        return (
            Step(f"サービス {NAME} を止める", f"stop service {NAME}", self.stop),
            Step(f"サービス {NAME} を消す", f"delete service {NAME}", self._delete),
            Step("イベントログのソース SO8T を消す", "remove event source SO8T", self._unregister),
        )

    def start(self) -> None:
        with windows_says(self.api, NAME, but=ALREADY_RUNNING):
            self.api.win32serviceutil.StartService(NAME)
        self._wait("running", "starting")

    def stop(self) -> None:
        with windows_says(self.api, NAME, but=NOT_ACTIVE):
            self.api.win32serviceutil.StopService(NAME)
        self._wait("stopped", "stopping", "running")

    def status(self) -> State:
        try:
            with self._opened(_CONNECT, _QUERY) as service:
                found = self.api.win32service.QueryServiceStatusEx(service)
                config = self.api.win32service.QueryServiceConfig(service)
        except ServiceAbsent:
            return State("absent")
        condition = CONDITIONS.get(found["CurrentState"], "failed")
        code = found["Win32ExitCode"]
        ended = found["ServiceSpecificExitCode"] if code == SPECIFIC_ERROR else code if code != NEVER_STARTED else 0
        if condition == "stopped" and ended:
            condition = "failed"
        return State(
            condition, found["ProcessId"], config[1] == AUTO_START, config[7], ended if condition == "failed" else None,
            config[3], str(self._logs),
        )  # fmt: skip

    def configured(self, what: int) -> Any:
        """One of QueryServiceConfig2's answers. Raises ServiceAbsent."""
        with self._opened(_CONNECT, _QUERY) as service:
            return self.api.win32service.QueryServiceConfig2(service, what)

    @property
    def command(self) -> str:
        """The whole command line that Windows starts. Isolated: no variable and no user's folder adds to its path."""
        return f'"{self.program.base}" {self._after_program}'

    @property
    def _after_program(self) -> str:
        own = ["--packages", self.program.packages, "--python", self.program.python, "--folder", self.places.data]
        own += ["--logs", self._logs]
        parts = ["-I", "-B", "-X", "utf8", self.host, *own, "--", *self.arguments]
        return subprocess.list2cmdline([str(part) for part in parts])

    @property
    def _logs(self) -> Path:
        return self.places.logs or self.places.data / "logs"

    def rights(self) -> dict[Path, int]:
        """What the account may do: read everything below our folder, write the two that are its own."""
        return {self.places.data.parent: READ, self.places.data: MODIFY, self._logs: MODIFY}

    def _protect(self) -> None:
        sid = account_sid(self.api, self.account)
        for folder, mask in self.rights().items():
            protect(self.api, folder, wanted(sid, mask))
        self._refuse_strangers()  # again: until now, anybody could have put something there

    def _refuse_strangers(self) -> None:
        root = self.places.data.parent
        if root.exists():
            refuse_strangers(self.api, root, but=(self.places.data, self._logs))

    def _register(self) -> None:
        file = self.places.messages
        with windows_says(self.api, "SO8T"):
            if file is not None:
                _written(file)
            register(self.api.win32evtlogutil, str(file or ""))

    def _unregister(self) -> None:
        with windows_says(self.api, "SO8T"):
            unregister(self.api.win32evtlogutil)
        if self.places.messages is not None:
            with suppress(OSError):  # Event Viewer may have it open; left behind, it does nothing
                self.places.messages.unlink()

    def _create(self) -> None:
        with windows_says(self.api, NAME):
            self.api.win32serviceutil.InstallService(
                None, NAME, DISPLAY, startType=AUTO_START, userName=self.account, exeName=str(self.program.base),
                exeArgs=self._after_program, description=DESCRIPTION, delayedstart=True,
            )  # fmt: skip

    def _configure(self) -> None:
        change = self.api.win32service.ChangeServiceConfig2
        restart = [(1, pause) for pause in PAUSES]  # SC_ACTION_RESTART
        failure = {"ResetPeriod": FORGET_SECONDS, "RebootMsg": "", "Command": "", "Actions": restart}
        with self._opened(_ALL_OF_MANAGER, _ALL_OF_SERVICE) as service:
            change(service, FAILURE_ACTIONS, failure)
            change(service, SERVICE_SID, 1)
            change(service, REQUIRED_PRIVILEGES, PRIVILEGES)
            change(service, PRESHUTDOWN, SHUTDOWN_MILLISECONDS)

    def _delete(self) -> None:
        with windows_says(self.api, NAME):
            self.api.win32serviceutil.RemoveService(NAME)

    def _wait(self, wanted: Condition, *meanwhile: Condition) -> None:
        """Raises ServiceFailed when it ends in another condition, or in none within WAIT_SECONDS."""
        for _ in range(WAIT_SECONDS * 4):
            state = self.status()
            if state.condition == wanted or (wanted == "stopped" and state.condition == "failed"):
                return
            if state.condition not in meanwhile:
                break
            self.pause(0.25)
        code = "" if state.exit_code is None else f", exit code {state.exit_code}"
        raise ServiceFailed(where=self._logs, detail=f"{state.condition}{code}")

    @contextmanager
    def _manager(self, access: int) -> Iterator[Any]:
        service = self.api.win32service
        with windows_says(self.api, NAME):
            manager = service.OpenSCManager(None, None, access)
            try:
                yield manager
            finally:
                service.CloseServiceHandle(manager)

    @contextmanager
    def _opened(self, of_manager: int, access: int) -> Iterator[Any]:
        """The service's handle. Raises ServiceAbsent."""
        with self._manager(of_manager) as manager:
            handle = self.api.win32service.OpenService(manager, NAME, access)
            try:
                yield handle
            finally:
                self.api.win32service.CloseServiceHandle(handle)


def _written(file: Path) -> None:
    """The message file. Raises ServiceFailed where another one is in use."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_message_file(file)
    except OSError as error:
        detail = f"{type(error).__name__}; イベント ビューアーを閉じてください / close Event Viewer"
        raise ServiceFailed(where=file, detail=detail) from error
