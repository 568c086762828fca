"""Images and scanned pages of a request -> text with its confidence, as training gave it (SPEC M10).

What was read becomes part of the query under a line that says what it is: it is judged like any pasted document, so
that an order standing on an image is data. The confidence goes along and may put a floor under the verdict
(judge/rule.py).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from so8t.core.errors import RecordInvalid
from so8t.core.serve_config import IntakeConfig
from so8t.core.types import Attachment, PageText, Turn
from so8t.decide.clearance import classification_from_markers, highest
from so8t.decide.image_text import LONGEST, level_on, with_image
from so8t.decide.policy import Policy
from so8t.documents.ocr_process import OcrProcess, ocr_missing
from so8t.documents.scans import PageReading
from so8t.operate.intake.blame import blamed
from so8t.operate.intake.one_by_one import OneByOne, in_time
from so8t.operate.intake.upload import Upload, packed_as

REMEMBERED = 256  # files whose text is kept in memory: a client sends a conversation's images with every turn
KEPT_CHARACTERS = 4 * LONGEST  # of a page, for people; the judges see LONGEST of them


@dataclass(frozen=True, slots=True)
class Said:
    """A turn as the client tells it, with what came along."""

    role: str
    text: str
    uploads: tuple[Upload, ...] = ()


@dataclass(frozen=True, slots=True)
class _Read:
    """What is known of a file: its pages and the level that is stamped or marked on them, as names."""

    pages: tuple[PageText, ...]
    levels: tuple[str | None, ...]


@dataclass(slots=True)
class Intake:
    """One reader for all: OCR takes a whole processor. What one person sent is remembered for that person alone."""

    config: IntakeConfig
    reader: OcrProcess = field(default_factory=OcrProcess)
    _known: OrderedDict[tuple[str, str, str], _Read] = field(default_factory=OrderedDict, repr=False)
    _line: OneByOne = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._line = OneByOne(self.config.seconds)

    async def turns(self, who: str, said: Sequence[Said], policy: Policy) -> tuple[list[Turn], tuple[Attachment, ...]]:
        """The turns with the text of their images, and the images, all of them within the time of one request.

        Raises RecordInvalid, Busy, ReaderFailed, PackageMissing. What was read until then is remembered.
        """
        if (count := sum(len(one.uploads) for one in said)) > self.config.files:
            raise RecordInvalid(where="messages", detail=f"{count} images > {self.config.files}")
        if any(one.uploads and one.role != "user" for one in said):
            raise RecordInvalid(where="messages", detail="images belong to the user's turns")
        async with in_time(self.config.seconds):
            return await self._turns(who, said, policy)

    async def _turns(self, who: str, said: Sequence[Said], policy: Policy) -> tuple[list[Turn], tuple[Attachment, ...]]:
        turns, attachments = list[Turn](), list[Attachment]()
        for one in said:
            text = one.text
            for upload in one.uploads:
                read = await self._read(who, upload, policy)
                text = with_pages(text, upload.name, read.pages, read.levels)
                attachments.append(Attachment(upload.media_type, read.pages, upload.name, upload.content))
                if sum(len(one.pages) for one in attachments) > self.config.pages:  # before the next is read
                    raise RecordInvalid(where="messages", detail=f"more than {self.config.pages} pages")
            turns.append(Turn(one.role, text))  # type: ignore[arg-type]
        return turns, tuple(attachments)

    async def picture(self, content: bytes, media_type: str, page: int) -> bytes:
        """A page as PNG, for a person's eyes. Raises RecordInvalid, Busy, ReaderFailed, PackageMissing."""
        packed = packed_as(media_type)
        with blamed("image"):
            return await self._line.run(lambda: self.reader.picture(content, packed, page), self.reader.close)

    def close(self) -> None:
        self.reader.close()

    async def _read(self, who: str, upload: Upload, policy: Policy) -> _Read:
        key = (who, hashlib.sha256(upload.content).hexdigest(), policy.digest)
        if (known := self._known.get(key)) is None:
            known = _understood(await self._pages(upload), policy)
            self._known[key] = known
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return known

    async def _pages(self, upload: Upload) -> list[PageReading]:
        most = self.config.pages
        with blamed("image"):
            return await self._line.run(lambda: self.reader.few(upload.content, upload.packed, most), self.reader.close)


def intake_of(config: IntakeConfig) -> Intake | None:
    """None where images are not wanted or cannot be read here."""
    return Intake(config) if config.images and not ocr_missing() else None


def _understood(readings: Sequence[PageReading], policy: Policy) -> _Read:
    """Without blank pages, unless there is nothing else. A marking counts wherever it stands on the page."""
    written = [reading for reading in readings if not reading.blank] or readings
    pages = tuple(PageText(r.page, r.text[:KEPT_CHARACTERS], r.confidence, r.engine) for r in written)
    return _Read(pages, tuple(marked_level(reading.text, policy) for reading in written))


def marked_level(text: str, policy: Policy) -> str | None:
    """The highest level stamped or marked on what was read; None without any."""
    return highest((level_on(text, policy.levels.names), classification_from_markers(text, policy)), policy)


def with_pages(query: str, name: str, pages: Sequence[PageText], levels: Sequence[str | None]) -> str:
    """The query and what was read of one file, a page after the other."""
    for page, level in zip(pages, levels, strict=True):
        kind = (name.rpartition(".")[0] or name or "画像") + (f" {page.page}頁" if len(pages) > 1 else "")
        query = with_image(query, kind, level, page.text, page.confidence)
    return query


def carried(recorded: object) -> tuple[Attachment, ...]:
    """The attachments of an earlier exchange as its ledger entry names them: without content, but as doubtful as they
    were."""
    found = recorded if isinstance(recorded, list) else []
    made = []
    for one in found:
        pages = tuple(PageText(p["page"], "", float(p["confidence"]), str(p["engine"])) for p in one["pages"])
        made.append(Attachment(str(one["media_type"]), pages))
    return tuple(made)
