"""A journal for tests: a socket with the sender's credentials from the kernel, and a journalctl that shows it."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

JOURNALCTL = """#!{python} -I
import json, sys
asked = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a and not a.startswith("-"))
assert "-o" in sys.argv and "json" in sys.argv
for line in open({entries!r}, encoding="utf-8"):
    entry = json.loads(line)
    if all(entry.get(name) == value for name, value in asked.items()):
        print(line, end="")
"""


class Journal:
    """`change` may alter an entry, or lose it by returning None."""

    def __init__(self, folder: Path) -> None:
        self.socket, self.entries = folder / "socket", folder / "entries"
        self.entries.touch()
        self.change = lambda entry: [entry]
        program = folder / "journalctl"
        program.write_text(JOURNALCTL.format(python=sys.executable, entries=str(self.entries)), encoding="utf-8")
        program.chmod(0o755)

    def take(self, daemon: socket.socket) -> None:
        data, ancillary, _, _ = daemon.recvmsg(1 << 16, 256)
        pid, uid, gid = struct.unpack("3i", ancillary[0][2])
        entry = dict(line.split("=", 1) for line in data.decode("ascii").splitlines())
        entry |= {"_PID": str(pid), "_UID": str(uid), "_GID": str(gid), "_TRANSPORT": "journal"}
        with self.entries.open("a", encoding="utf-8") as f:
            f.writelines(json.dumps(e) + "\n" for e in self.change(entry))


@contextmanager
def running_journal(folder: Path) -> Iterator[Journal]:
    journal, stop = Journal(folder), threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        daemon.bind(str(journal.socket))
        daemon.settimeout(0.05)

        def run() -> None:
            while not stop.is_set():
                with suppress(TimeoutError):
                    journal.take(daemon)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield journal
        finally:
            stop.set()
            thread.join()
