"""What a language model adds to the minutes: shorter words for each item, and an overview; only where they hold.

The model is given the lines of one item, or a stretch of the meeting that fits its window, and asked for a sentence or
three. Whatever it writes is held against those lines (held.py); what does not hold is left out, and the item keeps the
words that were said. So a small or a misled model costs time and readability, never the truth of the minutes. The
overview is made stretch by stretch (map) and, where that is long, again from its own sentences (reduce).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

from so8t.core.text import sentences
from so8t.core.types import Domain, Excerpt, Request
from so8t.judge.triple import TripleJudge
from so8t.operate.answering import Answering, AnswerOptions
from so8t.operate.held import held, standing_on
from so8t.operate.minutes.items import Item
from so8t.operate.minutes.transcript import Utterance, without_fillers

_ONE = "を一文(60字以内)で書いてください。発言にないことは書かないでください。"
ASKED = {
    "decision": f"次の会議の発言から、決まったこと{_ONE}",
    "todo": f"次の会議の発言から、やること{_ONE}",
    "open": f"次の会議の発言から、決まらずに残ったこと{_ONE}",
}
OVERVIEW = (
    "次は会議の記録の一部です。話し合われたことを三文以内で要約してください。記録にないことは書かないでください。"
)
REDUCE = "次は会議の要約です。大事なものから五文以内に絞ってください。新しいことは書かないでください。"
ITEM_TOKENS, OVERVIEW_TOKENS = 96, 240
LONGEST = 100  # characters of an item in a model's words
AROUND = 1  # utterances beside an item's own that the model is shown, and may take words from
PROMPT_CHARACTERS = 600  # of the question, the turn marks and the contract
MOST_OVERVIEW = 8  # sentences
GIVE_UP = 6  # so many answers in a row that do not hold: this model cannot, and the rest is not asked


@dataclass(slots=True)
class Writer:
    """One meeting's. `seconds`: after them nothing more is asked. `asked`, `kept`: what came of it."""

    answering: Answering
    judge: TripleJudge
    domain: Domain | None
    request: Request
    seconds: float
    clock: Callable[[], float] = monotonic
    asked: int = 0
    kept: int = 0
    _failed: int = field(default=0, repr=False)
    _end: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        self._end = self.clock() + self.seconds

    @property
    def over(self) -> bool:
        return self._failed >= GIVE_UP or self.clock() >= self._end

    async def worded(self, item: Item, said: Sequence[Utterance], places: Sequence[int]) -> Item:
        """The item in the model's words if they hold, else as it is. `places`: those of its utterances in `said`."""
        first, last = max(0, min(places) - AROUND), max(places) + AROUND + 1
        shown = said[first:last]
        text = _first_sentence(await self._ask(ASKED[item.kind], _spoken(shown), ITEM_TOKENS))
        fits = 0 < len(text) <= LONGEST and held(text, [f"{one.speaker} {one.text}" for one in shown])
        self._count(fits)
        return replace(item, text=text, written="model") if fits else item

    async def overview(self, said: Sequence[Utterance]) -> list[Item]:
        """What was talked about, each sentence with its lines; [] where nothing the model wrote holds."""
        found = list[Item]()
        for stretch in self._stretches(said):
            if self.over:
                break
            found += self._standing(await self._ask(OVERVIEW, _spoken(stretch), OVERVIEW_TOKENS), stretch)
        if len(found) <= MOST_OVERVIEW or self.over:
            return found[:MOST_OVERVIEW]
        fewer = await self._ask(REDUCE, "\n".join(one.text for one in found), OVERVIEW_TOKENS)
        cited = {line for one in found for line in one.lines}
        return self._standing(fewer, [one for one in said if one.line in cited])[:MOST_OVERVIEW] or _spread(found)

    def _standing(self, text: str, said: Sequence[Utterance]) -> list[Item]:
        source = [f"{one.speaker} {one.text}" for one in said]
        made = list[Item]()
        for sentence in sentences(text):
            if places := standing_on(sentence, source):
                lines = tuple(dict.fromkeys(said[i].line for i in places))
                made.append(Item("overview", lines, sentence, written="model", seconds=said[places[0]].seconds))
        self._count(bool(made))
        return made

    def _stretches(self, said: Sequence[Utterance]) -> list[list[Utterance]]:
        """Parts of the meeting that fit the model's window: a character is hardly ever more than a token."""
        room = max(400, self.answering.context - OVERVIEW_TOKENS - PROMPT_CHARACTERS)
        made: list[list[Utterance]] = [[]]
        size = 0
        for one in said:
            length = len(one.speaker) + len(one.text) + 4
            if made[-1] and size + length > room:
                made.append([])
                size = 0
            made[-1].append(one)
            size += length
        return made

    def _count(self, fits: bool) -> None:
        self.asked += 1
        self.kept += fits
        self._failed = 0 if fits else self._failed + 1

    async def _ask(self, question: str, text: str, tokens: int) -> str:
        """ "" where the model fails, is late, or its answer may not leave."""
        excerpt = Excerpt("", "会議の記録", self.request.classification or self.request.clearance, text)
        asked = replace(self.request, query=question, history=(), documents=(excerpt,), task="", order="")
        try:
            async with asyncio.timeout(max(0.0, self._end - self.clock())):
                answer = await self.answering.whole(asked, self.domain, self.judge, AnswerOptions(tokens))
        except TimeoutError:
            return ""
        return "" if answer.withheld or answer.failed else answer.text


def _spoken(said: Sequence[Utterance]) -> str:
    return "\n".join(f"{one.speaker}: {without_fillers(one.text)}" for one in said)


def _first_sentence(text: str) -> str:
    found = sentences(text)
    return found[0].strip("「」- ・*") if found else ""


def _spread(found: Sequence[Item]) -> list[Item]:
    """A few of many, evenly over the meeting."""
    step = len(found) / MOST_OVERVIEW
    return [found[int(i * step)] for i in range(MOST_OVERVIEW)]
