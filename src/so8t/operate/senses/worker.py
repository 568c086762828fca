"""Eyes or ears in a process of their own: `python -m so8t.operate.senses.worker eyes|ears FOLDER THREADS`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from so8t.core.child import Child, serve
from so8t.operate.senses.ears import Ears
from so8t.operate.senses.eyes import Eyes
from so8t.operate.senses.hearing import Hearing
from so8t.operate.senses.sight import Seen, Sight
from so8t.operate.senses.vtt import Cue

ANSWER_SECONDS = 120.0  # until the next cue, or what an image takes


class EyesProcess:
    """Raises SourceUnreadable for the image; ReaderFailed for whatever else, unfit weights included; PackageMissing."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._child = Child(_MODULE, ("eyes", str(folder), str(threads)), seconds=ANSWER_SECONDS)

    def look(self, content: bytes) -> Sight:
        (told,) = self._child.ask({}, content)
        seen = tuple(Seen(**{**one, "box": tuple(one["box"]) if one["box"] else None}) for one in told["seen"])
        return Sight(seen, told["confidence"], told["engine"])

    def close(self) -> None:
        self._child.close()


class EarsProcess:
    """The same for Ears. `seconds`: of the longest recording."""

    def __init__(self, folder: Path, threads: int = 1, seconds: float = 3600.0) -> None:
        self._child = Child(_MODULE, ("ears", str(folder), str(threads)), seconds=ANSWER_SECONDS)
        self._seconds = seconds

    def hear(self, content: bytes) -> Hearing:
        cues, length, speaker = list[Cue](), 0.0, ""
        for told in self._child.ask({"seconds": self._seconds}, content):
            if "length" in told:
                length, speaker = told["length"], told["speaker"]
            else:
                cues.append(Cue(**told))
        return Hearing(tuple(cues), length, speaker)

    def close(self) -> None:
        self._child.close()


def _looking(folder: Path, threads: int) -> Any:
    eyes = Eyes(folder, threads)

    def answers(head: Mapping[str, Any], content: bytes) -> Iterator[dict[str, Any]]:
        yield asdict(eyes.look(content))

    return answers


def _hearing(folder: Path, threads: int) -> Any:
    from so8t.operate.senses.audio import RATE, decoded

    ears = Ears(folder, threads)

    def answers(head: Mapping[str, Any], content: bytes) -> Iterator[dict[str, Any]]:
        samples = decoded(content, float(head["seconds"]))
        yield {"length": len(samples) / RATE, "speaker": ears.file.speaker}
        yield from map(asdict, ears.hear(samples))

    return answers


def _lazily(make: Any, folder: Path, threads: int) -> Any:
    """Loaded at the first question, so that why it cannot be is an answer to it."""
    made: list[Any] = []

    def answers(head: Mapping[str, Any], content: bytes) -> Iterator[dict[str, Any]]:
        if not made:
            made.append(make(folder, threads))
        yield from made[0](head, content)

    return answers


_MODULE = "so8t.operate.senses.worker"

if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"  # what would fetch a model fails instead
    kind, folder, threads = sys.argv[1:4]
    serve(_lazily(_looking if kind == "eyes" else _hearing, Path(folder), int(threads)))
