"""so8t see, so8t hear: images and recordings to text with confidences, on this machine and without a server."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from so8t.core.errors import DataError, ReaderFailed, SourceMissing, SourceUnreadable, UsageError
from so8t.core.files import write_text
from so8t.core.progress import Progress, Task
from so8t.decide.policy_sections import ReadingPolicy
from so8t.documents.kinds import Kind, kind_of
from so8t.documents.ocr import Ocr
from so8t.documents.scans import HerePages
from so8t.operate.senses.audio import MAXIMUM_BYTES
from so8t.operate.senses.ears import Ears
from so8t.operate.senses.eyes import Eyes
from so8t.operate.senses.hearing import Hearing, Journal, resumed
from so8t.operate.senses.vtt import DOUBT

READING = ReadingPolicy()  # what a policy that says nothing takes for certain
MOST_IMAGE = 64 << 20


def see(options: argparse.Namespace) -> int:
    """Each file's text, by OCR or by the detector of --model. A file that cannot be read is named, the rest is done."""
    threads = options.threads or os.cpu_count() or 1
    eyes = Eyes(options.model, threads) if options.model else None
    pages = HerePages(Ocr(threads))
    code = 0
    for path in options.images:
        try:
            content = _content(path, MOST_IMAGE)
            found = [{"page": 1, **eyes.look(content, path).to_json()}] if eyes else list(_read(path, content, pages))
        except (DataError, ReaderFailed) as error:
            code = error.exit_code
            found = [error.to_json(options.lang)]
        for one in found:
            one = {"path": str(path), **one}
            print(json.dumps(one, ensure_ascii=False) if options.json else _told(one, options.lang))
    return code


def _read(path: Path, content: bytes, pages: HerePages) -> Iterator[dict[str, Any]]:
    """Without blank pages, unless there is nothing else."""
    kind = (kind_of(path.name, images=True) or (None,))[0]
    found = list(pages.pages(content, "pdf" if kind is Kind.PDF else "image"))
    for page in [one for one in found if not one.blank] or found:
        yield {
            "page": page.page, "text": page.text, "confidence": round(page.confidence, 4), "engine": page.engine,
            "doubtful": READING.doubts(page.confidence),
        }  # fmt: skip


def _told(one: dict[str, Any], lang: str) -> str:
    if "error" in one:
        return f"{one['path']}: [{one['error']}] {one['what']}: {one['detail']}"
    ja = lang == "ja"
    doubt = f" {DOUBT if ja else 'doubtful'}" if READING.doubts(one["confidence"], one["engine"]) else ""
    text = one["text"] or ("文字は読み取れませんでした。" if ja else "no text was read")
    return f"{one['path']}:{one['page']} ({'確度' if ja else 'confidence'} {one['confidence']:.2f}{doubt})\n{text}"


def hear(options: argparse.Namespace) -> int:
    """WebVTT of a recording, to --out or to the screen. With --out, an interrupted one goes on where it was."""
    if options.model is None:
        raise UsageError(detail="so8t hear FILE --model FOLDER")
    partial = (options.out or Path(f"{options.recording.name}.vtt")).with_suffix(".vtt.partial")
    ears = Ears(options.model, options.threads or os.cpu_count() or 1)
    found = hearing_of(options.recording, ears, partial, options.lang, options.hours)
    if options.out is not None:
        write_text(options.out, found.vtt(READING.minimum_speech))
    partial.unlink(missing_ok=True)
    print(_heard(found, options))
    return 0


def hearing_of(recording: Path, ears: Ears, partial: Path, lang: str, hours: float) -> Hearing:
    """What was said, with progress; goes on from `partial` where that holds the beginning of the same recording."""
    content = _content(recording, MAXIMUM_BYTES)
    journal = Journal.of(partial, content, ears)
    return resumed(ears, content, journal, hours * 3600, _Followed(Progress(lang=lang)))


class _Followed:
    """Seconds of recording done, as a task with its time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: Task | None = None

    def __call__(self, done: float, of: float) -> None:
        if self._task is None:  # an interrupted one begins in the middle
            self._task = self._progress.task("hear", round(of), "s", round(done))
        self._task.advance(max(0, round(done) - self._task.done))


def _heard(found: Hearing, options: argparse.Namespace) -> str:
    least = READING.minimum_speech
    if options.json:
        return json.dumps(found.to_json(least), ensure_ascii=False)
    if options.out is None:
        return found.vtt(least).rstrip()
    doubtful = sum(not cue.confidence >= least for cue in found.cues)
    if options.lang == "ja":
        told = f"{len(found.cues)} 発言、{found.seconds:.0f} 秒、確度 {found.confidence:.2f}、{DOUBT} {doubtful}"
        return f"{options.out}: {told}"
    return (
        f"{options.out}: {len(found.cues)} cues, {found.seconds:.0f} s, confidence {found.confidence:.2f}, "
        f"doubtful {doubtful}"
    )


def _content(path: Path, most: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > most:
            raise SourceUnreadable(where=path, detail=f"{size} bytes > {most}")
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceMissing(where=path) from None
    except OSError as error:
        raise SourceUnreadable(where=path, detail=type(error).__name__) from error
