"""The server of office_server.py as a process that can be killed: python office_process.py FOLDER [UPSTREAM]

prints one JSON line {"address", "keys"} once it listens. The same folder may be served again after a kill.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from office_server import ANSWER, SCORES, configured, office, people

from so8t.ask.backend import FakeBackend
from so8t.ask.openai import OpenAiCompatible
from so8t.operate.server.listening import bound
from so8t.operate.server.run import app_of, office_of, serve

TOKENS = {"ALLOW": "AL", "ESCALATE": "ES", "DENY": "D"}


async def main() -> None:
    folder = Path(sys.argv[1])
    backend: Any = FakeBackend(SCORES, answer=ANSWER)
    if len(sys.argv) > 2:
        backend = OpenAiCompatible(sys.argv[2], "dummy", TOKENS, 2.0)
    kept = folder / "keys.json"
    async with office(folder, backend, configured(folder)) as running:
        if not kept.exists():
            kept.write_text(json.dumps(await people(running.authenticator)), encoding="utf-8")
        keys = json.loads(kept.read_text(encoding="utf-8"))

        def ready(address: str) -> None:
            print(json.dumps({"address": address, "keys": keys}), flush=True)

        with bound(running.config.address, running.config.port) as at:
            await serve(running, app_of(running, office_of(running)), at, ready)


if __name__ == "__main__":
    asyncio.run(main())
