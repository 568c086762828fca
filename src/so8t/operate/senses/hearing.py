"""A whole recording: cues with their confidence, how far it is, and where an interrupted one goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from so8t.core.errors import RecordInvalid
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
    """Cues of a recording that is not finished, a line of JSON each, under a head that says of which recording and by
    which weights. A half-written last line is dropped: what it said is heard again."""

    path: Path
    head: str

    @classmethod
    def of(cls, path: Path, content: bytes, ears: Ears) -> Journal:
        told = [hashlib.sha256(content).hexdigest(), [(f.name, f.sha256) for f in ears.file.files], ears.file.language]
        return cls(path, hashlib.sha256(json.dumps(told).encode()).hexdigest())

    def read(self) -> list[Cue]:
        """The cues so far; none for a journal of something else."""
        try:
            rows = [row for _, row in _whole_lines(self.path)]
            if not rows or rows[0].get("head") != self.head:
                return []
            return [Cue(**row) for row in rows[1:]]
        except (FileNotFoundError, TypeError):
            return []

    def begin(self, cues: Sequence[Cue]) -> None:
        """The file anew, with what is kept of it."""
        lines = [json.dumps({"head": self.head}), *(json.dumps(asdict(cue)) for cue in cues)]
        self.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def add(self, cue: Cue) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(cue)) + "\n")


def _whole_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        yield from read_jsonl(path)
    except RecordInvalid:  # the last line, cut off in the middle
        return


def resumed(
    ears: Ears, content: bytes, journal: Journal, seconds: float, told: Callable[[float, float], None]
) -> Hearing:
    """heard(), going on after the last cue of the journal; every cue is in it before the next is recognised."""
    samples, cues = decoded(content, seconds), journal.read()
    journal.begin(cues)
    begin = cues[-1].end if cues else 0.0
    for cue in _followed(ears.hear(samples, begin), samples, told):
        journal.add(cue)
        cues.append(cue)
    return Hearing(tuple(cues), len(samples) / RATE, ears.file.speaker)
