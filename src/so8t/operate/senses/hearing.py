"""A whole recording: cues with their confidence, how far it is, and where an interrupted one goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from so8t.core.errors import DataError
from so8t.core.files import read_jsonl
from so8t.operate.senses.audio import RATE, Samples, decoded
from so8t.operate.senses.ears import Ears
from so8t.operate.senses.vtt import Cue, written

HOURS = 8.0


@dataclass(frozen=True, slots=True)
class Hearing:
    """What was said in `seconds` of recording. confidence: the mean over the cues, weighted by their length in
    characters, as OCR's is over lines; 0 where nothing was said."""

    cues: tuple[Cue, ...]
    seconds: float
    speaker: str

    @property
    def text(self) -> str:
        return "\n".join(cue.text for cue in self.cues)

    @property
    def confidence(self) -> float:
        weight = sum(len(cue.text) for cue in self.cues)
        return sum(cue.confidence * len(cue.text) for cue in self.cues) / weight if weight else 0.0

    def vtt(self, least: float) -> str:
        return written(self.cues, self.speaker, least)

    def to_json(self, least: float) -> dict[str, Any]:
        cues = [asdict(cue) | {"confidence": round(cue.confidence, 4)} for cue in self.cues]
        return {
            "text": self.text, "confidence": round(self.confidence, 4), "seconds": round(self.seconds, 3),
            "vtt": self.vtt(least), "cues": cues,
        }  # fmt: skip


def heard(
    ears: Ears, content: bytes, seconds: float = HOURS * 3600, told: Callable[[float, float], None] | None = None
) -> Hearing:
    """`told` is given (seconds done, seconds in all). Raises SourceUnreadable, SenseUnusable, PackageMissing."""
    samples = decoded(content, seconds)
    return Hearing(tuple(_followed(ears.hear(samples), samples, told)), len(samples) / RATE, ears.file.speaker)


def _followed(cues: Iterator[Cue], samples: Samples, told: Callable[[float, float], None] | None) -> Iterator[Cue]:
    for cue in cues:
        if told is not None:
            told(cue.end, len(samples) / RATE)
        yield cue


@dataclass(frozen=True, slots=True)
class Journal:
    """The finished pieces of a recording, a line of JSON each, under a head that says of which recording and by which
    weights. A half-written last line is dropped: that piece is heard again."""

    path: Path
    head: str

    @classmethod
    def of(cls, path: Path, content: bytes, ears: Ears) -> Journal:
        told = [hashlib.sha256(content).hexdigest(), [(f.name, f.sha256) for f in ears.file.files], ears.file.language]
        return cls(path, hashlib.sha256(json.dumps(told).encode()).hexdigest())

    def read(self) -> tuple[float, list[Cue]]:
        """(how far it is in seconds, the cues so far); nothing of a journal of something else."""
        rows = list(_whole_lines(self.path)) if self.path.is_file() else []
        if not rows or rows[0].get("head") != self.head:
            return 0.0, []
        try:
            cues = [Cue(**cue) for row in rows[1:] for cue in row["cues"]]
            return (float(rows[-1]["end"]) if len(rows) > 1 else 0.0), cues
        except (KeyError, TypeError):
            return 0.0, []

    def begin(self, end: float, cues: Sequence[Cue]) -> None:
        """The file anew, with what is kept of it."""
        self.path.write_text(json.dumps({"head": self.head}) + "\n", encoding="utf-8")
        if cues or end:
            self.add(end, cues)

    def add(self, end: float, cues: Sequence[Cue]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"end": end, "cues": [asdict(cue) for cue in cues]}) + "\n")


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        for _, row in read_jsonl(path):
            yield row
    except DataError:  # the last line, cut off in the middle
        return


def resumed(
    ears: Ears, content: bytes, journal: Journal, seconds: float, told: Callable[[float, float], None]
) -> Hearing:
    """heard(), going on after the last piece of the journal. It comes to the same as without an interruption."""
    samples, (begin, cues) = decoded(content, seconds), journal.read()
    journal.begin(begin, cues)
    for end, found in ears.pieces(samples, begin):
        new = list(_followed(found, samples, told))
        journal.add(end, new)
        cues += new
    return Hearing(tuple(cues), len(samples) / RATE, ears.file.speaker)
