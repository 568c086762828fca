"""WebVTT (W3C Candidate Recommendation 2019): what minutes are written from, and people read beside the recording.

Every cue names its speaker by a voice tag. The confidence stands in a comment before the cue, which readers pass over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DOUBT = "要確認"


@dataclass(frozen=True, slots=True)
class Cue:
    """Something said, from `start` to `end` in seconds. confidence 0..1."""

    start: float
    end: float
    text: str
    confidence: float


def written(cues: Iterable[Cue], speaker: str, least: float) -> str:
    """A whole file; cues below `least` are marked for people in their comment."""
    blocks = ["WEBVTT\n"]
    for number, cue in enumerate(cues, 1):
        mark = f" {DOUBT}" if not cue.confidence >= least else ""
        blocks.append(
            f"NOTE 確度 {cue.confidence:.2f}{mark}\n\n{number}\n{clock(cue.start)} --> {clock(cue.end)}\n"
            f"<v {escaped(speaker)}>{escaped(cue.text)}</v>\n"
        )
    return "\n".join(blocks)


def clock(seconds: float) -> str:
    """hh:mm:ss.mmm."""
    whole = round(max(0.0, seconds) * 1000)
    minutes, ms = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{ms // 1000:02}.{ms % 1000:03}"


def escaped(text: str) -> str:
    """On one line, and nothing in it a tag or an arrow."""
    plain = " ".join(text.split())
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
