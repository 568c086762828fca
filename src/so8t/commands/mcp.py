"""so8t mcp: the tools of a running office for one MCP client, over standard input and output."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from so8t.core.errors import SourceMissing, UsageError

KEY = "SO8T_KEY"
LONGEST_KEY = 4096


def mcp(options: argparse.Namespace) -> int:
    """Who asks is the owner of the API key in --key-file, else in the environment's SO8T_KEY."""
    from so8t.operate.mcp.office_client import OfficeClient
    from so8t.operate.mcp.server import serve_stdio

    client = OfficeClient.at(options.address, read_key(options.key_file))
    asyncio.run(serve_stdio(client))
    return 0


def read_key(path: Path | None) -> str:
    """Raises SourceMissing, UsageError. A key is never an argument: every program may read those."""
    if path is None:
        key = os.environ.get(KEY, "").strip()
    else:
        try:
            with path.open(encoding="ascii") as file:
                key = file.read(LONGEST_KEY).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SourceMissing(where=path, detail=type(error).__name__) from error
    if not key or any(not c.isprintable() or c.isspace() for c in key):
        raise UsageError(detail=f"--key-file F / {KEY}")
    return key
