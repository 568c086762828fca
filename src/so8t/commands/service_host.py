"""The process that Windows starts for the service: speaks with the service control manager, and runs `so8t serve`.

    python -I service_host.py --packages DIR --python EXE --folder DIR --logs DIR -- ARGUMENTS OF SERVE

`python` is the interpreter itself, not a virtual environment's, whose own program would start a second process that
the control manager does not know; so the environment's packages are added here. What cannot be mended by starting again
(configuration, bundle, policy) ends as a stopped service with our exit code; after anything else the process ends
without a word, which Windows takes for a crash and starts it again as installed.
"""

from __future__ import annotations

import argparse
import os
import site
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

EVENT_SOURCE = "so8t-host"  # pywin32 would register its own message file for it, so never SO8T
LOG, MAX_LOG, KEPT = "service.log", 4 << 20, 5
TICK_SECONDS, HINT_MILLISECONDS = 2.0, 15_000
# winsvc.h
START_PENDING, STOP_PENDING, RUNNING, STOPPED = 2, 3, 4, 1
ACCEPT_STOP, ACCEPT_SHUTDOWN, ACCEPT_PRESHUTDOWN, CONTROL_PRESHUTDOWN = 1, 4, 0x100, 0x0F
SPECIFIC_ERROR = 1066


def main(arguments: list[str]) -> None:
    """Returns when the service has stopped."""
    said, rest = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    parser = argparse.ArgumentParser()
    for name in ("packages", "python", "folder", "logs"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args(said)
    sys.stdout = sys.stderr = opened_log(options.logs)
    try:
        site.addsitedir(str(options.packages))
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
        sys.executable = str(options.python)  # what starts the model's own process
        os.chdir(options.folder)
        run(rest)
    except BaseException:
        traceback.print_exc()
        raise


def opened_log(folder: Path) -> Any:
    """service.log, a line at a time; one that has grown is kept under a number, the oldest of them goes."""
    path = folder / LOG
    if path.exists() and path.stat().st_size > MAX_LOG:
        for n in range(KEPT - 1, 0, -1):
            older = path.with_suffix(f".{n}.log")
            if older.exists():
                os.replace(older, path.with_suffix(f".{n + 1}.log"))
        os.replace(path, path.with_suffix(".1.log"))
    return path.open("a", encoding="utf-8", errors="replace", buffering=1)


def run(arguments: list[str]) -> None:
    """Hand the process over to the control manager until the service has stopped."""
    from importlib import import_module

    servicemanager, serviceutil = import_module("servicemanager"), import_module("win32serviceutil")
    servicemanager.Initialize(EVENT_SOURCE, None)
    servicemanager.PrepareToHostSingle(service_class(serviceutil.ServiceFramework, servicemanager, arguments))
    servicemanager.StartServiceCtrlDispatcher()


def service_class(framework: type, servicemanager: Any, arguments: list[str]) -> type:
    """What pywin32's compiled part makes one of and calls SvcRun of, in a thread of its own."""

    class OfficeService(framework):  # type: ignore[misc]  # a base that only Windows has
        _svc_name_ = "so8t"

        def __init__(self, given: Any) -> None:
            super().__init__(given)
            servicemanager.SetEventSourceName(EVENT_SOURCE)
            self._stop, self._ended = threading.Event(), threading.Event()
            self._condition = START_PENDING

        def SvcRun(self) -> None:
            """Until the server has stopped and the ledger is closed."""
            self._say()
            ticker = threading.Thread(target=self._tick, name="service status", daemon=True)
            ticker.start()
            code = served(arguments, self._running, self._stop)
            self._ended.set()
            ticker.join()
            end(self, code)

        def SvcStop(self) -> None:
            """At once: the stop itself goes on in SvcRun."""
            self._condition = STOP_PENDING
            self._say()
            self._stop.set()

        SvcShutdown = SvcStop

        def SvcInterrogate(self) -> None:
            self._say()

        def SvcOtherEx(self, control: int, event_type: int, data: Any) -> None:
            if control == CONTROL_PRESHUTDOWN:
                self.SvcStop()

        def GetAcceptedControls(self) -> int:
            return ACCEPT_STOP | ACCEPT_SHUTDOWN | ACCEPT_PRESHUTDOWN

        def _running(self) -> None:
            if self._condition == START_PENDING:
                self._condition = RUNNING
                self._say()

        def _say(self) -> None:
            self.ReportServiceStatus(self._condition, waitHint=HINT_MILLISECONDS)

        def _tick(self) -> None:
            """A model may take minutes to load, a ledger seconds to close: show that it goes on."""
            while not self._ended.wait(TICK_SECONDS):
                if self._condition != RUNNING:
                    self._say()

    return OfficeService


def served(arguments: list[str], ready: Any, stop: threading.Event) -> int:
    """The exit code of `so8t serve`."""
    from so8t import cli
    from so8t.commands import serve
    from so8t.core.errors import So8tError

    options = cli.build_parser().parse_args(["serve", *arguments])
    print(f"{_now()} so8t serve")

    def told(running: Any, address: str) -> None:
        print("\n".join([f"{_now()} {address}", *serve.words(running, address, options.lang == "ja")[1:]]))
        ready()

    try:
        return serve.hosted(options, told, stop)
    except So8tError as error:
        print(error.render(options.lang))
        return error.exit_code
    except Exception:
        traceback.print_exc()
        return So8tError.exit_code


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def end(service: Any, code: int) -> None:
    """Stopped on purpose: pywin32 tells so when we return. Else see above; the log is on disk by then."""
    from so8t.operate.service.service import KEEP_DOWN

    if code == 0:
        return
    print(f"{_now()} so8t serve: exit code {code}")
    sys.stdout.flush()
    if code in KEEP_DOWN:
        service.ReportServiceStatus(STOPPED, win32ExitCode=SPECIFIC_ERROR, svcExitCode=code)
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
