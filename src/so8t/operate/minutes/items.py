"""From spotted utterances to the items of the minutes: what was decided, who does what by when, what is left open.

An item is a few utterances near to each other; which of them belong together is told by how far apart they are. What
nobody said is in no item: its words are those of its utterances, until a model's are found to hold (held.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so8t.operate.minutes.dates import due
from so8t.operate.minutes.linking import REACH, features, linked
from so8t.operate.minutes.owners import owner
from so8t.operate.minutes.spotting import KINDS, Floats, Spotter
from so8t.operate.minutes.transcript import Transcript, Utterance, without_fillers

MOST = 200  # items of a kind
LONGEST = 160  # characters of an item's words
LENGTH = 7  # utterances an item may reach over


@dataclass(frozen=True, slots=True)
class Item:
    """`lines` of the source that it stands on, never none. written: "source" = in the words that were said, "model" =
    in the model's, found to hold. owner, due: of a to-do, where the words tell. `sure`: the best probability, 0..1."""

    kind: str
    lines: tuple[int, ...]
    text: str
    owner: str | None = None
    due: str | None = None
    sure: float = 1.0
    written: str = "source"
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"text": self.text, "lines": list(self.lines), "written": self.written}
        told |= {"sure": round(self.sure, 3)} | ({"seconds": self.seconds} if self.seconds is not None else {})
        return told | ({"owner": self.owner, "due": self.due} if self.kind == "todo" else {})


def items(transcript: Transcript, spotter: Spotter) -> list[Item]:
    """In the order of the transcript, kind by kind."""
    said = transcript.utterances
    probabilities = spotter.probabilities(said)
    found = list[Item]()
    for k, kind in enumerate(KINDS):
        groups = grouped(said, probabilities[:, k], float(spotter.threshold[k]), spotter.link[k])
        best = sorted(groups, key=lambda group: -float(probabilities[group, k].max()))[:MOST]
        found += [_item(kind, group, transcript, probabilities[:, k]) for group in sorted(best)]
    return found


def grouped(
    said: Sequence[Utterance], probabilities: NDArray[np.float64], threshold: float, link: Floats
) -> list[list[int]]:
    """Those of at least `threshold`, with each that belongs to the one before it in one group."""
    groups = list[list[int]]()
    for i in np.flatnonzero(probabilities >= threshold).tolist():
        last = groups[-1] if groups else None
        if last is not None and i - last[-1] <= REACH and i - last[0] < LENGTH:
            pair = features(said, last[-1], i, float(probabilities[last[-1]]), float(probabilities[i]))
            if linked(link, pair):
                last.append(i)
                continue
        groups.append([i])
    return groups


def _item(kind: str, group: Sequence[int], transcript: Transcript, probabilities: NDArray[np.float64]) -> Item:
    said = [transcript.utterances[i] for i in group]
    words = "。".join(one.text for one in said)
    return Item(
        kind, tuple(dict.fromkeys(one.line for one in said)), in_words(said),
        owner(said, transcript.speakers) if kind == "todo" else None, due(words) if kind == "todo" else None,
        float(probabilities[list(group)].max()), seconds=said[0].seconds,
    )  # fmt: skip


def in_words(said: Iterable[Utterance]) -> str:
    """What was said, without fillers, at most LONGEST characters: the longest utterances, in their order."""
    said = list(said)
    order = sorted(range(len(said)), key=lambda n: -_content(said[n].text))
    kept, room = set[int](), LONGEST
    for n in order:
        text = without_fillers(said[n].text)
        if not kept or len(text) + 3 <= room:
            kept.add(n)
            room -= len(text) + 3
    return " / ".join(without_fillers(said[n].text) for n in sorted(kept))[: LONGEST + 40]


def _content(text: str) -> int:
    """Characters that carry meaning: kanji, katakana, letters, digits."""
    return sum("\u30a0" <= c <= "\u30ff" or "\u3400" <= c <= "\u9fff" or (c.isascii() and c.isalnum()) for c in text)
