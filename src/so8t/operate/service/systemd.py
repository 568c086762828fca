"""so8t as a service of Linux, by systemd's own programs: a unit with the real places, enabled; the state as it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from so8t.core.errors import (
    AdministratorNeeded,
    PackageMissing,
    ServiceAbsent,
    ServiceFailed,
    ServiceThere,
    SourceMissing,
)
from so8t.core.files import write_text
from so8t.operate.service.places import Places
from so8t.operate.service.service import NAME, WAIT_SECONDS, Condition, Program, State, Step
from so8t.operate.service.units import command, path_setting, unit

SERVER, BACKUP, NIGHTLY = "so8t.service", "so8t-backup.service", "so8t-backup.timer"
USER_UNIT = "so8t.user.service"
SECONDS = 120.0
CONDITIONS: dict[str, Condition] = {
    "active": "running", "reloading": "running", "activating": "starting", "deactivating": "stopping",
    "inactive": "stopped", "failed": "failed",
}  # fmt: skip
_SHOWN = (
    "LoadState", "ActiveState", "SubState", "MainPID", "UnitFileState", "User", "ExecMainStatus", "ExecStart",
)  # fmt: skip
_DENIED = ("Access denied", "authentication required", "Permission denied")


@dataclass(frozen=True, slots=True)
class SystemdService:
    """`user`: by systemctl --user, for one person. `arguments`: of `so8t serve`. The nightly backup is enabled where
    its recipient's key, backup.key.pub, lies beside the configuration."""

    places: Places
    program: Program
    config: Path
    bundle: Path
    arguments: Sequence[str] = ()
    user: bool = False
    account: str = NAME
    pause: Callable[[float], None] = field(default=time.sleep)

    def check(self) -> None:
        if not self.user and os.geteuid() != 0:
            raise AdministratorNeeded(where=self._units)
        if self.status().condition != "absent":
            raise ServiceThere(where=self._units / SERVER)
        program = self.program
        self.places.check_programs((program.python, program.base, program.packages, program.source))
        for file in (self._so8t, self.config):
            if not file.is_file():
                raise SourceMissing(where=file)

    def installation(self) -> Sequence[Step]:
        steps = [] if self.user else [self._account_step()]
        texts = self.texts()
        shown = ", ".join(str(self._units / name) for name in texts)
        enabled = [SERVER] + ([NIGHTLY] if self._nightly else [])
        if self.user:
            steps.append(
                Step(
                    f"フォルダを作る: {self.places.data}", f"make folder {self.places.data}",
                    lambda: self.places.data.mkdir(parents=True, exist_ok=True, mode=0o700),
                )
            )  # fmt: skip
        return (
            *steps,
            Step(f"systemd の設定を書く: {shown}", f"write units: {shown}", lambda: self._write(texts), self._forget),
            Step("systemd に読ませる", "have systemd read them", lambda: self._systemctl("daemon-reload")),
            Step(
                f"起動のたびに動かす: {', '.join(enabled)}", f"enable: {', '.join(enabled)}",
                lambda: self._systemctl("enable", *enabled), lambda: self._systemctl("disable", *enabled),
            ),
        )  # fmt: skip

    def removal(self) -> Sequence[Step]:
        if not self.user and os.geteuid() != 0:
            raise AdministratorNeeded(where=self._units)
        there = [name for name in (SERVER, BACKUP, NIGHTLY) if (self._units / name).is_file()]
        if not there:
            raise ServiceAbsent(where=self._units / SERVER)
        shown, begun = ", ".join(there), [name for name in there if name != BACKUP]
        return (
            Step(
                f"止めて、起動のときに動かさない: {', '.join(begun)}", f"stop and disable: {', '.join(begun)}",
                lambda: self._systemctl("disable", "--now", *begun),
            ),
            Step(f"systemd の設定を消す: {shown}", f"delete units: {shown}", self._unlink),
            Step("systemd に読ませる", "have systemd read it", lambda: self._systemctl("daemon-reload")),
        )  # fmt: skip

    def start(self) -> None:
        self._known()
        if self.status().condition == "failed":
            self._systemctl("reset-failed", SERVER)
        self._systemctl("start", "--no-block", SERVER)
        for _ in range(WAIT_SECONDS * 4):
            state = self.status()
            if state.condition != "starting":
                break
            self.pause(0.25)
        if state.condition != "running":
            code = "" if state.exit_code is None else f", exit code {state.exit_code}"
            raise ServiceFailed(where=self._log, detail=f"{state.condition}{code}")

    def stop(self) -> None:
        """systemctl itself waits until the process has ended."""
        self._known()
        self._systemctl("stop", SERVER)

    def status(self) -> State:
        done = self._run("show", SERVER, f"--property={','.join(_SHOWN)}")
        found = dict(line.split("=", 1) for line in done.splitlines() if "=" in line)
        if found.get("LoadState") in (None, "not-found"):
            return State("absent")
        condition = CONDITIONS.get(found.get("ActiveState", ""), "failed")
        if found.get("SubState") == "auto-restart":
            condition = "failed"  # it has ended, and waits to be started again
        ended = int(found.get("ExecMainStatus") or 0)
        return State(
            condition, int(found.get("MainPID") or 0), found.get("UnitFileState") == "enabled",
            found.get("User", ""), ended if condition == "failed" else None, _argv(found.get("ExecStart", "")),
            self._log,
        )  # fmt: skip

    def texts(self) -> dict[str, str]:
        """Unit's name -> its text with the real places."""
        serve = command(self._so8t, ["serve", *self.arguments])
        at = {"ExecStart": serve, "WorkingDirectory": path_setting(self.places.data)}
        if self.user:
            return {SERVER: unit(USER_UNIT, at)}
        own = {**at, "User": self.account, "Group": self.account, "Documentation": ""}
        places = self.places
        to: list[str | Path] = ["backup", "create", "--config", self.config, "--bundle", self.bundle]
        to += ["--recipient", self._backup_key, "--to", places.data / "backups"]
        asked = {"ConditionPathExists": path_setting(self._backup_key)}
        return {
            SERVER: unit(SERVER, own),
            BACKUP: unit(BACKUP, {**own, **asked, "ExecStart": command(self._so8t, to)}),
            NIGHTLY: unit(NIGHTLY, {}),
        }

    @property
    def _so8t(self) -> Path:
        """The command beside the interpreter, where pip has put it."""
        return self.program.python.parent / "so8t"

    @property
    def _log(self) -> str:
        return f"journalctl {'--user ' if self.user else ''}-u {SERVER}"

    @property
    def _units(self) -> Path:
        return self.places.units or Path("/etc/systemd/system")

    @property
    def _backup_key(self) -> Path:
        return self.config.parent / "backup.key.pub"

    @property
    def _nightly(self) -> bool:
        return not self.user and self._backup_key.is_file()

    def _account_step(self) -> Step:
        return Step(
            f"利用者 {self.account} を作る(あれば、そのまま)", f"make account {self.account}, unless it is there",
            self._make_account,
        )  # fmt: skip

    def _make_account(self) -> None:
        import pwd

        try:
            pwd.getpwnam(self.account)
        except KeyError:
            home = str(self.places.data)
            arguments = ["--system", "--user-group", "--home-dir", home, "--shell", "/usr/sbin/nologin", self.account]
            _called("useradd", arguments)

    def _write(self, texts: dict[str, str]) -> None:
        self._units.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_text(self._units / name, text)

    def _unlink(self) -> None:
        for name in (SERVER, BACKUP, NIGHTLY):
            (self._units / name).unlink(missing_ok=True)

    def _forget(self) -> None:
        self._unlink()
        self._systemctl("daemon-reload")

    def _known(self) -> None:
        if self.status().condition == "absent":
            raise ServiceAbsent(where=self._units / SERVER)

    def _systemctl(self, *arguments: str) -> None:
        self._run(*arguments)

    def _run(self, *arguments: str) -> str:
        return _called("systemctl", ["--user", *arguments] if self.user else list(arguments))


def _called(name: str, arguments: list[str]) -> str:
    """What a system's program prints. Raises PackageMissing, AdministratorNeeded, ServiceFailed with its words."""
    program = shutil.which(name)
    if program is None:
        raise PackageMissing(detail=name)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SYSTEMD_")} | {"LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False,
            timeout=SECONDS, stdin=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ServiceFailed(where=name, detail=f"{arguments[0]}: > {SECONDS:.0f} s") from error
    if done.returncode == 0:
        return done.stdout
    said = " ".join(done.stderr.split())[-400:]
    kind = AdministratorNeeded if any(word in said for word in _DENIED) else ServiceFailed
    raise kind(where=" ".join([name, *arguments])[:200], detail=said or f"exit code {done.returncode}")


def _argv(text: str) -> str:
    """{ path=… ; argv[]=/opt/so8t … ; … } -> the command."""
    _, _, rest = text.partition("argv[]=")
    return rest.split(" ; ")[0]
