"""The server as a process among processes that stop, crash and are killed. Fail closed, nothing acknowledged lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from so8t.core import sealing, signing
from so8t.core.ledger_read import LedgerReader
from so8t.core.ledger_verify import verify

SUPPORT = Path(__file__).parents[1] / "support"
UPSTREAM = Path(__file__).parents[2] / "benchmarks" / "gateway" / "upstream.py"
SCORES = json.dumps({"AL": -0.01, "ES": -9.0, "D": -9.0})
ASKED = "会議の議事録を三行にまとめてください。"
Environment = dict[str, str]
pytestmark = pytest.mark.slow


@contextlib.contextmanager
def office(folder: Path, environment: Environment, *arguments: str) -> Iterator[tuple[Any, str, dict[str, str]]]:
    """(process, address, keys); killed at the end, however it is."""
    told = environment | {"PYTHONPATH": os.pathsep.join([environment["PYTHONPATH"], str(SUPPORT)])}
    command = [sys.executable, str(SUPPORT / "office_process.py"), str(folder), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=told)
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield process, said["address"], said["keys"]
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def ask(address: str, key: str, stream: bool = False, query: str = ASKED, seconds: float = 30.0) -> dict[str, Any]:
    with connected(key, seconds) as client:
        return asked(client, address, stream, query)


def connected(key: str, seconds: float = 30.0) -> httpx.Client:
    return httpx.Client(trust_env=False, verify=False, timeout=seconds, headers={"Authorization": f"Bearer {key}"})


def asked(client: httpx.Client, address: str, stream: bool, query: str = ASKED) -> dict[str, Any]:
    """The verdict. AssertionError for anything but an answer."""
    body = {"model": "so8t", "messages": [{"role": "user", "content": query}], "stream": stream}
    answer = client.post(f"{address}/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    if not stream:
        told: dict[str, Any] = answer.json()["so8t"]
        return told
    first: dict[str, Any] = json.loads(answer.text.split("\n\n")[0].removeprefix("data: "))["so8t"]
    return first


def test_killed_fifty_times_under_load_nothing_acknowledged_is_lost(tmp_path: Path, environment: Environment) -> None:
    dice = random.Random(8)
    acknowledged: dict[int, str] = {}

    def hammer(address: str, key: str, stream: bool) -> None:
        broken = (httpx.HTTPError, AssertionError, json.JSONDecodeError, KeyError)
        with connected(key) as client, contextlib.suppress(*broken):
            while True:
                told = asked(client, address, stream)["ledger"]
                acknowledged[told["seq"]] = told["head"]

    for _ in range(50):
        before = len(acknowledged)
        with office(tmp_path, environment) as (process, address, keys):
            workers = [
                threading.Thread(target=hammer, args=(address, keys["user"], n % 2 == 0), daemon=True) for n in range(4)
            ]
            for worker in workers:
                worker.start()
            assert eventually(lambda before=before: len(acknowledged) >= before + 4, pause=0.01)  # type: ignore[misc]
            time.sleep(dice.random() * 0.1)
            process.send_signal(signal.SIGKILL)
            for worker in workers:
                worker.join(30)
    assert len(acknowledged) >= 200
    ledger = tmp_path / "ledger.db"
    with office(tmp_path, environment):  # the next start adopts what the last kill left, or refuses
        report = verify(ledger, public_key=signing.load_public(signing.public_path(tmp_path / "ledger.key")))
        assert report.ok, report.problems[:3]
        heads = {e.seq: e.head for e in everything(ledger, sealing.load(tmp_path / "text.key"))}
    lost = {seq: head for seq, head in acknowledged.items() if heads.get(seq) != head}
    assert lost == {}


def everything(path: Path, key: sealing.TextKey) -> Iterator[Any]:
    last = 0
    with LedgerReader(path, key) as reader:
        while page := reader.entries(after=last, limit=5000):
            yield from page
            last = page[-1].seq


class Upstream:
    """The dummy model server of the benchmarks, on one port, to be stopped, killed and started again."""

    def __init__(self, environment: Environment) -> None:
        import socket

        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.environment = environment
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(UPSTREAM), str(self.port), "8", SCORES]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=self.environment)
        assert self.process.stdout is not None and self.process.stdout.readline()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def upstream(environment: Environment) -> Iterator[Upstream]:
    made = Upstream(environment)
    yield made
    made.kill()


def eventually(question: Callable[[], bool], seconds: float = 30.0, pause: float = 0.3) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if question():
            return True
        time.sleep(pause)
    return False


@pytest.mark.parametrize("how", ["stopped", "crashed"])
def test_an_upstream_that_goes_escalates_and_one_that_returns_is_used(
    tmp_path: Path, environment: Environment, upstream: Upstream, how: str
) -> None:
    address = f"http://127.0.0.1:{upstream.port}"
    with office(tmp_path, environment, address) as (_, office_address, keys):
        assert ask(office_address, keys["user"])["decision"] == "ALLOW"
        upstream.signal(signal.SIGSTOP) if how == "stopped" else upstream.kill()
        decisions = [ask(office_address, keys["user"], stream)["decision"] for stream in (False, True, False, False)]
        assert decisions == ["ESCALATE"] * 4
        begin = time.monotonic()
        assert ask(office_address, keys["user"])["decision"] == "ESCALATE"
        assert time.monotonic() - begin < 1.5  # the breaker does not wait for a dead server again
        upstream.signal(signal.SIGCONT) if how == "stopped" else upstream.start()
        assert eventually(lambda: ask(office_address, keys["user"])["decision"] == "ALLOW")


def test_an_upstream_that_dies_in_the_middle_of_an_answer(
    tmp_path: Path, environment: Environment, upstream: Upstream
) -> None:
    address = f"http://127.0.0.1:{upstream.port}"
    with office(tmp_path, environment, address) as (_, office_address, keys):
        assert ask(office_address, keys["user"], stream=True)["decision"] == "ALLOW"
        threading.Timer(0.3, upstream.kill).start()
        end = time.monotonic() + 2
        while time.monotonic() < end:  # every one of them is answered, whole or with a hand-over
            assert ask(office_address, keys["user"], stream=True)["decision"] in ("ALLOW", "ESCALATE")
    report = verify(
        tmp_path / "ledger.db", public_key=signing.load_public(signing.public_path(tmp_path / "ledger.key"))
    )
    assert [p.kind for p in report.problems if p.kind != "unanchored"] == []


def test_a_graceful_stop_finishes_what_is_under_way(tmp_path: Path, environment: Environment) -> None:
    with office(tmp_path, environment) as (process, address, keys):
        told: list[Any] = []
        worker = threading.Thread(target=lambda: told.append(ask(address, keys["user"], stream=True)))
        worker.start()
        process.send_signal(signal.SIGTERM)
        worker.join(30)
        assert process.wait(30) is not None
    assert not told or told[0]["decision"] == "ALLOW"
