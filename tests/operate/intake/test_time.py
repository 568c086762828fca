"""One limit of time for all the images of a request together (serve.intake.seconds)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from office_server import POLICY
from scanned import encoded, sheet

from so8t.core.serve_config import IntakeConfig
from so8t.documents.scans import PageReading
from so8t.operate.intake.intake import Intake, Said
from so8t.operate.intake.upload import upload
from so8t.operate.server.errors import Busy, status_of

SHEETS = [upload(encoded(sheet(text)), "image") for text in "一二三四五六七八"]


class Slow:
    """Stands where OCR would: each file takes its time, or until somebody ends it."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.read, self.ended = seconds, 0, threading.Event()

    def few(self, content: bytes, packed: str, most: int) -> list[PageReading]:
        if not self.ended.wait(self.seconds):
            self.read += 1
        return [PageReading(1, "読んだ文", 0.99, "rapidocr")]

    def close(self) -> None:
        self.ended.set()


def intake(reader: Any, seconds: float) -> Intake:
    return Intake(IntakeConfig(seconds=seconds), reader)


def asked(made: Intake, said: Sequence[Said], who: str = "sato") -> Any:
    return asyncio.run(made.turns(who, said, POLICY))


@pytest.mark.parametrize("said", [
    [Said("user", "要点は?", tuple(SHEETS))],
    [turn for one in SHEETS for turn in (Said("user", "これは?", (one,)), Said("assistant", "紙です。"))],
])  # fmt: skip
def test_many_images_have_one_limit_together(said: list[Said]) -> None:
    """Each alone is well within it."""
    reader, begin = Slow(0.2), time.monotonic()
    with pytest.raises(Busy, match=r"> 0\.5 s") as error:
        asked(intake(reader, 0.5), said)
    assert time.monotonic() - begin < 1.2 and reader.ended.is_set() and 1 <= reader.read < 4
    assert status_of(error.value) == 503


def test_what_was_read_until_then_is_not_read_again() -> None:
    reader, said = Slow(0.2), [Said("user", "要点は?", tuple(SHEETS[:4]))]
    made = intake(reader, 0.5)
    with pytest.raises(Busy):
        asked(made, said)
    before, reader.seconds = reader.read, 0.0
    reader.ended.clear()
    _, attachments = asked(made, said)
    assert len(attachments) == 4 and reader.read == 4 and before >= 1


def test_waiting_for_others_counts() -> None:
    async def main() -> None:
        made = intake(Slow(0.4), 0.6)
        first = made.turns("sato", [Said("user", "?", (SHEETS[0],))], POLICY)
        second = made.turns("kato", [Said("user", "?", (SHEETS[1],))], POLICY)
        told = await asyncio.gather(first, second, return_exceptions=True)
        assert [isinstance(one, Busy) for one in told] == [False, True]

    asyncio.run(main())
