"""What all tests share: nobody connects to the outside, and one real run of profile micro for those who need one."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import so8t
from so8t.core.config import Config, load_config

# The same examples every time, so that a red suite is a change's own; SO8T_RANDOM=1 looks for new ones. No deadline:
# the machine may be busy.
hypothesis.settings.register_profile("so8t", deadline=None, derandomize=os.environ.get("SO8T_RANDOM") != "1")
hypothesis.settings.load_profile("so8t")

SOURCE = Path(so8t.__file__).parents[1]
GUARD_LOG = "SO8T_TEST_NETWORK_LOG"


def install_network_guard(report: Callable[[str], None]) -> None:
    """Refuse every connection, datagram and name lookup that leaves this machine.

    An audit hook sees what Python and asyncio do alike, below any library. Imports stand inside because this source is
    also what subprocesses run.
    """
    import ipaddress
    import sys

    def local(host: object) -> bool:
        if isinstance(host, bytes):
            host = host.decode("utf-8", "replace")
        if host is None or host in ("", "localhost"):
            return True
        try:
            return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
        except ValueError:
            return False

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto"):
            address = arguments[1]
            if not isinstance(address, tuple):  # AF_UNIX: a path
                return
            host: object = address[0]
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            host = arguments[0]
        else:
            return
        if not local(host):
            report(f"{event} {host!r}")
            raise PermissionError(f"tests may not leave this machine: {event} {host!r}")

    sys.addaudithook(hook)


_attempts: list[str] = []
install_network_guard(_attempts.append)


@pytest.fixture(scope="session")
def guard_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH whose sitecustomize puts the same guard into subprocesses."""
    folder = tmp_path_factory.mktemp("guard")
    code = "from __future__ import annotations\nfrom collections.abc import Callable\nimport os\n\n"
    code += inspect.getsource(install_network_guard)
    code += (
        f"\n\ndef _report(line):\n    with open(os.environ[{GUARD_LOG!r}], 'a') as f:\n        f.write(line + '\\n')\n"
    )
    (folder / "sitecustomize.py").write_text(code + "\n\ninstall_network_guard(_report)\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def environment(guard_folder: Path) -> dict[str, str]:
    """The environment of every so8t that tests start: this source, the guard, no colour, Japanese, no proxies."""
    kept = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith("SO8T_")}
    path = os.pathsep.join([str(guard_folder), str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | {"PYTHONPATH": path, GUARD_LOG: str(guard_folder / "attempts"), "SO8T_LANG": "ja", "PYTHONUTF8": "1"}


@pytest.fixture(autouse=True)
def stay_on_this_machine(request: pytest.FixtureRequest, guard_folder: Path) -> Iterator[None]:
    """Fails a test that tried, even where the code under test swallowed the refusal."""
    log = guard_folder / "attempts"
    _attempts.clear()
    log.unlink(missing_ok=True)
    yield
    found = [*_attempts, *(log.read_text().splitlines() if log.exists() else [])]
    _attempts.clear()
    log.unlink(missing_ok=True)
    if found and not request.node.get_closest_marker("network_guard"):
        pytest.fail(f"left this machine: {found}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "network_guard: this test tries to leave the machine to prove that it cannot")


Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def so8t_process(environment: dict[str, str]) -> Cli:
    """Start `python -m so8t ...` as a user would; stdin is no terminal."""

    def start(*arguments: object, cwd: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "so8t", *map(str, arguments)]
        return subprocess.run(
            command, env=environment, cwd=cwd, capture_output=True, encoding="utf-8", timeout=600,
            stdin=subprocess.DEVNULL, check=False, **options,
        )  # fmt: skip

    return start


@pytest.fixture(scope="session")
def micro_runs(tmp_path_factory: pytest.TempPathFactory, so8t_process: Cli) -> Path:
    """A folder of runs that holds one finished run of profile micro and its keys. Copy before changing anything."""
    runs = tmp_path_factory.mktemp("micro") / "runs"
    done = so8t_process("run", "--profile", "micro", "--yes", "--runs", runs)
    assert done.returncode == 0, done.stderr[-4000:]
    return runs


@pytest.fixture(scope="session")
def micro_run(micro_runs: Path) -> Path:
    """The finished run of profile micro itself."""
    return micro_runs / "micro"


@pytest.fixture
def bundle_copy(micro_run: Path, tmp_path: Path) -> Path:
    """A bundle that a test may break."""
    return Path(shutil.copytree(micro_run / "bundle", tmp_path / "bundle"))


@pytest.fixture(scope="session")
def micro_config() -> Config:
    return load_config("micro")
