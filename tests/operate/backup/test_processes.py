"""A backup made by a process of its own beside a server at work: whole, interrupted, or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from so8t.core.progress import Progress
from so8t.operate.backup.restore import verify

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")
MAKE = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background has it ignored
from pathlib import Path
from so8t.core.progress import Progress
from so8t.core.serve_config import IdentityConfig, LedgerConfig, ServeConfig
from so8t.operate.backup.create import Backup
from so8t.operate.backup.locks import read_recipient
folder, to = map(Path, sys.argv[1:3])
ledger = LedgerConfig(path=str(folder / "serve/ledger.db"), key=str(folder / "ledger.key"))
config = ServeConfig(ledger=ledger, identity=IdentityConfig(users=str(folder / "serve/users.db")))
print(flush=True)
work = Backup(config, folder / "so8t.toml", folder / "bundle")
made = work.create(to, read_recipient(folder / "backup.key.pub"), Progress())
print(json.dumps(made.seq))
"""


@contextmanager
def making(site: Any, to: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE, str(site.folder), str(to)], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, encoding="utf-8",
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def writing(site: Any) -> Iterator[list[int]]:
    """The numbers acknowledged so far, by a writer that goes on meanwhile."""
    done, acknowledged = threading.Event(), [site.ledger.head.seq]

    def write() -> None:
        while not done.is_set():
            acknowledged.append(site.ledger.append_sync("note", {"n": 1}, text={"query": "依頼" * 20}).seq)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield acknowledged
    finally:
        done.set()
        writer.join()


def test_beside_a_writer_in_another_process(
    site: Any, tmp_path: Path, environment: dict[str, str], quiet: Progress
) -> None:
    to = tmp_path / "a.so8t"
    with writing(site) as acknowledged:
        newest = acknowledged[-1]
        with making(site, to, environment) as process:
            seq = json.loads(process.communicate(timeout=120)[0])
        assert process.returncode == 0
        assert acknowledged[-1] > newest
    checked = verify(to, site.key, quiet, site.public)
    assert checked.ledger.ok and newest <= seq == checked.ledger.entries


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_half_way(site: Any, tmp_path: Path, environment: dict[str, str], number: signal.Signals) -> None:
    """Ctrl-C leaves nothing; killed, it leaves only what by its name is no backup. The writer notices neither."""
    with (site.folder / "so8t.toml").open("r+b") as f:
        f.truncate(8 << 30)  # a hole: long enough to be interrupted in
    out = tmp_path / "out"
    with writing(site) as acknowledged, making(site, out / "a.so8t", environment) as process:
        end = time.monotonic() + 60
        while not (out / ".a.so8t.partial").exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(60) != 0
        newest = acknowledged[-1]
    left = {p.name for p in out.iterdir()}
    assert left == (set() if number == signal.SIGINT else {".a.so8t.partial"})
    assert acknowledged[-1] >= newest and site.ledger.append_sync("note", {"n": 2}).seq > newest
