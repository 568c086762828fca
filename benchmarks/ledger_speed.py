"""Durable appends a second beside the disk's own limit, and how fast the chain is verified; one run, side by side.

    python3 benchmarks/ledger_speed.py [--folder .] [--seconds 3] [--rounds 3] [--entries 300000] [--postgres FILE]

Raw: 4 KiB appended to a file and synced, one after the other. Appends: each waiter sends a decision of about 700 bytes
with one encrypted text of 100 characters and waits until it is durable. Rounds of all kinds alternate, so that other
work on the machine meets them alike. Verify: with the public key, best of --rounds; a ledger with a text in every entry
is timed apart, without and with the text key. --postgres: a file that holds postgres://..., of an empty database.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from so8t.core.ledger import Ledger
from so8t.core.ledger_report import Report
from so8t.core.ledger_verify import verify
from so8t.core.sealing import TextKey

KEY, TEXTS = Ed25519PrivateKey.generate(), TextKey.generate()
WAITERS = (1, 32, 128)
TEXT = "あ" * 100
sync = getattr(os, "fdatasync", os.fsync)


def decision(n: int) -> dict[str, Any]:
    """What the gateway records of one request."""
    opinions = [
        {"judge": judge, "decision": "ALLOW", "ms": 1.2, "rules": ["R1"]} for judge in ("rule", "model", "precedent")
    ]
    return {
        "decision": ("ALLOW", "ESCALATE", "DENY")[n % 3], "request_id": f"r{n:032x}", "actor": f"u{n % 97}",
        "clearance": "部外秘", "confidence": 0.91, "reason": "上席の承認が必要", "policy_digest": f"{n:064x}",
        "payload_digest": f"{n:064x}", "probabilities": {"ALLOW": 0.9, "ESCALATE": 0.05, "DENY": 0.05},
        "opinions": opinions,
    }  # fmt: skip


def raw(folder: Path, seconds: float) -> list[float]:
    """Seconds of each synced append."""
    took, block = [], os.urandom(4096)
    handle = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        os.write(handle, block)
        sync(handle)
        took.append(time.perf_counter() - begin)
    os.close(handle)
    return took


def appends(ledger: Ledger, waiters: int, seconds: float) -> list[float]:
    """Seconds that each append waited."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    def wait() -> None:
        own, n = [], 0
        while (begin := time.perf_counter()) < end:
            ledger.append_sync("decision", decision(n), text={"query": TEXT})
            own.append(time.perf_counter() - begin)
            n += 1
        took.extend(own)

    threads = [threading.Thread(target=wait) for _ in range(waiters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def measure(folder: Path, path: Path, seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    kinds: dict[str, Callable[[], list[float]]] = {"raw": lambda: raw(folder, seconds)}
    took: dict[str, list[float]] = {}
    with Ledger(path, KEY, TEXTS) as ledger:
        for n in WAITERS:
            kinds[str(n)] = lambda n=n: appends(ledger, n, seconds)  # type: ignore[misc]
        for _ in range(rounds):
            for name, run in kinds.items():
                took.setdefault(name, []).extend(run())
    total = seconds * rounds
    return {name: row(values, total, len(took["raw"])) for name, values in took.items()}


def row(values: list[float], seconds: float, raw_count: int) -> dict[str, float]:
    values.sort()
    return {
        "per_second": round(len(values) / seconds, 1), "of_raw": round(len(values) / raw_count, 2),
        "p50_ms": round(statistics.median(values) * 1e3, 2), "p99_ms": round(values[int(len(values) * 0.99)] * 1e3, 2),
    }  # fmt: skip


def build(path: Path, entries: int, texts: bool) -> None:
    with Ledger(path, KEY, TEXTS) as ledger:
        waiting = None
        for n in range(entries - 1):
            waiting = ledger.append("decision", decision(n), text={"query": TEXT} if texts else None)
            if n % 5000 == 0:
                waiting.result()
        if waiting:
            waiting.result()


def best(path: Path, rounds: int, text_key: TextKey | None = None) -> dict[str, float]:
    reports: list[Report] = []
    for _ in range(rounds):
        reports.append(verify(path, None, KEY.public_key(), text_key))
        if not reports[-1].ok:
            raise SystemExit(f"{path} does not verify: {reports[-1].problems[:3]}")
    fastest = min(reports, key=lambda r: r.seconds)
    return {"entries": fastest.entries, "per_second": round(fastest.entries / fastest.seconds),
            "seconds": round(fastest.seconds, 3)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("."), help="on the disk to measure")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--entries", type=int, default=300_000)
    parser.add_argument("--postgres", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        found: dict[str, Any] = {
            "cpus": os.cpu_count(),
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        }
        found["sqlite"] = measure(folder, folder / "append.db", options.seconds, options.rounds)
        found["fsync_ms"] = found["sqlite"]["raw"]["p50_ms"]
        if options.postgres:
            found["postgres"] = measure(folder, options.postgres, options.seconds, options.rounds)
            found["verify_postgres"] = best(options.postgres, 1, TEXTS)
        build(folder / "chain.db", options.entries, texts=False)
        found["verify_chain"] = best(folder / "chain.db", options.rounds)
        build(folder / "texts.db", options.entries // 3, texts=True)
        found["verify_texts_without_key"] = best(folder / "texts.db", options.rounds)
        found["verify_texts_with_key"] = best(folder / "texts.db", options.rounds, TEXTS)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
