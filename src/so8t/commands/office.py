"""so8t minutes, so8t mail: office work in a running server, under the identity of one API key."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.commands.mcp import own_key
from so8t.commands.senses import READING, hearing_of
from so8t.core.errors import ReaderFailed, SourceMissing, SourceUnreadable, UsageError
from so8t.core.files import write_bytes
from so8t.decide.policy_sections import RECOGNISER
from so8t.documents.document import Document
from so8t.documents.encoding import whole_text
from so8t.documents.kinds import Kind, kind_of
from so8t.documents.ocr import Ocr
from so8t.documents.ocr_process import ocr_missing
from so8t.documents.read import read
from so8t.documents.scans import HerePages, PageReader
from so8t.documents.unreadable import Reason
from so8t.operate.mcp.office_client import OfficeClient
from so8t.operate.minutes.word import word
from so8t.operate.senses.ears import Ears

LONGEST = 16 << 20  # bytes of a transcript's file
CAPTIONS = (".vtt", ".srt")
RECORDINGS = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".webm", ".mp4")
HOURS = 8.0  # of the longest recording
CUT = (Reason.DAMAGED, Reason.TRUNCATED, Reason.TOO_MANY, Reason.SCANNED)  # what was read is not the whole
REFUSED = 1  # exit code where nothing was made: handed over, denied, or failed


def minutes(options: argparse.Namespace) -> int:
    """Prints the minutes, or writes them to --out as .md, .json or .docx. 1 where none were made."""
    if options.out is not None and options.out.suffix not in (".md", ".json", ".docx"):
        raise UsageError(where="--out", detail=".md / .json / .docx")
    source = source_of(options.file, options.ears, options.lang)
    transcript = source.text
    order = {"transcript": transcript, "title": options.title or options.file.stem[:100], "date": options.date}
    order |= {"words": not options.no_words} | _level(options)
    if source.confidence is not None:
        order["read"] = {"confidence": source.confidence, "engine": source.engine}
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
        order["reply"] = source_of(options.reply, None, options.lang).text
    return _shown(options, asyncio.run(_asked(options, "mail_draft", order)))


@dataclass(frozen=True, slots=True)
class Source:
    """A transcript's text. confidence, engine: of what read or heard it, None and "" for text proper."""

    text: str
    confidence: float | None = None
    engine: str = ""


def source_of(path: Path, ears: Path | None, lang: str) -> Source:
    """Captions and plain text line by line as they stand; a recording through the recogniser in the folder `ears`;
    anything else through its reader, images and scans by OCR where it is installed.

    Raises SourceMissing, SourceUnreadable, ReaderFailed, UsageError for a recording without `ears`, PackageMissing.
    """
    if path.suffix.lower() in RECORDINGS:
        if ears is None:
            raise UsageError(where=path, detail="--ears FOLDER")
        partial = path.with_name(f"{path.name}.vtt.partial")
        found = hearing_of(path, Ears(ears, os.cpu_count() or 1), partial, lang, HOURS)
        partial.unlink(missing_ok=True)
        return Source(found.vtt(READING.minimum_speech), found.confidence, RECOGNISER)
    text = transcript_of(path)
    if text is not None:
        return Source(text)
    return read_source(path, None if ocr_missing() else HerePages(Ocr(os.cpu_count() or 1)))


def read_source(path: Path, ocr: PageReader | None) -> Source:
    """The whole of a file: minutes of the part of it that could be read would pass for minutes of the meeting. What is
    printed around its pages goes before, for that is where its level may stand.

    A page that nobody can make out counts as read with confidence 0. Raises SourceUnreadable, ReaderFailed,
    PackageMissing.
    """
    sure, texts, last = list[float](), list[str](), ""
    for item in read(path, ocr=ocr):
        if isinstance(item, Document):
            texts += [item.around] if item.around and not texts else []
            texts.append(item.text)
            sure += [] if item.confidence is None else [item.confidence]
        elif item.reason == Reason.READER_FAILED:
            raise ReaderFailed(where=item.place, detail=item.detail)
        elif item.reason in CUT:
            raise SourceUnreadable(where=item.place, detail=f"{item.reason}: {item.detail}")
        else:
            last = item.reason
            sure += [0.0] if item.reason == Reason.ILLEGIBLE else []
    if not texts:
        raise SourceUnreadable(where=path, detail=last)
    return Source("\n".join(texts), min(sure, default=None), "rapidocr" if sure else "")


def transcript_of(path: Path) -> str | None:
    """The text of a file that is text, as it stands; None for one of another kind.

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
    return None


async def _asked(options: argparse.Namespace, tool: str, order: dict[str, Any]) -> dict[str, Any]:
    client = OfficeClient.at(options.server, own_key(options.key_file))
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
        if told["made"] is None:
            number = told["so8t"]["ledger"]["seq"]
            print(f"台帳番号 {number}" if options.lang == "ja" else f"ledger no. {number}")
    else:
        made = told["made"]
        counts = [len(made[kind]) for kind in ("decisions", "todos", "open")]
        ja = "{}: 決まったこと {}、やること {}、残ったこと {}"
        en = "{}: {} decisions, {} to-dos, {} open points"
        print((ja if options.lang == "ja" else en).format(options.out, *counts))
    return 0 if told["made"] is not None else REFUSED


def _level(options: argparse.Namespace) -> dict[str, str]:
    return {"classification": options.classification} if options.classification else {}
