"""Speech through a recogniser that the user brings: Whisper on CTranslate2 by faster-whisper (plan 10.3).

A local folder with an ears.toml that names every file and its SHA-256. Nothing is downloaded: faster-whisper fetches a
tokenizer that is not there, so a folder without one is refused. What is heard is text with confidences and times: data
for the judges, like a page's text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from so8t.core.config import read_settings
from so8t.core.errors import PackageMissing, SenseUnusable
from so8t.operate.senses.audio import INSTALL, RATE, Samples
from so8t.operate.senses.vtt import Cue
from so8t.operate.senses.weights import pinned

NAME = "ears.toml"
REQUIRED = ("model.bin", "config.json", "tokenizer.json")
SILENT = 0.6  # from this likelihood of no speech on, what was written down may be made up
STEP_SECONDS = 300.0  # of a long recording that are recognised together: what an interruption repeats at most
FRAME = RATE // 5  # samples over which it is told how quiet it is


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file of the folder and its SHA-256."""

    name: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class EarsFile:
    """ears.toml. speaker: who is named where nobody is told apart. vad: leave silence out first (Silero, which comes
    with faster-whisper). beam: how many readings are followed at once."""

    language: str = "ja"
    speaker: str = "話者"
    vad: bool = False
    beam: int = 5
    compute: Literal["int8", "int16", "float32", "default"] = "int8"
    files: tuple[PinnedFile, ...] = ()


class Ears:
    """Raises ConfigUnreadable, ConfigKeyUnknown, ConfigValueInvalid, SenseUnusable, PackageMissing when it is made."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.file = ears_file(folder)
        self._model = _model(folder, threads, self.file.compute)

    def hear(self, samples: Samples) -> Iterator[Cue]:
        """Everything said, as it is recognised. Raises SenseUnusable."""
        for _, cues in self.pieces(samples):
            yield from cues

    def pieces(self, samples: Samples, begin: float = 0.0) -> Iterator[tuple[float, Iterator[Cue]]]:
        """(where it ends in seconds, what is said in it) of each piece after `begin`, which is the end of one."""
        place = round(begin * RATE)
        while place < len(samples):
            end = _cut(samples, place)
            yield end / RATE, self._piece(samples[place:end], place / RATE)
            place = end

    def _piece(self, samples: Samples, offset: float) -> Iterator[Cue]:
        try:
            found, _ = self._model.transcribe(
                samples, language=self.file.language, beam_size=self.file.beam, temperature=0.0,
                vad_filter=self.file.vad, condition_on_previous_text=False,
            )  # fmt: skip
            for segment in found:
                begin, end = (offset + min(at, len(samples) / RATE) for at in (segment.start, segment.end))
                if (text := segment.text.strip()) and begin < end:  # a window is filled up to thirty seconds
                    yield Cue(begin, end, text, confidence(segment))
        except Exception as error:  # a model from outside may fail in any way
            raise SenseUnusable(where=NAME, detail=f"{type(error).__name__}: {error}"[:300]) from error


def ears_file(folder: Path) -> EarsFile:
    """Every file of it is the one that is named. Raises ConfigUnreadable, ConfigKeyUnknown, ConfigValueInvalid,
    SenseUnusable."""
    file = read_settings(EarsFile, folder / NAME)
    named = {one.name for one in file.files}
    if missing := [name for name in REQUIRED if name not in named]:
        raise SenseUnusable(where=folder / NAME, detail=f"files: {', '.join(missing)}")
    if not 1 <= file.beam <= 16 or not file.speaker.strip():
        raise SenseUnusable(where=folder / NAME, detail="beam, speaker")
    for one in file.files:
        pinned(folder, one.name, one.sha256)
    if others := sorted(path.name for path in folder.iterdir() if path.name not in named | {NAME}):
        raise SenseUnusable(where=folder, detail=f"not named in {NAME}: {', '.join(others)[:200]}")
    return file


def _cut(samples: Samples, begin: int) -> int:
    """Where a piece ends: at the quietest place of its last quarter, so that no word is cut in two."""
    longest = round(STEP_SECONDS * RATE)
    if len(samples) - begin <= longest:
        return len(samples)
    last = samples[begin + longest * 3 // 4 : begin + longest]
    frames = last[: len(last) // FRAME * FRAME].reshape(-1, FRAME)
    return begin + longest - len(last) + int(np.square(frames).mean(axis=1).argmin()) * FRAME + FRAME // 2


def confidence(segment: Any) -> float:
    """exp of the mean log-probability of the tokens, and no more than the likelihood that anybody spoke at all."""
    spoken = 1.0 if segment.no_speech_prob < SILENT else 1.0 - segment.no_speech_prob
    return float(min(max(math.exp(segment.avg_logprob), 0.0), spoken))


def _model(folder: Path, threads: int, compute: str) -> Any:
    try:
        from faster_whisper import WhisperModel  # type: ignore[import-untyped]
    except ImportError:
        raise PackageMissing(detail=f"faster-whisper: {INSTALL}") from None
    try:
        return WhisperModel(
            str(folder.resolve()), device="cpu", compute_type=compute, cpu_threads=threads, local_files_only=True
        )
    except Exception as error:
        raise SenseUnusable(where=folder, detail=f"{type(error).__name__}: {error}"[:300]) from error
