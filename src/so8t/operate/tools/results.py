"""What a tool answered, without the passages in which a rule sees an order or a marking above the asker.

As with documents (operate/search/sourced.py): a result is data. The rules find what is worded as they know it; an order
in other words may pass, so what is kept is still given to a model as a quotation, and to people as a result.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from so8t.core.text import sentences
from so8t.core.types import Decision, Request
from so8t.judge.rule import rule_opinion
from so8t.judge.triple import TripleJudge

PASSAGE = 400  # characters; what is left out is left out by the passage
SEAM = 150  # characters on either side of where a text was cut, read once more as one


def sifted(text: str, request: Request, judge: TripleJudge) -> tuple[str, int]:
    """(what may be used, how many passages were left out), under the office's policy and the agent's."""
    cut = list(passages(text))
    alone = {number for number, passage in enumerate(cut) if not _harmless(passage, request, judge)}
    bad = set(alone)
    for number, (before, after) in enumerate(pairwise(cut)):
        if alone.isdisjoint((number, number + 1)) and not _harmless(before[-SEAM:] + after[:SEAM], request, judge):
            bad |= {number, number + 1}
    return "\n".join(passage for number, passage in enumerate(cut) if number not in bad), len(bad)


def _harmless(passage: str, request: Request, judge: TripleJudge) -> bool:
    asked = Request("tool", passage, request.clearance)
    if rule_opinion(asked, judge.policy).decision not in (None, Decision.ALLOW):
        return False
    return judge.narrowing is None or judge.narrowing.opinion(asked, judge.policy).floor is None


def passages(text: str) -> Iterator[str]:
    """Whole sentences, as many as fit one passage; a longer one is cut."""
    gathered = ""
    for line in text.splitlines():
        for sentence in sentences(line):
            if gathered and len(gathered) + len(sentence) > PASSAGE:
                yield gathered
                gathered = ""
            while len(sentence) > PASSAGE:
                yield sentence[:PASSAGE]
                sentence = sentence[PASSAGE:]
            gathered += sentence
        if gathered:
            yield gathered
            gathered = ""
