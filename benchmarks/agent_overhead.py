"""What an agent costs beside a plain request: its rules, loading its file, and one call of a local tool server.

    python benchmarks/agent_overhead.py

Requests: those of three written passes, each once, so that no memory of an earlier one helps. The tool server is that
of the tests (official SDK, a Python process that is started for every call).
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from importlib import metadata
from pathlib import Path

from so8t.core.packaged import packaged, policy_text
from so8t.core.serve_config import ServeConfig, ToolServer
from so8t.core.types import Request
from so8t.decide.policy import parse_policy
from so8t.judge.rule import rule_opinion
from so8t.operate.agents.catalogue import catalogue_of
from so8t.operate.tools.client import visited

CALLS = 10
TOOL_SERVER = Path(__file__).resolve().parents[1] / "tests" / "support" / "tool_server.py"


def milliseconds(times: list[float]) -> str:
    ordered = sorted(times)
    return f"median {1e3 * statistics.median(ordered):.2f} ms, p95 {1e3 * ordered[int(0.95 * len(ordered))]:.2f} ms"


def main() -> None:
    began = time.perf_counter()
    office = parse_policy(*policy_text("demo"))
    found = catalogue_of(ServeConfig(), office)
    print(f"Python {sys.version.split()[0]}, mcp {metadata.version('mcp')}")
    print(f"loading demo and the {len(found.agents)} agents: {time.perf_counter() - began:.2f} s")
    files = [packaged("requests", f"{name}.jsonl") for name in ("desk", "street", "workday")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    requests = [Request("r", json.loads(line)["query"]) for line in lines]
    narrowings = [agent.narrowing() for agent in found.agents.values()]
    plain, narrowed = list[float](), list[float]()
    for number, request in enumerate(requests):
        began = time.perf_counter()
        rule_opinion(request, office)
        between = time.perf_counter()
        narrowings[number % len(narrowings)].opinion(request, office)
        plain.append(between - began)
        narrowed.append(time.perf_counter() - between)
    print(f"{len(requests)} requests")
    print(f"the office's rules ({len(office.rules)}): {milliseconds(plain)}")
    print(f"an agent's floors: {milliseconds(narrowed)}")
    print(f"a visit to a tool server, listing and one call: {milliseconds(asyncio.run(visits()))}")


async def visits() -> list[float]:
    server = ToolServer("plan", (sys.executable, str(TOOL_SERVER), "quiet"), tools=("day",), classification="公開")
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        async with visited(server) as visit:
            await visit.descriptions()
            await visit.call("day", {"day": "2026-11-26"})
        times.append(time.perf_counter() - began)
    return times


if __name__ == "__main__":
    main()
