"""so8t mcp: the tools of a running office for one MCP client, over standard input and output."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from so8t.core.errors import UsageError
from so8t.core.key_file import is_key, read_key

KEY = "SO8T_KEY"


def mcp(options: argparse.Namespace) -> int:
    """Who asks is the owner of the API key in --key-file, else in the environment's SO8T_KEY."""
    from so8t.operate.mcp.office_client import OfficeClient
    from so8t.operate.mcp.server import serve_stdio

    client = OfficeClient.at(options.server, own_key(options.key_file))
    asyncio.run(serve_stdio(client))
    return 0


def own_key(path: Path | None) -> str:
    """Raises ConfigValueInvalid, UsageError. A key is never an argument: every program may read those."""
    if path is not None:
        return read_key(path)
    key = os.environ.get(KEY, "").strip()
    if not is_key(key):
        raise UsageError(detail=f"--key-file F / {KEY}")
    return key
