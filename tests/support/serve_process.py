"""`so8t serve` as its users start it: a process of its own, in a folder with a so8t.toml, until the block ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SO8T = [sys.executable, "-m", "so8t"]


@dataclass(frozen=True)
class ServeProcess:
    address: str
    key: str
    pid: int

    def ask(self, text: str, *, stream: bool = False) -> tuple[str, bytes]:
        """(decision, body) of OpenAI's interface, past all proxies."""
        body = {"model": "so8t", "stream": stream, "messages": [{"role": "user", "content": text}]}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(f"{self.address}/v1/chat/completions", json.dumps(body).encode(), headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=120) as answer:
            return answer.headers["x-so8t-decision"], answer.read()


def new_user(folder: Path, environment: dict[str, str], name: str = "sato") -> str:
    """An API key of a user who was not there before."""
    options = ["--policy", "demo", "--config", "so8t.toml"]
    said = ""
    for arguments in (["users", "add", name, "--no-password"], ["users", "key", name, "--json"]):
        said = subprocess.run(
            [*SO8T, *arguments, *options], cwd=folder, env=environment, check=True, capture_output=True,
            encoding="utf-8", stdin=subprocess.DEVNULL, timeout=120,
        ).stdout  # fmt: skip
    return str(json.loads(said)["secret"])


@contextmanager
def serving(folder: Path, environment: dict[str, str], bundle: Path, key: str) -> Iterator[ServeProcess]:
    command = [*SO8T, "serve", "--json", "--config", "so8t.toml", "--bundle", str(bundle), "--allow-unproven"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            encoding="utf-8",
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "log").read_text(encoding="utf-8")
        yield ServeProcess(json.loads(line)["address"], key, process.pid)
    finally:
        process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        process.communicate()
