"""The other way into Ollama: its own program, `ollama create NAME -f Modelfile`, for those who prefer it."""

from __future__ import annotations

import asyncio
import os
import shutil

from so8t.core.errors import BackendProtocol, EnvironmentUnfit
from so8t.operate.deploy.target import Target

PROGRAM = "ollama"
SECONDS = 3600.0


async def create_by_program(address: str, target: Target) -> None:
    """The program reads the bundle's Modelfile itself and talks to `address` alone.

    Raises EnvironmentUnfit without the program, BackendProtocol with its last line when it fails.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise EnvironmentUnfit(where=PROGRAM, detail="--by cli")
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        program, "create", target.model, "-f", str(target.path), cwd=target.path.parent,
        env=kept | {"OLLAMA_HOST": address, "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        words, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = words.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise BackendProtocol(where=f"{PROGRAM} create {target.model}", detail="".join(last)[:200])
