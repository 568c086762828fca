"""What the host monitor costs, and how often its rules alarm about files that are in order.

    python benchmarks/monitor.py [--seconds 180] [--programs 300] [--connections 500] [--files FOLDER]

Cost: the monitor runs for real at its default interval on this machine, first as it is, then with so many more programs
and connections, as an office server has them; the process's own CPU time is divided by the time that passed. Rules:
every file below a folder (by default the installed Python packages) goes through the starters, for the speed and for
the number of findings, which are all false alarms here unless somebody tampered with the packages.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from so8t.core.ledger_format import Entry
from so8t.core.serve_config import MonitorConfig, ServeConfig
from so8t.operate.monitor.monitor import Monitor
from so8t.operate.monitor.office import machine_watch
from so8t.operate.monitor.rules import Rules
from so8t.operate.monitor.scan import scan_file

LONGEST = MonitorConfig().largest_megabytes << 20


@dataclass
class Recorder:
    """In place of the gateway: what a ledger costs is measured elsewhere (ledger_speed.py)."""

    bodies: list[dict[str, Any]] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def note(self, kind: str, body: dict[str, Any]) -> Entry:
        self.bodies.append(body)
        return Entry(len(self.bodies), "", kind, bytes(32))


async def running(seconds: float, folder: Path) -> None:
    """Watch for so long and print what it cost."""
    (folder / "share").mkdir(exist_ok=True)
    config = MonitorConfig(state=str(folder / "monitor.json"), folders=(str(folder / "share"),))
    gateway = Recorder()
    monitor = Monitor(gateway, machine_watch(ServeConfig(monitor=config), ()))  # type: ignore[arg-type]
    await monitor.begin()
    cpu, begin = time.process_time(), time.monotonic()
    task = asyncio.create_task(monitor.watch())
    await asyncio.sleep(seconds)
    used, passed = time.process_time() - cpu, time.monotonic() - begin
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    print(f"  programs {len(psutil.pids())}, connections {len(psutil.net_connections('inet'))}")
    print(f"  whole process: {used:.2f} s of CPU in {passed:.0f} s = {100 * used / passed:.2f} % of one core")
    for turn in [*monitor.watched.turns, *([monitor.files] if monitor.files else [])]:
        each = 1e3 * turn.cpu / max(1, turn.looks)
        print(f"  {turn.name:<10} {turn.looks:>4} looks, {each:7.2f} ms each, {100 * turn.cpu / passed:.3f} %")
    found = Counter(body["finding"] for body in gateway.bodies if body["event"] == "found")
    print(f"  findings: {dict(found)}, resident {psutil.Process().memory_info().rss / 1e6:.0f} MB")


@contextmanager
def office(programs: int, connections: int) -> Iterator[None]:
    """So many programs more, and so many connections inside this process."""
    with ExitStack() as stack:
        server = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0), backlog=128)))
        for _ in range(connections // 2):  # each has two ends in the table
            stack.enter_context(closing(socket.create_connection(server.getsockname())))
            stack.enter_context(closing(server.accept()[0]))
        sleeping = [subprocess.Popen([str(shutil.which("sleep")), "1000"]) for _ in range(programs)]
        try:
            yield
        finally:
            for process in sleeping:
                process.kill()
            for process in sleeping:
                process.wait()


def searched(folder: Path) -> None:
    """Every file through the starters."""
    rules, files, size, took = Rules(), 0, 0, 0.0
    by_rule, by_severity, unread = Counter[str](), Counter[str](), Counter[str]()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        begin = time.process_time()
        scan = scan_file(path, rules, LONGEST)
        took += time.process_time() - begin
        files, size = files + 1, size + scan.bytes
        for finding in scan.findings:
            by_severity[finding.severity.word] += finding.kind == "file_rule"
            by_rule.update(map(str, finding.facts.get("rules", ())))  # type: ignore[arg-type]
            unread[str(finding.facts.get("why", ""))] += finding.kind == "file_unread"
    megabytes = size / 1e6
    print(
        f"rules: {rules.count}; {files} files, {megabytes:.0f} MB searched at {megabytes / took:.0f} MB/s of one core"
    )
    print(f"  findings by severity: {dict(+by_severity)}; by rule: {dict(by_rule)}")
    print(f"  not searched to the end: {dict(+unread)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--files", type=Path, default=Path(sysconfig.get_path("purelib")))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"this machine as it is, every {MonitorConfig().interval_seconds:g} s")
        asyncio.run(running(options.seconds, Path(folder)))
        print(f"with {options.programs} more programs and {options.connections} more connections")
        with office(options.programs, options.connections):
            asyncio.run(running(options.seconds, Path(folder)))
    searched(options.files)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
