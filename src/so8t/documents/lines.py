"""Lines of a stream of any length in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from so8t.documents.unreadable import Reason, Unreadable


def lines(blocks: Iterator[bytes], longest: int) -> Iterator[bytes | Unreadable]:
    """Lines without their newline. One of more than `longest` bytes is an Unreadable, read past but not kept; where
    the stream fails, what stands before that point comes first, also half a line, then the Unreadable."""
    tail = b""
    try:
        for block in blocks:
            rows = block.split(b"\n")
            # What is too long already is not added to: a line of a gigabyte costs `longest` and a block.
            rows[0] = tail + rows[0] if len(tail) <= longest else tail
            tail = rows.pop()
            for row in rows:
                yield row if len(row) <= longest else Unreadable(Reason.LONG_LINE, f"> {longest} bytes")
        trouble = None
    except Unreadable as error:
        trouble = error
    if tail:
        yield tail if len(tail) <= longest else Unreadable(Reason.LONG_LINE, f"> {longest} bytes")
    if trouble:
        yield trouble
