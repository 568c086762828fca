"""An answer from documents: found, judged, written from the passages alone, and every sentence held against them.

The question is judged like any other, at the highest level of what was read for it; the passages are not, for they are
data. One in which a rule of the policy sees a forbidden or doubtful request - as an order smuggled into a document
would be - is left out and named. Which passage a sentence stands on is worked out from the texts and not asked of the
model, so a sentence without one shows as such: the model's own, which nobody should rely on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from so8t.core.text import sentences
from so8t.core.types import Decision, Excerpt, Reply, Request
from so8t.decide.policy import Policy
from so8t.judge.rule import rule_opinion
from so8t.operate.answering import AnswerOptions
from so8t.operate.gateway import Gateway
from so8t.operate.held import pairs, share, unheard
from so8t.operate.identity.identity import Identity
from so8t.operate.search.searching import Hit, Result

PASSAGES = 4
SUPPORTED = 0.5  # least share of a sentence's pairs of characters that its passage holds
MISREAD = "\n(注意: 出典{numbers}は画像から読み取った文で、確度が低く、読み違いがありえます。原本で確かめてください)"
NOT_FOUND = "その権限で読める文書の中に、あてはまる箇所が見つかりません。"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the answer and the number of the passage it stands on, from 1; None = on none of them."""

    text: str
    source: int | None

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "source": self.source}


@dataclass(frozen=True, slots=True)
class Sourced:
    """`reply` None: nothing was found, so nobody was asked. `left_out`: places of passages that may hold orders.

    `readings`: the confidence of those read by OCR, by their id; `doubtful`: numbers of those read badly. `notice`: the
    office's own words where there is no answer, or no more of it.
    """

    reply: Reply | None
    documents: tuple[Excerpt, ...]
    sentences: tuple[Sentence, ...]
    left_out: tuple[str, ...]
    readings: Mapping[str, float] = field(default_factory=dict)
    doubtful: tuple[int, ...] = ()
    notice: str = ""

    @property
    def text(self) -> str:
        """The answer, and under one that was released which of its sources may have been misread."""
        return NOT_FOUND if self.reply is None else self.reply.text + self.warning

    @property
    def warning(self) -> str:
        """Which sources may have been misread, or ""."""
        return MISREAD.format(numbers=_numbers(self.doubtful)) if self.doubtful and self.sentences else ""

    def to_json(self) -> dict[str, Any]:
        reply = self.reply
        return {
            "answer": self.text,
            **self.ground(),
            "sentences": [sentence.to_json() for sentence in self.sentences],
            "notice": self.notice,
            "withheld": reply.withheld if reply else "",
            "cut": bool(reply and reply.cut),
            "failed": bool(reply and reply.failed),
        }

    def ground(self) -> dict[str, Any]:
        """What is known before the answer is: the verdict, and what it is to be taken from."""
        verdict = self.reply.verdict if self.reply else None
        return {
            "decision": verdict.decision if verdict else None,
            "reason": verdict.reason if verdict else "",
            "ledger": {"seq": self.reply.ledger_seq, "head": self.reply.ledger_head} if self.reply else None,
            "classification": max_level(self.documents),
            "documents": [
                {"number": n, "id": d.id, "place": d.place, "classification": d.classification, "passage": d.text,
                 "ocr_confidence": self.readings.get(d.id), "doubtful": n in self.doubtful}
                for n, d in enumerate(self.documents, 1)
            ],
            "left_out": list(self.left_out),
        }  # fmt: skip


def max_level(documents: Sequence[Excerpt]) -> str | None:
    """The classification that the answer inherits; the documents stand in falling order of level."""
    return documents[0].classification if documents else None


@dataclass(frozen=True, slots=True)
class Reading:
    """A request with what was read for it. `hits`: those found, which know of their OCR; `left_out` as in Sourced."""

    request: Request
    hits: tuple[Hit, ...] = ()
    left_out: tuple[str, ...] = ()

    def sourced(self, reply: Reply | None) -> Sourced:
        """A reply held against the documents it was to be taken from; None where nobody was asked."""
        documents = self.request.documents
        readings = {hit.id: round(hit.confidence, 4) for hit in self.hits if hit.confidence is not None}
        bad = {hit.id for hit in self.hits if hit.doubtful}
        doubtful = tuple(n for n, one in enumerate(documents, 1) if one.id in bad)
        sentences = supported(reply.text, documents) if reply and documents and released(reply) else ()
        notice = NOT_FOUND if reply is None else "" if released(reply) else reply.text
        return Sourced(reply, documents, sentences, self.left_out, readings, doubtful, notice)


def read_for(identity: Identity, query: str, found: Result, policy: Policy) -> Reading:
    """A question with the best of what was found for it, at the highest level of that."""
    documents, left_out = excerpts(found.hits, identity.clearance, policy)
    request = Request(
        f"req-{uuid4().hex}", query, identity.clearance, max_level(documents), None, identity.name, (), documents
    )
    return Reading(request, found.hits, left_out)


async def answer(
    gateway: Gateway, identity: Identity, query: str, found: Result, options: AnswerOptions | None = None
) -> Sourced:
    """Raises what Gateway.ask raises."""
    reading = read_for(identity, query, found, gateway.judge.policy)
    return reading.sourced(await gateway.ask(reading.request, options) if reading.request.documents else None)


def released(reply: Reply) -> bool:
    """Whether a reply's text is the model's, not the office's word that there is none."""
    return reply.verdict.decision is Decision.ALLOW and not (reply.withheld or reply.failed)


def excerpts(hits: Sequence[Hit], clearance: str, policy: Policy) -> tuple[tuple[Excerpt, ...], tuple[str, ...]]:
    """The best PASSAGES passages, the most secret first, and the places of those left out."""
    kept, left_out = list[Excerpt](), list[str]()
    for hit in hits:
        opinion = rule_opinion(Request("document", hit.passage, clearance), policy)
        if opinion.decision not in (None, Decision.ALLOW):
            left_out.append(hit.place)
        elif len(kept) < PASSAGES:
            kept.append(Excerpt(hit.id, hit.place, hit.level, hit.passage))
    kept.sort(key=lambda one: -policy.levels.rank(one.classification))
    return tuple(kept), tuple(left_out)


def supported(text: str, documents: Sequence[Excerpt]) -> tuple[Sentence, ...]:
    """Each sentence with the passage that holds most of it, if that holds enough, and all its numbers and names."""
    passages = [one.text for one in documents]
    return tuple(Sentence(sentence, _source(sentence, passages)) for sentence in sentences(text))


def _numbers(found: Sequence[int]) -> str:
    return "・".join(f"[{number}]" for number in found)


def _source(sentence: str, passages: Sequence[str]) -> int | None:
    if not pairs(sentence) or not passages:
        return None
    shares = [share(sentence, passage) for passage in passages]
    best = max(range(len(shares)), key=shares.__getitem__)
    return best + 1 if shares[best] >= SUPPORTED and not unheard(sentence, [passages[best]]) else None
