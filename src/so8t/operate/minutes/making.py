"""Minutes through the gateway: judged, made, recorded, as a task of the asker's (SPEC O7).

What is judged is the order; the transcript is material, like a document that an answer is taken from. Its level is the
highest of what the asker states and the markings in it, so that minutes of a secret meeting are for who may read it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from so8t.core.errors import RecordInvalid
from so8t.core.text import clean
from so8t.core.types import Decision, Domain, Excerpt, Floor, Request, canonical_json
from so8t.decide.clearance import highest, level_of
from so8t.decide.heading import level_alone
from so8t.decide.policy import READING_RULE, Policy
from so8t.judge.rule import READING_REASON
from so8t.judge.triple import TripleJudge
from so8t.operate.answer_check import AnswerCheck
from so8t.operate.answering import Answer, Answering
from so8t.operate.identity.identity import Identity
from so8t.operate.minutes.items import Item, items
from so8t.operate.minutes.minutes import Minutes, markdown
from so8t.operate.minutes.spotting import packaged_spotter
from so8t.operate.minutes.transcript import Transcript, parse
from so8t.operate.minutes.writing import Writer

TASK = "minutes"
SECONDS = 600.0  # for all that the model is asked; what is not written by then stays in the words that were said
LONGEST_TITLE = 100
AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class MinutesOrder:
    """title, date: as the asker writes them. words: whether the model is asked for its own. confidence, engine: of what
    read or heard the record, where it was not text (it can only make the verdict stricter, so it is taken as told)."""

    title: str = ""
    date: str = ""
    words: bool = True
    confidence: float | None = None
    engine: str = ""

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> MinutesOrder:
        """Raises RecordInvalid."""
        title, date, words = told.get("title", ""), told.get("date", ""), told.get("words", True)
        for name, value in (("title", title), ("date", date)):
            if not isinstance(value, str) or len(value) > LONGEST_TITLE:
                raise RecordInvalid(where=name, detail=f"text of at most {LONGEST_TITLE} characters")
        if not isinstance(words, bool):
            raise RecordInvalid(where="words", detail="true or false")
        return cls(clean(title), clean(date), words, *_read(told.get("read")))

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"title": self.title, "date": self.date, "words": self.words}
        read = {"confidence": self.confidence, "engine": self.engine}
        return told | ({"read": read} if self.confidence is not None else {})


def _read(told: object) -> tuple[float | None, str]:
    """Raises RecordInvalid for anything but nothing, or {"confidence": 0..1, "engine": text}."""
    if told is None:
        return None, ""
    confidence, engine = (told.get("confidence"), told.get("engine", "")) if isinstance(told, dict) else (None, "")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        raise RecordInvalid(where="read.confidence", detail="0 to 1")
    if not isinstance(engine, str) or len(engine) > LONGEST_TITLE:
        raise RecordInvalid(where="read.engine", detail="text")
    return float(confidence), engine


def request(
    identity: Identity, order: MinutesOrder, transcript: str, classification: str | None, policy: Policy
) -> Request:
    """Raises RecordInvalid for a transcript without words or too long, LevelUnknown."""
    text = parse(transcript).text
    stated = highest((classification, level_of(text, policy), level_alone(transcript, policy)), policy)
    level = stated or policy.levels.names[0]
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    excerpt = Excerpt(f"transcript-{name}", order.title or "会議の記録", level, text)
    query = f"会議の記録から議事録を作る。題名: {order.title or 'なし'}、日付: {order.date or 'なし'}"
    return Request(
        f"req-{uuid4().hex}", query, identity.clearance, stated, None, identity.name, (),
        (excerpt,), floors=floors(order, policy), task=TASK, order=canonical_json(order.to_json()),
    )  # fmt: skip


def floors(order: MinutesOrder, policy: Policy) -> tuple[Floor, ...]:
    """A record that was hardly heard or read is a person's to judge, as an image is."""
    sure = order.confidence is None or not policy.reading.doubts(order.confidence, order.engine)
    return () if sure else (Floor(READING_RULE, Decision.ESCALATE, READING_REASON),)


@dataclass(frozen=True, slots=True)
class MinutesWork:
    """The gateway's work of the task "minutes"."""

    answering: Answering
    seconds: float = SECONDS
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def __call__(self, asked: Request, domain: Domain | None, judge: TripleJudge) -> Answer:
        """Few at a time: they are long, and the threads and the model are everybody's."""
        async with self.places:
            return await self._made(asked, domain, judge)

    async def _made(self, asked: Request, domain: Domain | None, judge: TripleJudge) -> Answer:
        order = MinutesOrder.from_json(json.loads(asked.order))
        transcript = parse(asked.documents[0].text)
        found = await asyncio.to_thread(items, transcript, packaged_spotter())
        writer = Writer(self.answering, judge, domain, asked, self.seconds)
        overview: Sequence[Item] = ()
        if order.words:
            overview = await writer.overview(transcript.utterances)
            found = [await _worded(writer, item, transcript) for item in found]
        check = AnswerCheck(asked, judge.policy)
        # Each by itself: what is withheld must not be read again with the next.
        kept = tuple(item for item in (*overview, *found) if not copy(check).objection(item.text))
        made = Minutes(
            order.title, order.date, asked.documents[0].classification, transcript.speakers,
            len(transcript.source), kept, writer.asked, writer.kept, len(overview) + len(found) - len(kept),
        )  # fmt: skip
        return Answer(markdown(made), made=made.to_json())


async def _worded(writer: Writer, item: Item, transcript: Transcript) -> Item:
    if writer.over:
        return item
    places = [n for n, one in enumerate(transcript.utterances) if one.line in item.lines]
    return await writer.worded(item, transcript.utterances, places)
