"""Heads in an exported event log, whatever its form: our JSON lines, journalctl -o json, syslog text, Windows XML.

All of them hold the message of event.py unchanged, so it is searched for as text: nothing here parses XML or JSON that
a stranger may have written. The file is read in pieces; Event Viewer writes a whole log into one line.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from so8t.core.errors import SourceEmpty, SourceMissing, SourceUnreadable
from so8t.operate.eventlog.event import IDENTIFIER

PIECE = 1 << 20
MESSAGE = 512  # no message is longer
_EVENT = re.compile(rf"\b{IDENTIFIER} seq=(?:([0-9]{{1,18}}) head=([0-9a-f]{{64}})(?![0-9A-Za-z]))?")


@dataclass(frozen=True, slots=True)
class Head:
    """What an event log says of one entry; seq 0 = an event that cannot be read."""

    seq: int
    head: str


def heads_of(path: Path) -> Iterator[Head]:
    """In the order of the file. Raises SourceMissing, SourceUnreadable, SourceEmpty for a file without any event."""
    found, rest = False, ""
    for piece, last in _pieces(path):
        text = rest + piece
        # An event that begins at the very end may go on in the next piece.
        limit = len(text) if last else max(0, len(text) - MESSAGE)
        for match in _EVENT.finditer(text):
            if match.start() >= limit:
                break
            found = True
            yield Head(int(match[1] or 0), match[2] or "")
        rest = text[limit:]
    if not found:
        raise SourceEmpty(where=path, detail="no events of so8t")


def _pieces(path: Path) -> Iterator[tuple[str, bool]]:
    """(text, whether it is the last). UTF-8, or UTF-16 where a byte order mark says so (PowerShell)."""
    try:
        with path.open("rb") as f:
            mark = f.read(2)
            f.seek(0)
            wide = mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8")("replace")
            while piece := f.read(PIECE):
                yield decoder.decode(piece), False
            yield decoder.decode(b"", final=True), True
    except FileNotFoundError:
        raise SourceMissing(where=path) from None
    except OSError as error:
        raise SourceUnreadable(where=path, detail=type(error).__name__) from error
