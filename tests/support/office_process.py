"""The server of office_server.py as a process that can be killed: python office_process.py FOLDER [UPSTREAM]

prints one JSON line {"address", "keys"} once it listens. The same folder may be served again after a kill.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from office_server import ANSWER, SCORES, build, people

from so8t.ask.backend import FakeBackend
from so8t.ask.openai import OpenAiCompatible
from so8t.core import sealing
from so8t.operate.server.protocol import GuardedHttp

TOKENS = {"ALLOW": "AL", "ESCALATE": "ES", "DENY": "D"}


async def main() -> None:
    folder = Path(sys.argv[1])
    backend: Any = FakeBackend(SCORES, answer=ANSWER)
    if len(sys.argv) > 2:
        backend = OpenAiCompatible(sys.argv[2], "dummy", TOKENS, 2.0)
    _, _, app, _, _, authenticator = build(folder, backend, sealing.load_or_create(folder / "text.key"))
    kept = folder / "keys.json"
    if not kept.exists():
        kept.write_text(json.dumps(await people(authenticator)), encoding="utf-8")
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, http=GuardedHttp, ws="none", lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    told = {"address": f"http://127.0.0.1:{port}", "keys": json.loads(kept.read_text(encoding="utf-8"))}
    print(json.dumps(told), flush=True)
    await task


if __name__ == "__main__":
    asyncio.run(main())
