"""A hundred clients for minutes, a tenth of them slow readers, one request in a hundred given up: errors and memory.

    python benchmarks/gateway_soak.py --bundle runs/micro/bundle --minutes 5

The server is `so8t serve` over the dummy upstream of gateway_speed.py. An error of ours is any answer but a whole one,
or a busy one (503 with Retry in words) when all places are taken. Memory is the server process's resident set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from gateway_speed import QUERY, ours, upstream

SLOW, ABORTED = 0.1, 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        upstream(options.bundle) as address,
        ours(options.bundle, address, Path(name)) as (process, base, headers, model),
    ):
        found = asyncio.run(soak(process, base, headers, model, options))
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if not found["errors"] else 1


async def soak(process: psutil.Process, base: str, headers: dict[str, str], model: str, options: Any) -> dict[str, Any]:
    end, outcomes, memory = time.monotonic() + options.minutes * 60, Counter[str](), []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def client(number: int) -> None:
            dice = random.Random(number)
            slow = number < options.clients * SLOW
            while time.monotonic() < end:
                outcomes[await one(session, f"{base}/v1/chat/completions", model, dice, slow)] += 1

        async def watch() -> None:
            while time.monotonic() < end:
                memory.append(round(process.memory_info().rss / 2**20, 1))
                await asyncio.sleep(5)

        await asyncio.gather(watch(), *(client(n) for n in range(options.clients)))
    late = memory[len(memory) // 3 :]
    return {
        "outcomes": dict(outcomes), "errors": sum(n for what, n in outcomes.items() if what.startswith("error")),
        "requests": sum(outcomes.values()), "memory_mb": {"first": memory[0], "third": late[0], "last": memory[-1],
                                                         "most": max(memory)},
        "growth_mb_after_the_first_third": round(late[-1] - late[0], 1),
    }  # fmt: skip


async def one(session: aiohttp.ClientSession, url: str, model: str, dice: random.Random, slow: bool) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": f"{QUERY} {dice.random()}"}], "stream": True}
    try:
        async with session.post(url, json=body) as response:
            if response.status == 503:
                await asyncio.sleep(0.2)
                return "busy"
            if dice.random() < ABORTED:
                await response.content.readany()
                response.close()
                return "given up"
            content = b""
            async for piece in response.content.iter_any():
                content += piece
                if slow:
                    await asyncio.sleep(0.05)
            if response.status == 200 and content.endswith(b"data: [DONE]\n\n"):
                return "slow" if slow else "whole"
            return f"error {response.status} {content[-120:]!r}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"error {type(error).__name__}"


if __name__ == "__main__":
    sys.exit(main())
