"""so8t tools list | approve | revoke: what a running server's tools say of themselves, and trusting them.

An administrator's key goes with every question, so that the ledger says who approved what.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from so8t.core.errors import ToolUnknown, UsageError
from so8t.core.key_file import read_key
from so8t.operate.office_wire import OfficeWire
from so8t.report.summary import printable, table

BASE = "/so8t/v1/tools"
STATES = {
    "new": ("承認前", "not approved"), "changed": ("説明が変わった", "changed"), "approved": ("承認済み", "approved"),
    "gone": ("見つからない", "not there"),
}  # fmt: skip


def tools(options: argparse.Namespace) -> int:
    if not options.key_file:
        raise UsageError(where="--key-file", detail="a file with an administrator's API key (so8t users key NAME)")
    if options.action != "list" and not options.tool:
        raise UsageError(where="so8t tools", detail=f"{options.action} SERVER/TOOL")
    return asyncio.run(_asked(options))


async def _asked(options: argparse.Namespace) -> int:
    wire = OfficeWire(options.server, (BASE, f"{BASE}/"), seconds=300.0, key=read_key(options.key_file))
    try:
        if options.action == "revoke":
            return _said(options, await wire.post(f"{BASE}/{options.tool}/revoke", {}))
        rows: list[dict[str, Any]] = (await wire.get(BASE))["tools"]
        if options.action == "list":
            return _listed(options, rows)
        row = next((one for one in rows if one["tool"] == options.tool), None)
        if row is None:
            raise ToolUnknown(detail=options.tool[:100])
        if not _agreed(options, row):
            return 1
        return _said(options, await wire.post(f"{BASE}/{options.tool}/approve", {"digest": row["digest"]}))
    finally:
        await wire.close()


def _listed(options: argparse.Namespace, rows: list[dict[str, Any]]) -> int:
    if options.json:
        print(json.dumps({"tools": rows}, ensure_ascii=False))
        return 0
    ja = options.lang == "ja"
    heads = ["道具", "状態", "働き", "区分", "承認", "説明"] if ja else [
        "tool", "state", "effect", "level", "approved", "description",
    ]  # fmt: skip
    lines = [
        [row["tool"], row["problem"] or STATES[row["state"]][0 if ja else 1], row["effect"], row["classification"],
         f"{row['by']} {row['at'][:10]}".strip(), str(row["description"].get("description", ""))[:60]]
        for row in rows
    ]  # fmt: skip
    print(table(lines, heads))
    return 0


def _agreed(options: argparse.Namespace, row: dict[str, Any]) -> bool:
    """What would be approved is shown first, line by line; --yes is for those who have read it elsewhere."""
    ja = options.lang == "ja"
    if row["state"] == "gone":
        raise ToolUnknown(detail=f"{row['tool']} {row['problem']}".strip())
    if row["state"] == "approved":
        print("もう承認されています。" if ja else "approved already", file=sys.stderr)
        return False
    for line in row["differences"]:
        print(printable(line), file=sys.stderr)
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(where="--yes", detail=("読んだうえで --yes を付けてください", "read the above, then --yes"))
    print("承認しますか [y/N] " if ja else "Approve? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _said(options: argparse.Namespace, told: dict[str, Any]) -> int:
    state = STATES[told["state"]][0 if options.lang == "ja" else 1]
    print(json.dumps(told, ensure_ascii=False) if options.json else f"{told['tool']}: {state}")
    return 0
