"""so8t minutes, so8t mail: office work in a running server, under the identity of one API key."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from so8t.commands.mcp import read_key
from so8t.core.errors import SourceMissing, SourceUnreadable, UsageError
from so8t.core.files import write_bytes
from so8t.documents.document import Document
from so8t.documents.encoding import whole_text
from so8t.documents.kinds import Kind, kind_of
from so8t.documents.read import read
from so8t.operate.mcp.office_client import OfficeClient
from so8t.operate.minutes.word import word

LONGEST = 16 << 20  # bytes of a transcript's file
CAPTIONS = (".vtt", ".srt")
REFUSED = 1  # exit code where nothing was made: handed over, denied, or failed


def minutes(options: argparse.Namespace) -> int:
    """Prints the minutes, or writes them to --out as .md, .json or .docx. 1 where none were made."""
    if options.out is not None and options.out.suffix not in (".md", ".json", ".docx"):
        raise UsageError(where="--out", detail=".md / .json / .docx")
    transcript = transcript_of(options.file)
    order = {"transcript": transcript, "title": options.title or options.file.stem[:100], "date": options.date}
    order |= {"words": not options.no_words} | _level(options)
    told = asyncio.run(_asked(options, "minutes", order))
    if options.out is not None and told["made"] is not None:
        write_bytes(options.out, _content(told, transcript, options.out.suffix))
    return _shown(options, told)


def mail(options: argparse.Namespace) -> int:
    """Prints the draft; nothing is ever sent. 1 where none was made."""
    order = {
        "purpose": options.purpose, "to": options.to, "points": options.point, "register": options.register,
        "sender": options.sender, "words": not options.no_words, **_level(options),
    }  # fmt: skip
    if options.reply is not None:
        order["reply"] = transcript_of(options.reply)
    return _shown(options, asyncio.run(_asked(options, "mail_draft", order)))


def transcript_of(path: Path) -> str:
    """The text of a file: captions and plain text line by line as they stand, anything else through its reader.

    Raises SourceMissing, SourceUnreadable.
    """
    try:
        if path.stat().st_size > LONGEST:
            raise SourceUnreadable(where=path, detail=f"> {LONGEST} bytes")
        known = kind_of(path.name)
        if path.suffix.lower() in CAPTIONS or (known is not None and known[0] is Kind.TEXT):
            return whole_text(path.read_bytes())
    except OSError as error:
        raise SourceMissing(where=path, detail=type(error).__name__) from error
    items = list(read(path))
    texts = [item.text for item in items if isinstance(item, Document)]
    if not texts:
        reason = next((item.reason for item in items if not isinstance(item, Document)), "")
        raise SourceUnreadable(where=path, detail=reason)
    return "\n".join(texts)


async def _asked(options: argparse.Namespace, tool: str, order: dict[str, Any]) -> dict[str, Any]:
    client = OfficeClient.at(options.server, read_key(options.key_file))
    try:
        return await client.call(tool, order)
    finally:
        await client.close()


def _content(told: dict[str, Any], transcript: str, suffix: str) -> bytes:
    if suffix == ".docx":
        return word(told["made"], transcript.splitlines())
    text = told["text"] if suffix == ".md" else json.dumps(told, ensure_ascii=False, indent=1)
    return f"{text}\n".encode()


def _shown(options: argparse.Namespace, told: dict[str, Any]) -> int:
    if options.json:
        print(json.dumps(told, ensure_ascii=False))
    elif getattr(options, "out", None) is None or told["made"] is None:
        print(told["text"])
    else:
        made = told["made"]
        counts = [len(made[kind]) for kind in ("decisions", "todos", "open")]
        ja = "{}: 決まったこと {}、やること {}、残ったこと {}"
        en = "{}: {} decisions, {} to-dos, {} open points"
        print((ja if options.lang == "ja" else en).format(options.out, *counts))
    return 0 if told["made"] is not None else REFUSED


def _level(options: argparse.Namespace) -> dict[str, str]:
    return {"classification": options.classification} if options.classification else {}
