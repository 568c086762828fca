"""A reader that dies, hangs or has no weights is our fault at every door (503), a bad file its sender's (400); nothing
is judged in either case."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from broken_reader import WAYS, broken
from office_server import ANSWER, SCORES, Server, running
from scanned import encoded, sheet
from sense_models import colour_detector

from so8t.ask.backend import FakeBackend
from so8t.core.errors import ReaderFailed, SourceUnreadable
from so8t.core.serve_config import IntakeConfig, SensesConfig, ServeConfig
from so8t.documents.ocr_process import OcrProcess
from so8t.documents.scans import PageReading
from so8t.operate.intake.intake import Intake
from so8t.operate.senses.service import Senses

PAGE = base64.b64encode(encoded(sheet("旅費精算のお知らせ"))).decode()
PART = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PAGE}"}}
SOUND = base64.b64encode(b"RIFF\0\0\0\0WAVE").decode()
CHAT = {"messages": [{"role": "user", "content": [{"type": "text", "text": "要点は?"}, PART]}]}
DOORS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/api/chat": {"messages": [{"role": "user", "content": "要点は?", "images": [PAGE]}]},
    "/api/generate": {"prompt": "要点は?", "images": [PAGE]},
    "/so8t/v1/see": {"image": PAGE, "question": "要点は?"},
    "/so8t/v1/hear": {"audio": SOUND, "question": "要点は?"},
}


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Senses]]:
    """With eyes and ears; what reads for them is the tests' to break."""
    folder = tmp_path_factory.mktemp("office")
    senses = SensesConfig(eyes=str(colour_detector(folder / "eyes")), ears=str(folder / "ears"))
    with running(folder, FakeBackend(SCORES, answer=ANSWER), settings=ServeConfig(senses=senses)) as server:
        yield server, server.running.senses


def break_readers(office: tuple[Server, Senses], way: str, patch: pytest.MonkeyPatch) -> None:
    server, senses = office
    child, reader = broken(way, patch), OcrProcess()
    patch.setattr(reader, "_child", child)
    fresh = Intake(IntakeConfig(), reader)
    for name in ("config", "reader", "_known", "_line"):
        patch.setattr(server.running.intake, name, getattr(fresh, name))
    patch.setattr(senses._eyes, "_child", child)
    patch.setattr(senses._ears, "_child", child)


ASKED = [(door, way, False) for door in DOORS for way in WAYS]
ASKED += [(door, "killed", True) for door in DOORS if not door.startswith("/so8t")]  # an answer that would stream


@pytest.mark.parametrize(("door", "way", "stream"), ASKED)
def test_our_fault_is_told_as_ours(
    office: tuple[Server, Senses], patch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, door: str, way: str,
    stream: bool,
) -> None:  # fmt: skip
    server = office[0]
    break_readers(office, way, patch)
    before = server.reader.count(kinds=("decision",))
    body = DOORS[door] if door.startswith("/so8t") else DOORS[door] | {"model": "so8t", "stream": stream}
    answer = httpx.post(f"{server.address}{door}", json=body, headers=server.headers(), timeout=60)
    assert answer.status_code == 503
    error = answer.json()["error"]
    said = error if isinstance(error, str) else error["message"]
    assert said.startswith("[A20] ") and WAYS[way] in said and "/srv/models" not in said
    assert isinstance(error, str) or (error["type"], error["code"]) == ("server_error", "A20")
    assert server.reader.count(kinds=("decision",)) == before
    assert any("reading of" in record.message and WAYS[way] in record.message for record in caplog.records)


def test_a_bad_file_is_still_its_senders(office: tuple[Server, Senses]) -> None:
    server = office[0]
    torn = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PAGE[:400]}"}}
    body = {"model": "so8t", "messages": [{"role": "user", "content": [torn]}]}
    answer = httpx.post(f"{server.address}/v1/chat/completions", json=body, headers=server.headers(), timeout=60)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "D04"
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_reader_killed_in_the_middle_is_replaced(office: tuple[Server, Senses], patch: pytest.MonkeyPatch) -> None:
    """The same office answers the same request as soon as its reader works again."""
    server = office[0]
    break_readers(office, "killed", patch)
    ask = {"json": CHAT | {"model": "so8t"}, "headers": server.headers(), "timeout": 60}
    address = f"{server.address}/v1/chat/completions"
    assert httpx.post(address, **ask).status_code == 503  # type: ignore[arg-type]
    patch.undo()
    assert httpx.post(address, **ask).status_code == 200  # type: ignore[arg-type]


class Told:
    """Stands where OCR would."""

    def __init__(self, *told: PageReading | Exception) -> None:
        self.told = told

    def pages(self, content: bytes, packed: str, numbers: object = None) -> Iterator[PageReading]:
        for one in self.told:
            if isinstance(one, Exception):
                raise one
            yield one


READ = PageReading(1, "司会: 始めます。", 0.99, "rapidocr")


@pytest.mark.parametrize("error", [ReaderFailed(detail="it stopped"), SourceUnreadable(detail="torn")])
@pytest.mark.parametrize("before", [(), (READ,)])
def test_minutes_are_never_of_half_a_scan(tmp_path: Path, error: Exception, before: tuple[PageReading, ...]) -> None:
    from so8t.commands.office import read_source

    (tmp_path / "a.tiff").write_bytes(encoded(sheet("一"), "TIFF", [sheet("二")]))
    with pytest.raises(type(error)):
        read_source(tmp_path / "a.tiff", Told(*before, error))


def test_a_page_nobody_can_make_out_makes_minutes_doubtful(tmp_path: Path) -> None:
    from so8t.commands.office import read_source

    (tmp_path / "a.tiff").write_bytes(encoded(sheet("一"), "TIFF", [sheet("二")]))
    blank, illegible = PageReading(2, "", 0.0, "", blank=True), PageReading(2, "", 0.0, "rapidocr")
    assert read_source(tmp_path / "a.tiff", Told(READ, blank)).confidence == 0.99
    assert read_source(tmp_path / "a.tiff", Told(READ, illegible)).confidence == 0.0
