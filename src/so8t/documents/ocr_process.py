"""OCR in a process of its own, for a server: `python -m so8t.documents.ocr_process` is the child."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from so8t.core.child import Child, serve
from so8t.core.errors import SourceUnreadable
from so8t.documents.images import INSTALL
from so8t.documents.ocr import Ocr
from so8t.documents.scans import HerePages, Packed, PageReading, pictures

PAGE_SECONDS = 60.0
SHOWN_SIDE = 1600  # pixels of a page as it is shown to people
NEEDED = ("rapidocr", "PIL", "pypdfium2")


def ocr_missing() -> str:
    """Why there is no OCR here, or ""; nothing is loaded to find out."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    return f"{' '.join(missing)}: {INSTALL}" if missing else ""


class OcrProcess:
    """A PageReader. `low`: in the background, with what others leave of the processor."""

    def __init__(self, *, threads: int = 1, low: bool = False, seconds: float = PAGE_SECONDS) -> None:
        self._child = Child(__spec__.name, (str(threads),), seconds=seconds, low=low)

    def pages(self, content: bytes, packed: Packed, numbers: Sequence[int] | None = None) -> Iterator[PageReading]:
        head = {"do": "read", "packed": packed, "numbers": None if numbers is None else list(numbers)}
        for answer in self._child.ask(head, content):
            yield PageReading(**answer)

    def few(self, content: bytes, packed: Packed, most: int) -> list[PageReading]:
        """All pages, of which there are `most`: more are refused before any is read."""
        head = {"do": "read", "packed": packed, "numbers": None, "most": most}
        return [PageReading(**answer) for answer in self._child.ask(head, content)]

    def picture(self, content: bytes, packed: Packed, page: int) -> bytes:
        """A page as a PNG made anew, so that nothing of the file itself reaches a browser.

        Raises SourceUnreadable, ReaderFailed, PackageMissing.
        """
        found = list(self._child.ask({"do": "show", "packed": packed, "numbers": [page]}, content))
        if not found:
            raise SourceUnreadable(where=f"page {page}", detail="no such page")
        return base64.b64decode(found[0]["png"])

    def close(self) -> None:
        self._child.close()


class _Answers:
    def __init__(self, threads: int) -> None:
        self._pages = HerePages(Ocr(threads))

    def __call__(self, head: Mapping[str, Any], content: bytes) -> Iterator[dict[str, Any]]:
        packed, numbers = head["packed"], head["numbers"]
        if head["do"] == "read":
            yield from map(asdict, self._pages.pages(content, packed, numbers, head.get("most")))
            return
        for _, grey in pictures(content, packed, numbers):
            grey.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
            made = io.BytesIO()
            grey.save(made, "PNG")
            yield {"png": base64.b64encode(made.getvalue()).decode()}


if __name__ == "__main__":
    import sys

    serve(_Answers(int(sys.argv[1])))
