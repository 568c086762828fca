"""so8t answer: a question put to the running office's documents, its sentences printed as they come."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from so8t.ask.wire import Json
from so8t.commands.mcp import own_key
from so8t.core.errors import BackendProtocol
from so8t.operate.mcp.office_client import ANSWER_SECONDS, BASE
from so8t.operate.office_wire import OfficeWire
from so8t.report.summary import printable

REFUSED = 1  # exit code where there is no answer or not all of it: not found, handed over, denied, withheld, failed


def answer(options: argparse.Namespace) -> int:
    """Prints each sentence with the number of its passage, then the passages; with --json the whole as one object.

    Raises BackendDown, BackendProtocol, OutboundRefused.
    """
    told = asyncio.run(_told(options))
    print(json.dumps(told, ensure_ascii=False) if options.json else _passages(told, options.lang))
    return REFUSED if told["notice"] else 0


async def _told(options: argparse.Namespace) -> Json:
    """The last event, after what goes before it is printed."""
    async with aclosing(_events(options)) as events:
        async for event in events:
            if "end" in event:
                return dict(event["end"])
            if not options.json and (line := _line(event, options.lang)):
                print(line, flush=True)
    raise BackendProtocol(where=options.server, detail="no end")


async def _events(options: argparse.Namespace) -> AsyncGenerator[Json]:
    path = f"{BASE}/agents/{quote(options.agent, safe='')}/ask" if options.agent else f"{BASE}/answer"
    wire = OfficeWire(options.server, (path,), stall=ANSWER_SECONDS, key=own_key(options.key_file))
    body: dict[str, Any] = {"query": " ".join(options.query), "stream": True}
    if options.folder:
        body["folders"] = options.folder
    try:
        async with aclosing(wire.events(path, body)) as events:
            async for event in events:
                yield event
    finally:
        await wire.close()


def _line(event: Json, lang: str) -> str:
    if "notice" in event:
        return printable(event["notice"])
    if "sentence" not in event:
        return ""
    sentence = event["sentence"]
    unsourced = "根拠なし" if lang == "ja" else "no source"
    return f"{printable(sentence['text'])} [{sentence['source'] or unsourced}]"


def _passages(told: Json, lang: str) -> str:
    lines = [
        f"[{one['number']}] {printable(one['place'])} ({printable(one['classification'])})" for one in told["documents"]
    ]
    if told["cut"]:
        lines.append("長さの上限で切れた答えです。" if lang == "ja" else "Cut at the longest length.")
    if told["ledger"]:
        lines.append(f"{'台帳番号' if lang == 'ja' else 'ledger no.'} {told['ledger']['seq']}")
    return "\n".join(["", *lines])
