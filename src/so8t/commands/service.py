"""so8t service: install, remove, start, stop and look at the office server as a service of this system."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from so8t.core.config import load_config
from so8t.core.errors import EnvironmentUnfit, So8tError, SourceMissing, UsageError
from so8t.operate.eventlog.message_file import NAME as MESSAGE_FILE
from so8t.operate.eventlog.message_file import compile_message_file, write_message_file
from so8t.operate.service.places import Places, linux_places, user_places, windows_places
from so8t.operate.service.pywin32 import Pywin32
from so8t.operate.service.service import Program, Service, State, Step, perform
from so8t.operate.service.systemd import SystemdService
from so8t.operate.service.windows import ACCOUNT, WindowsService

CONDITIONS = {
    "absent": ("登録されていません", "not installed"),
    "stopped": ("止まっています", "stopped"),
    "starting": ("起動しています", "starting"),
    "running": ("動いています", "running"),
    "stopping": ("止まるところです", "stopping"),
    "failed": ("異常終了しました", "failed"),
}


def service(options: argparse.Namespace) -> int:
    """Exit code 12 also where `status` finds that it does not run."""
    if options.action == "messages":
        return _messages(options)
    made = service_of(options)
    action: Callable[[argparse.Namespace, Service], int] = {
        "install": _install, "remove": _remove, "start": _start, "stop": _stop, "status": _status,
    }[options.action]  # fmt: skip
    return action(options, made)


def service_of(options: argparse.Namespace, platform: str = sys.platform) -> Service:
    """Raises PackageMissing without pywin32, EnvironmentUnfit on a system with neither."""
    places = places_of(options.user, platform)
    config = (options.config or places.config).absolute()
    # Only an installation reads the configuration: a service with a broken one must still be stopped and removed.
    arguments = ["--config", str(config), *_trust(options, config, places)] if options.action == "install" else []
    if platform == "win32":
        host = Path(__file__).with_name("service_host.py")
        account = options.account or ACCOUNT
        return WindowsService(Pywin32.load(), places, Program.this(), config, host, arguments, account)
    bundle = (options.bundle or places.bundle).absolute()
    named = {"account": options.account} if options.account else {}
    return SystemdService(places, Program.this(), config, bundle, arguments, options.user, **named)


def places_of(user: bool, platform: str = sys.platform) -> Places:
    if platform == "win32":
        if user:
            raise UsageError(where="--user", detail="Linux")
        return windows_places()
    if platform != "linux":
        raise EnvironmentUnfit(where="so8t service", detail=platform)
    return user_places() if user else linux_places()


def _trust(options: argparse.Namespace, config: Path, places: Places) -> list[str]:
    """Bundle and pinned key: as said, else as configured, else by convention."""
    serve = load_config("", config).serve if config.is_file() else None
    said = []
    for name, value, configured, usual in (
        ("--bundle", options.bundle, serve.bundle if serve else "", places.bundle),
        ("--key", options.key, serve.bundle_key if serve else "", places.key),
    ):
        if value or not configured:
            said += [name, str((value or usual).absolute())]
    return said


def _install(options: argparse.Namespace, made: Service) -> int:
    steps = made.installation()
    if not options.dry_run:
        made.check()
        perform(steps, lambda step: _tell(options, step))
        if options.now:
            made.start()
    elif not options.json:
        for step in steps:
            _tell(options, step)
    problem = _problem(made.check) if options.dry_run else None
    _done(options, steps, problem, made.status() if not options.dry_run else None)
    return problem.exit_code if problem else 0


def _remove(options: argparse.Namespace, made: Service) -> int:
    steps = made.removal()
    if options.dry_run:
        for step in steps if not options.json else ():
            _tell(options, step)
    else:
        perform(steps, lambda step: _tell(options, step))
    _done(options, steps, None, None)
    if not options.json:
        print(
            "設定、台帳、鍵、記録は残してあります"
            if options.lang == "ja"
            else "Settings, ledger, keys and logs remain."
        )
    return 0


def _start(options: argparse.Namespace, made: Service) -> int:
    if options.dry_run:
        raise UsageError(where="--dry-run", detail="install, remove")
    made.start()
    return _status(options, made)


def _stop(options: argparse.Namespace, made: Service) -> int:
    if options.dry_run:
        raise UsageError(where="--dry-run", detail="install, remove")
    made.stop()
    _status(options, made)
    return 0


def _status(options: argparse.Namespace, made: Service) -> int:
    state = made.status()
    if options.json:
        print(json.dumps(state.to_json(), ensure_ascii=False))
    else:
        for line in words(state, options.lang == "ja"):
            print(line)
    return 0 if state.condition == "running" else EnvironmentUnfit.exit_code


def words(state: State, ja: bool) -> list[str]:
    lines = [f"so8t: {CONDITIONS[state.condition][0 if ja else 1]}" + (f" (PID {state.pid})" if state.pid else "")]
    if state.condition == "absent":
        return lines
    auto = ("起動のたびに動く", "starts with the system") if state.autostart else ("自動では動かない", "not by itself")
    rows = [
        ("自動起動", "autostart", auto[0 if ja else 1]),
        ("アカウント", "account", state.account),
        ("終了コード", "exit code", "" if state.exit_code is None else str(state.exit_code)),
        ("コマンド", "command", state.command),
        ("記録", "log", state.log),
    ]
    return lines + [f"  {name_ja if ja else name_en}: {value}" for name_ja, name_en, value in rows if value]


def _tell(options: argparse.Namespace, step: Step) -> None:
    if not options.json:
        mark = ("予定", "would") if options.dry_run else ("済み", "done")
        print(f"  {mark[0 if options.lang == 'ja' else 1]}  {step.ja if options.lang == 'ja' else step.en}", flush=True)


def _problem(check: Callable[[], None]) -> So8tError | None:
    try:
        check()
    except So8tError as error:
        return error
    return None


def _done(options: argparse.Namespace, steps: Sequence[Step], problem: So8tError | None, state: State | None) -> None:
    ja = options.lang == "ja"
    if options.json:
        report: dict[str, Any] = {
            "action": options.action, "dry_run": options.dry_run, "steps": [s.ja if ja else s.en for s in steps],
            "problem": problem.to_json(options.lang) if problem else None,
            "state": state.to_json() if state else None,
        }  # fmt: skip
        print(json.dumps(report, ensure_ascii=False))
    elif problem is not None:
        print(problem.render(options.lang), file=sys.stderr)
    elif state is not None and state.condition != "running":
        print("so8t service start で動かします" if ja else "Start it by: so8t service start")


def _messages(options: argparse.Namespace) -> int:
    """The message file alone, for those who sign or ship it themselves."""
    if options.to is None:
        raise UsageError(where="service messages", detail="--to DIR")
    if not options.to.is_dir():
        raise SourceMissing(where=options.to)
    path = options.to / MESSAGE_FILE
    (compile_message_file if options.by == "mingw" else write_message_file)(path)
    print(json.dumps({"file": str(path), "by": options.by}, ensure_ascii=False) if options.json else path)
    return 0
