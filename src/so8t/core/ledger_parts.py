"""The walk shared out over processes, for a long ledger that nobody writes to at the moment.

Each process checks a range of its own, from the hash stored before it, so that the ranges join where they meet. Only a
clean whole counts: at any trouble, be it no more than a process that would not start, one walk over everything tells.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from so8t.core.ledger_report import Findings
from so8t.core.ledger_store import source_at
from so8t.core.ledger_walk import FIRST, LAST, Walk
from so8t.core.sealing import TextKey

LEAST = 100_000  # entries that are worth a process
MOST = 8  # processes
SECONDS = 3600.0


def processes_for(entries: int) -> int:
    """How many processes pay."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, MOST, entries // LEAST)


def walk_in_parts(path: Path, walk: Walk, last: int, processes: int) -> bool:
    """True: `walk` has been over the whole chain up to `last`, which is clean. False: nothing is known."""
    ends = [last * n // processes for n in range(1, processes + 1)]
    workers: list[subprocess.Popen[bytes]] = []
    trouble: tuple[type[Exception], ...] = (OSError, ValueError, LookupError, TypeError, subprocess.SubprocessError)
    trouble += walk.source.damage
    try:
        for before, end in pairwise(ends):
            workers.append(_start(path, before + 1, end if end < last else LAST, walk))
        walk.go(FIRST, ends[0])
        return not walk.found and all(_joined(walk, worker) for worker in workers)
    except trouble:
        return False
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _start(path: Path, first: int, last: int, walk: Walk) -> subprocess.Popen[bytes]:
    """The text key goes through a pipe: a command line can be read by anybody on the machine."""
    source = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    worker = subprocess.Popen(
        [sys.executable, "-m", "so8t.core.ledger_parts", str(path), str(first), str(last)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": paths},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )  # fmt: skip
    assert worker.stdin is not None
    key = walk.text_key.encode().decode() if walk.text_key else ""
    worker.stdin.write(json.dumps({"heads": sorted(walk.heads), "text_key": key}).encode())
    worker.stdin.close()
    worker.stdin = None
    return worker


def _joined(walk: Walk, worker: subprocess.Popen[bytes]) -> bool:
    """Take on what another process has walked, if it is clean and begins where this walk ended."""
    out, _ = worker.communicate(timeout=SECONDS)
    if worker.returncode != 0:
        return False
    part: dict[str, Any] = json.loads(out)
    if part["before"] != [walk.seq, walk.head.hex(), walk.signature]:
        return False
    walk.seq, walk.time, walk.signature = part["seq"], part["time"], part["signature"]
    walk.head = bytes.fromhex(part["head"])
    walk.entries, walk.texts = walk.entries + part["entries"], walk.texts + part["texts"]
    walk.absent |= dict(part["absent"])
    walk.erased |= set(part["erased"])
    walk.heads |= {seq: bytes.fromhex(head) for seq, head in part["heads"]}
    return True


def main(arguments: list[str], told: bytes) -> int:
    """One part: exit 0 with what was walked as JSON, 1 for any finding."""
    path, first, last, said = Path(arguments[0]), int(arguments[1]), int(arguments[2]), json.loads(told)
    source = source_at(path)
    try:
        ((head, time, signature),) = source.select("SELECT hash, time, signature FROM entries WHERE seq = ?", first - 1)
        walk = Walk(source, Findings(), None, TextKey.decode(said["text_key"].encode()) if said["text_key"] else None)
        walk.seq, walk.head, walk.time, walk.signature = first - 1, head, time, signature
        walk.heads = {seq: b"" for seq in said["heads"] if first <= seq <= last}
        walk.go(first, last)
    finally:
        source.close()
    if walk.found:
        return 1
    part = {
        "before": [first - 1, head.hex(), signature], "seq": walk.seq, "head": walk.head.hex(), "time": walk.time,
        "signature": walk.signature, "entries": walk.entries, "texts": walk.texts, "absent": list(walk.absent.items()),
        "erased": list(walk.erased), "heads": [[seq, head.hex()] for seq, head in walk.heads.items()],
    }  # fmt: skip
    sys.stdout.write(json.dumps(part))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer.read()))
