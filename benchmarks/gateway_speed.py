"""CPU a request and added latency of `so8t serve`, beside LiteLLM's proxy over the same dummy upstream, in one run.

    python3 -m venv /tmp/litellm && /tmp/litellm/bin/pip install "litellm[proxy]"
    python benchmarks/gateway_speed.py --bundle runs/micro/bundle --litellm /tmp/litellm/bin/litellm

One worker each. Ours with the durable ledger, the policy's rules, the precedents, the model judge (one more call to the
upstream) and the answer check; theirs with none of it, its master key alone. CPU is that of the server process (user
and system, psutil), so a busy machine does not falsify it; latency is by the clock, at concurrency 1, with that of the
upstream asked directly beside it. The dummy upstream answers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil

QUERY = "研修の案内文を、読みやすく書き直してください。"
CHUNKS = 50
HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--litellm", type=Path, help="the litellm program; without it ours alone is measured")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = measure(options, Path(name))
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    with upstream(options.bundle) as address:
        servers = [("direct", lambda: direct(address)), ("so8t", lambda: ours(options.bundle, address, folder))]
        if options.litellm:
            servers.append(("litellm", lambda: litellm(options.litellm, address, folder)))
        rows = []
        for name, start in servers:
            with start() as (process, base, headers, model):
                for stream in (False, True):
                    row = asyncio.run(load(process, base, headers, model, stream, options))
                    rows.append({"server": name, "stream": stream} | row)
                    print(rows[-1], file=sys.stderr)
        return rows


async def load(
    process: psutil.Process | None, base: str, headers: dict[str, str], model: str, stream: bool, options: Any
) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": QUERY}], "stream": stream}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def one() -> float:
            begin = time.perf_counter()
            async with session.post(f"{base}/v1/chat/completions", json=body) as response:
                content = await response.read()
                assert response.status == 200, content[:500]
                assert b"[DONE]" in content if stream else b"choices" in content, content[:500]
                assert response.headers.get("x-so8t-decision", "ALLOW") == "ALLOW", "not the way to an answer"
            return (time.perf_counter() - begin) * 1e3

        for _ in range(30):
            await one()
        before = cpu(process)
        alone = [await one() for _ in range(options.requests // 2)]
        begin = time.perf_counter()
        left = iter(range(options.requests))

        async def worker() -> None:
            for _ in left:
                await one()

        await asyncio.gather(*(worker() for _ in range(options.concurrency)))
        wall = time.perf_counter() - begin
        used = cpu(process) - before
    done = options.requests // 2 + options.requests
    return {
        "cpu_us": round(used / done * 1e6, 1), "p50_ms": round(statistics.median(alone), 3),
        "p99_ms": round(sorted(alone)[int(len(alone) * 0.99)], 3), "per_second": round(options.requests / wall, 1),
    }  # fmt: skip


def cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = [p.cpu_times() for p in [process, *process.children(recursive=True)]]
    return sum(t.user + t.system for t in times)


@contextlib.contextmanager
def upstream(bundle: Path) -> Iterator[str]:
    from so8t.ask.first_token import first_tokens
    from so8t.judge.model import LABELS

    tokens = first_tokens(bundle / "tokenizer.json", LABELS)
    scores = {token: -0.01 if label == "ALLOW" else -9.0 for label, token in tokens.items()}
    port = free_port()
    command = [sys.executable, str(HERE / "gateway" / "upstream.py"), str(port), str(CHUNKS), json.dumps(scores)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def direct(address: str) -> Iterator[Any]:
    yield None, address, {}, "dummy"


@contextlib.contextmanager
def ours(bundle: Path, address: str, folder: Path) -> Iterator[Any]:
    key = asyncio.run(user(folder))
    port, config = free_port(), folder / "so8t.toml"
    config.write_text(
        'profile = "micro"\n[serve]\nconcurrent_each = 100\n'
        f'[serve.upstream]\nkind = "openai"\naddresses = ["{address}"]\nmodel = "dummy"\n'
        f'[serve.identity]\nusers = "{folder}/users.db"\nrequests_per_minute = 100000000\n'
        f'[serve.ledger]\npath = "{folder}/ledger.db"\nkey = "{folder}/ledger.key"\ntext_key = "{folder}/text.key"\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "so8t", "serve", "--bundle", str(bundle), "--allow-unproven", "--json"]
    command += ["--config", str(config), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield psutil.Process(process.pid), told["address"], {"Authorization": f"Bearer {key}"}, told["model"]
    finally:
        process.terminate()
        process.wait(60)


async def user(folder: Path) -> str:
    """One account with a key, made before the server starts."""
    from so8t.core.serve_config import IdentityConfig
    from so8t.core.types import Levels
    from so8t.operate.identity.authenticator import Authenticator
    from so8t.operate.identity.identity import Role

    async def record(event: str, body: Any) -> None:
        del event, body

    made = Authenticator(IdentityConfig(users=str(folder / "users.db")), Levels, record, secure=False)
    await made.accounts.add("bench", roles={Role.USER}, clearance="社内限定", by="bench")
    issued = await made.keys.issue("bench", by="bench")
    made.close()
    return issued.secret


@contextlib.contextmanager
def litellm(program: Path, address: str, folder: Path) -> Iterator[Any]:
    port, config = free_port(), folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: dummy\n    litellm_params:\n      model: openai/dummy\n"
        f"      api_base: {address}/v1\n      api_key: x\n"
        "general_settings:\n  master_key: sk-bench\nlitellm_settings:\n  telemetry: false\n",
        encoding="utf-8",
    )
    command = [str(program), "--config", str(config), "--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield psutil.Process(process.pid), f"http://127.0.0.1:{port}", {"Authorization": "Bearer sk-bench"}, "dummy"
    finally:
        process.terminate()
        process.wait(60)


def wait_for(port: int) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.5)
    raise TimeoutError(port)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["server   stream  CPU us/request   p50 ms   p99 ms  requests/s   CPU ratio to ours"]
    ours_ = {row["stream"]: row["cpu_us"] for row in rows if row["server"] == "so8t"}
    for row in rows:
        ratio = f"{row['cpu_us'] / ours_[row['stream']]:.1f}x" if row["server"] == "litellm" else ""
        lines.append(
            f"{row['server']:<8} {row['stream']!s:<6} {row['cpu_us']:>14} {row['p50_ms']:>9} {row['p99_ms']:>8}"
            f" {row['per_second']:>11}   {ratio}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
