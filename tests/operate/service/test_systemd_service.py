"""The service on Linux: units with the real places, what systemctl is asked, what it answers, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_systemctl import STATE, install_fake
from hypothesis import given
from hypothesis import strategies as st

from so8t.cli import build_parser
from so8t.core.errors import (
    AdministratorNeeded,
    PackageMissing,
    PlaceUnfit,
    ServiceAbsent,
    ServiceFailed,
    ServiceThere,
    SourceMissing,
)
from so8t.core.packaged import packaged
from so8t.operate.service.places import Places, linux_places, user_places
from so8t.operate.service.service import Program, perform
from so8t.operate.service.systemd import BACKUP, NIGHTLY, SERVER, SystemdService
from so8t.operate.service.units import command, path_setting, unit

ANALYZE = shutil.which("systemd-analyze")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd")


class Fake:
    """What the fake systemctl was asked, and how it behaves."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.place.read_text()))

    def set(self, **changes: Any) -> None:
        self.place.write_text(json.dumps(self.state() | changes))

    def asked(self) -> list[str]:
        """Without the questions."""
        return [" ".join(call) for call in self.state()["calls"] if "show" not in call]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    programs, units = tmp_path / "programs", tmp_path / "units"
    for folder in (programs, units):
        folder.mkdir()
    install_fake(programs)
    (programs / "useradd").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/useradd\n')
    (programs / "useradd").chmod(0o755)
    place = tmp_path / "state.json"
    fresh = {"calls": [], "fail": {}, "enabled": {}, "active": {}, "becomes": [], "units": str(units)}
    place.write_text(json.dumps(fresh))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv(STATE, str(place))
    monkeypatch.setattr("so8t.operate.service.systemd.os.geteuid", lambda: 0)
    return Fake(place)


@pytest.fixture
def make(fake: Fake, tmp_path: Path) -> Callable[..., SystemdService]:
    programs = tmp_path / "opt" / "so8t" / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "so8t"):
        (programs / name).touch()
    config = tmp_path / "etc" / "so8t.toml"
    config.parent.mkdir()
    config.touch()
    places = Places(
        config, config.with_name("bundle.key.pub"), tmp_path / "bundle", tmp_path / "data", (tmp_path / "home",),
        units=tmp_path / "units",
    )  # fmt: skip
    program = Program(programs / "python", programs / "python", tmp_path / "opt" / "lib", tmp_path / "opt")

    def made(**given: Any) -> SystemdService:
        whole: dict[str, Any] = {
            "places": places, "program": program, "config": config, "bundle": places.bundle,
            "arguments": ["--config", str(config)], "pause": lambda seconds: None, "account": "so8t-nobody-has-this",
        }  # fmt: skip
        return SystemdService(**{**whole, **given})

    return made


def install(service: SystemdService) -> None:
    service.check()
    perform(service.installation(), lambda step: None)


def settings(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if re.match(r"[A-Z]\w+=", line))


def test_what_is_installed(make: Callable[..., SystemdService], fake: Fake, tmp_path: Path) -> None:
    service = make()
    assert service.status().condition == "absent"
    install(service)
    assert fake.asked() == ["daemon-reload", f"enable {SERVER}"]
    assert sorted(p.name for p in (tmp_path / "units").iterdir()) == sorted([SERVER, BACKUP, NIGHTLY])
    made = settings(tmp_path / "units" / SERVER)
    so8t = tmp_path / "opt" / "so8t" / ".venv" / "bin" / "so8t"
    assert made["ExecStart"] == f"{so8t} serve --config {tmp_path}/etc/so8t.toml"
    assert made["User"] == made["Group"] == "so8t-nobody-has-this" and made["WorkingDirectory"] == f"{tmp_path}/data"
    assert "Documentation" not in made and made["NoNewPrivileges"] == "true"  # all else as it ships
    words = (tmp_path / "useradd").read_text().split()
    assert words[-1] == "so8t-nobody-has-this" and {"--system", "--user-group", "/usr/sbin/nologin"} <= set(words)
    state = service.status()
    assert (state.condition, state.autostart, state.account) == ("stopped", True, "so8t-nobody-has-this")
    assert state.command == made["ExecStart"]


def test_an_account_that_is_there_is_kept(make: Callable[..., SystemdService], tmp_path: Path) -> None:
    install(make(account="root"))
    assert not (tmp_path / "useradd").exists()


def test_the_nightly_backup_goes_with_its_key(make: Callable[..., SystemdService], fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "etc" / "backup.key.pub").touch()
    install(make())
    assert fake.asked()[-1] == f"enable {SERVER} {NIGHTLY}"
    made = settings(tmp_path / "units" / BACKUP)
    assert made["ConditionPathExists"] == f"{tmp_path}/etc/backup.key.pub"
    words = made["ExecStart"].split()
    options = build_parser().parse_args(words[1:])
    assert options.action == "create" and options.to == tmp_path / "data" / "backups"
    assert settings(tmp_path / "units" / NIGHTLY)["Persistent"] == "true"


def test_for_one_user(make: Callable[..., SystemdService], fake: Fake, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("so8t.operate.service.systemd.os.geteuid", lambda: 1000)
    service = make(user=True)
    install(service)
    assert fake.asked() == ["--user daemon-reload", f"--user enable {SERVER}"]
    assert [p.name for p in (tmp_path / "units").iterdir()] == [SERVER]
    made = settings(tmp_path / "units" / SERVER)
    assert "User" not in made and made["WorkingDirectory"] == f"{tmp_path}/data" and (tmp_path / "data").is_dir()
    service.start()
    perform(service.removal(), lambda step: None)
    assert fake.asked()[-2:] == [f"--user disable --now {SERVER}", "--user daemon-reload"]


def test_start_stop_remove(make: Callable[..., SystemdService], fake: Fake, tmp_path: Path) -> None:
    service = make()
    for call in (service.start, service.stop, service.removal):
        with pytest.raises(ServiceAbsent):
            call()
    install(service)
    fake.set(becomes=["activating", "activating", "active"])
    service.start()
    assert (service.status().condition, service.status().pid) == ("running", 4711)
    service.stop()
    assert service.status().condition == "stopped"
    perform(service.removal(), lambda step: None)
    assert fake.asked()[-2:] == [f"disable --now {SERVER} {NIGHTLY}", "daemon-reload"]
    assert list((tmp_path / "units").iterdir()) == [] and service.status().condition == "absent"


@pytest.mark.parametrize("state", ["failed", "auto-restart"])
def test_a_start_that_fails_tells_its_exit_code(make: Callable[..., SystemdService], fake: Fake, state: str) -> None:
    service = make()
    install(service)
    fake.set(becomes=["activating", state])
    with pytest.raises(ServiceFailed, match="failed, exit code 8") as caught:
        service.start()
    assert service.status().exit_code == 8 and caught.value.where == "journalctl -u so8t.service"
    service.start()  # with the failure forgotten first
    assert f"reset-failed {SERVER}" in fake.asked() and service.status().condition == "running"


def test_what_fails_in_the_middle_leaves_nothing_half_done(
    make: Callable[..., SystemdService], fake: Fake, tmp_path: Path
) -> None:
    fake.set(fail={"enable": "Failed to enable unit: no"})
    with pytest.raises(ServiceFailed, match="Failed to enable unit: no"):
        install(make())
    assert list((tmp_path / "units").iterdir()) == []
    assert fake.asked() == ["daemon-reload", f"enable {SERVER}", "daemon-reload"]


@pytest.mark.parametrize(
    "said", ["Failed to start so8t.service: Access denied", "Interactive authentication required."]
)
def test_without_rights_it_says_so(
    make: Callable[..., SystemdService], fake: Fake, monkeypatch: Any, said: str
) -> None:
    service = make()
    install(service)
    fake.set(fail={"start": said})
    with pytest.raises(AdministratorNeeded):
        service.start()
    monkeypatch.setattr("so8t.operate.service.systemd.os.geteuid", lambda: 1000)
    for call in (service.check, service.removal):
        with pytest.raises(AdministratorNeeded):
            call()


def test_what_cannot_be_installed_is_said_first(
    make: Callable[..., SystemdService], fake: Fake, tmp_path: Path, monkeypatch: Any
) -> None:
    with pytest.raises(SourceMissing, match=r"none\.toml"):
        make(config=tmp_path / "none.toml").check()
    home = tmp_path / "home" / "yamada" / "python"
    with pytest.raises(PlaceUnfit, match="yamada"):  # ProtectHome= would hide it
        make(program=Program(home, home, tmp_path / "opt", tmp_path / "opt")).check()
    link = tmp_path / "opt" / "python"
    home.parent.mkdir(parents=True)
    home.touch()
    link.symlink_to(home)  # as in a virtual environment of somebody's own interpreter
    with pytest.raises(PlaceUnfit, match="home"):
        make(program=Program(link, link, tmp_path / "opt", tmp_path / "opt")).check()
    install(make())
    with pytest.raises(ServiceThere):
        make().check()
    monkeypatch.setenv("PATH", str(tmp_path / "etc"))
    with pytest.raises(PackageMissing, match="systemctl"):
        make().status()


def test_a_systemctl_that_hangs_is_given_up(
    make: Callable[..., SystemdService], fake: Fake, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "programs" / "systemctl").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr("so8t.operate.service.systemd.SECONDS", 0.2)
    with pytest.raises(ServiceFailed, match="show: >"):
        make().status()


# -- the text of a unit -----------------------------------------------------------------------------------------------


def test_every_place_can_be_replaced() -> None:
    text = unit(SERVER, {"ExecStart": "/x y", "Documentation": ""})
    assert "\nExecStart=/x y\n" in text and "Documentation" not in text
    shipped = packaged("systemd", SERVER).read_text(encoding="utf-8")
    assert len(shipped.splitlines()) == len(text.splitlines()) + 1
    with pytest.raises(KeyError):
        unit(SERVER, {"NoSuchSetting": "x"})


def read_back(line: str) -> list[str]:
    """A command line as systemd reads it: words, quotes, C escapes, then %% and $$."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    plain = [bare or re.sub(r"\\(.)", r"\1", quoted) for quoted, bare in words]
    return [word.replace("%%", "%").replace("$$", "$") for word in plain]


@given(st.lists(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))).filter(str.isprintable), min_size=1))
def test_any_word_comes_through(words: list[str]) -> None:
    assert read_back(command(Path("/opt/so8t"), words)) == ["/opt/so8t", *words]


@pytest.mark.parametrize("bad", ["a\nb", "a\0b", "\x1b"])
def test_control_characters_are_refused(bad: str) -> None:
    with pytest.raises(PlaceUnfit):
        command(Path("so8t"), [bad])
    with pytest.raises(PlaceUnfit):
        path_setting(Path(bad))


@pytest.mark.parametrize("bad", ['/opt/a"b', "/opt/a'b", "/opt/a\\b"])
def test_a_program_that_systemd_could_not_name_is_refused(bad: str) -> None:
    with pytest.raises(PlaceUnfit):
        command(Path(bad))


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("user", [False, True])
def test_systemd_finds_no_fault(make: Callable[..., SystemdService], tmp_path: Path, user: bool) -> None:
    """Also with a blank, quotes, per cent and dollar signs in a path."""
    odd = tmp_path / "a b%n$x"
    odd.mkdir()
    (odd / "so8t").write_text("#!/bin/sh\n")
    (odd / "so8t").chmod(0o755)
    program = Program(odd / "python", odd / "python", odd, odd)
    service = make(program=program, user=user, account="root", arguments=["--config", 'a b%n"$x\\'])
    files = []
    for name, text in service.texts().items():
        files.append(tmp_path / name)
        files[-1].write_text(text, encoding="utf-8")
    done = subprocess.run(
        [str(ANALYZE), *(["--user"] if user else []), "verify", *map(str, files)], capture_output=True,
        encoding="utf-8", check=False, timeout=120, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0 and not re.search("Unknown|Failed to parse|ignoring", done.stderr), done.stderr


# -- places -----------------------------------------------------------------------------------------------------------


def test_the_places_of_linux_are_those_of_the_shipped_unit() -> None:
    text = packaged("systemd", SERVER).read_text(encoding="utf-8")
    places = linux_places()
    assert f"--config {places.config} --bundle {places.bundle} --key {places.key}" in text
    assert f"WorkingDirectory={places.data}" in text and places.units == Path("/etc/systemd/system")


def test_the_places_of_one_user() -> None:
    places = user_places({"HOME": "/home/yamada"})
    assert places.config == Path("/home/yamada/.config/so8t/so8t.toml")
    assert places.data == Path("/home/yamada/.local/state/so8t")
    assert places.units == Path("/home/yamada/.config/systemd/user")
    assert user_places({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}).config == Path("/c/so8t/so8t.toml")
