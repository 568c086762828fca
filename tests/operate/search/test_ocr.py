"""Images and scanned PDFs in the document search, read by real OCR after everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from office_files import LEVELS, POLICY, OfficeFiles, quiet
from office_server import ANSWER, SCORES, build
from scanned import encoded, ruined, sheet

from so8t.ask.backend import FakeBackend
from so8t.cli import main
from so8t.core.errors import ReaderFailed
from so8t.core.serve_config import SearchConfig, SearchFolder
from so8t.documents.ocr_process import OcrProcess
from so8t.documents.scans import PageReading
from so8t.operate.search import folders
from so8t.operate.search.folders import folders_of
from so8t.operate.search.indexing import Report, read_waiting
from so8t.operate.search.service import DocumentSearch
from so8t.operate.search.sourced import MISREAD, answer

NOTICE = sheet("出張の手続きについて", "申請書は課長の承認を受けてから総務課へ出します。")


@pytest.fixture(scope="module")
def ocr() -> Iterator[OcrProcess]:
    made = OcrProcess()
    yield made
    made.close()


def read_all(office: OfficeFiles, ocr: Any, **options: Any) -> Report:
    office.update()
    return read_waiting(office.store, folders_of(office.config, POLICY), POLICY, quiet(), ocr, **options)


def put(office: OfficeFiles, name: str, content: bytes) -> Path:
    path = office.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


class Told:
    """Stands where OCR would, where a test is about what is made of it."""

    def __init__(self, *pages: tuple[str, float]) -> None:
        self.told, self.asked = pages, 0

    def pages(self, content: bytes, packed: str, numbers: Sequence[int] | None = None) -> Iterator[PageReading]:
        self.asked += 1
        for number, (text, confidence) in enumerate(self.told, 1):
            yield PageReading(number, text, confidence, "rapidocr", blank=confidence < 0)


def test_texts_come_first_and_images_wait(office: OfficeFiles, ocr: OcrProcess) -> None:
    office.write("公開/案内.txt", "出張の案内です。")
    put(office, "公開/手続き.png", encoded(NOTICE))
    report = office.update()
    assert report.waiting == 1 and not report.unread and office.places("出張") == ["案内.txt"]
    state = office.store.state()
    assert (state["files"], state["unread"], state["waiting_for_ocr"]) == (2, 0, 1)
    done = read_all(office, ocr)
    assert done.read == 1 and done.waiting == 0 and office.store.state()["pages_by_ocr"] == 1
    (hit,) = office.ask("課長の承認").hits
    assert hit.place == "手続き.png" and hit.confidence is not None and hit.confidence > 0.95 and not hit.doubtful
    assert hit.to_json()["ocr"] == {"confidence": round(hit.confidence, 4), "page": 1, "doubtful": False}
    (text,) = office.ask("案内です").hits
    assert text.confidence is None and text.to_json()["ocr"] is None
    assert office.update().read == 0 and read_all(office, ocr).read == 0  # nothing is read twice


def test_a_scanned_pdf_is_found_page_by_page(office: OfficeFiles, ocr: OcrProcess) -> None:
    second = sheet("別紙", "宿泊費の上限は一万二千円です。")
    put(office, "公開/規程.pdf", encoded(NOTICE, "PDF", [second]))
    read_all(office, ocr)
    (hit,) = office.ask("宿泊費の上限").hits
    assert hit.place == "規程.pdf:2" and hit.page == 2


def test_what_is_read_badly_lies_a_level_higher(office: OfficeFiles, ocr: OcrProcess) -> None:
    put(office, "公開/写り.png", encoded(ruined(NOTICE, blur=1.9, contrast=0.6)))
    read_all(office, ocr)
    (known,) = office.store.db.execute("SELECT level FROM files").fetchall()
    assert LEVELS[known[0]] == "社内限定"
    rows = office.store.db.execute("SELECT confidence FROM parts").fetchall()
    assert rows and rows[0][0] < 0.95


@pytest.mark.parametrize(("pages", "level"), [
    ([("普通の文です。", 0.99)], "社内限定"), ([("普通の文です。", 0.5)], "部外秘"), ([("極秘", 0.99)], "極秘"),
    ([("極秘", 0.5)], "極秘"), ([("文書区分:部外秘", 0.99)], "部外秘"), ([("文書区分:部外秘", 0.5)], "極秘"),
    ([("普通の文です。", 0.99), ("", 0.0)], "部外秘"), ([("普通の文です。", 0.99), ("", -1.0)], "社内限定"),
    ([("公開できる話です。", float("nan"))], "部外秘"),
])  # fmt: skip
def test_the_level_of_a_scan(office: OfficeFiles, pages: list[tuple[str, float]], level: str) -> None:
    """A stamp counts like a marking; a doubtful page, or one of which nothing could be made out, raises the level."""
    put(office, "社内限定/a.tiff", b"II*\0")
    read_all(office, Told(*pages))
    (known,) = office.store.db.execute("SELECT level FROM files").fetchall()
    assert LEVELS[known[0]] == level


def test_pages_that_our_reader_lost_raise_the_level(office: OfficeFiles) -> None:
    """A stamp may be on them."""

    class Dying(Told):
        def pages(self, content: bytes, packed: str, numbers: Sequence[int] | None = None) -> Iterator[PageReading]:
            yield from super().pages(content, packed, numbers)
            raise ReaderFailed(detail="it stopped (-9)")

    put(office, "社内限定/a.tiff", b"II*\0")
    put(office, "社内限定/b.tiff", b"II*\0")
    report = read_all(office, Dying(("普通の文です。", 0.99)))
    assert report.read == 2 and report.waiting == 0  # one such file does not keep the others waiting
    levels = [LEVELS[level] for (level,) in office.store.db.execute("SELECT level FROM files")]
    assert levels == ["部外秘", "部外秘"]


def test_nothing_of_a_file_is_found_before_all_of_it_is_read(office: OfficeFiles) -> None:
    """Its text pages might be found at a lower level than the stamp on a scanned one gives it."""
    mail = (
        b"Subject: a\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\n"
        b"body words\r\n--x\r\nContent-Type: image/png; name=a.png\r\nContent-Disposition: attachment; "
        b"filename=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--x--\r\n"
    )
    put(office, "公開/a.eml", mail)
    office.update()
    assert not office.places("body words") and office.store.state()["waiting_for_ocr"] == 1
    read_all(office, Told(("極秘", 0.99)))
    assert not office.places("body words", clearance="部外秘") and office.places("body words") == ["a.eml"]


def test_an_interruption_keeps_what_was_read(office: OfficeFiles) -> None:
    for n in range(4):
        put(office, f"公開/{n}.png", b"\x89PNG")
    ocr, left = Told(("紙の文です。", 0.99)), iter([True, True, False])
    first = read_all(office, ocr, go_on=lambda: next(left))
    assert (first.read, first.waiting, ocr.asked) == (2, 2, 2)
    second = read_all(office, ocr)
    assert (second.read, second.waiting, ocr.asked) == (2, 0, 4)
    assert len(office.places("紙の文")) == 4


def test_what_was_ended_is_read_again(office: OfficeFiles) -> None:
    put(office, "公開/a.png", b"\x89PNG")
    read_all(office, Told(("紙の文です。", 0.99)), stopped=lambda: True)
    assert office.store.waiting() and not office.places("紙の文")
    read_all(office, Told(("紙の文です。", 0.99)))
    assert office.places("紙の文") == ["a.png"]


def test_what_has_gone_meanwhile_is_forgotten(office: OfficeFiles) -> None:
    path = put(office, "公開/a.png", b"\x89PNG")
    office.update()
    path.unlink()
    report = read_waiting(office.store, folders_of(office.config, POLICY), POLICY, quiet(), Told())
    assert report.removed == 1 and office.store.state()["files"] == 0


def test_broken_and_enormous_images_are_named(office: OfficeFiles, ocr: OcrProcess) -> None:
    put(office, "公開/a.png", b"\x89PNG\r\n\x1a\nbroken")
    put(office, "公開/b.webp", b"%PDF-1.7")
    put(office, "公開/白紙.png", encoded(sheet()))
    report = read_all(office, ocr)
    reasons = {Path(path).name: reason for path, reason in report.unread.items()}
    assert set(reasons) == {"a.png", "白紙.png"} and "damaged" in reasons["a.png"]
    assert office.store.state()["reasons"]["no text"] == 1


def test_without_ocr_images_are_no_files(make: Callable[..., OfficeFiles], tmp_path: Path) -> None:
    office = make(SearchFolder(str(tmp_path / "files" / "公開"), "公開", "公開"))
    put(office, "公開/a.png", encoded(NOTICE))
    put(office, "公開/b.pdf", encoded(NOTICE, "PDF"))
    office.config = SearchConfig(folders=office.config.folders, ocr=False)
    assert office.update().unread == {str(tmp_path / "files/公開/b.pdf"): "no text layer: scanned (1 pages)"}
    assert office.store.state()["files"] == 1
    office.config = SearchConfig(folders=office.config.folders)
    assert office.update().waiting == 2  # once it is there, what it may help with is looked at again


def test_without_the_package_there_is_no_ocr(office: OfficeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "ocr_missing", lambda: "rapidocr")
    put(office, "公開/a.png", encoded(NOTICE))
    assert office.update().seen == 0


def test_an_answer_from_a_bad_scan_says_so(tmp_path: Path, office: OfficeFiles) -> None:
    put(office, "公開/a.png", b"\x89PNG")
    read_all(office, Told(("三行にまとめました。一つめは予算です。二つめは人です。", 0.6)))
    gateway, _, ledger, _, _ = build(tmp_path, FakeBackend(SCORES, answer=ANSWER))
    search = DocumentSearch(gateway, SearchConfig(index=str(office.store.path), folders=office.config.folders))

    class Who:
        name, clearance = "user", "社内限定"

    async def asked() -> Any:
        found = await search.ask(Who(), "予算", None, 5)  # type: ignore[arg-type]
        return await answer(gateway, Who(), "予算は?", found)  # type: ignore[arg-type]

    made = asyncio.run(asked()).to_json()
    search.close()
    ledger.close()
    assert made["documents"][0]["ocr_confidence"] == 0.6 and made["documents"][0]["doubtful"]
    assert made["answer"] == ANSWER + MISREAD.format(numbers="[1]")


@pytest.mark.slow
def test_a_running_office_reads_scans_in_the_background(tmp_path: Path, office: OfficeFiles) -> None:
    office.write("公開/案内.txt", "出張の案内です。")
    put(office, "公開/手続き.png", encoded(NOTICE))
    gateway, _, ledger, _, _ = build(tmp_path, FakeBackend(SCORES, answer=ANSWER))
    config = SearchConfig(index=str(tmp_path / "own.db"), folders=office.config.folders)
    search = DocumentSearch(gateway, config)

    async def followed() -> Any:
        task = asyncio.create_task(search.watch())
        try:
            for _ in range(600):
                await asyncio.sleep(0.1)
                if search.last_ocr is not None and search.last_ocr.read:
                    return await search.state()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    state = asyncio.run(followed())
    search.close()
    ledger.close()
    assert state["pages_by_ocr"] == 1 and state["waiting_for_ocr"] == 0 and state["ocr"]["on"]


def test_the_command_reads_what_waits(office: OfficeFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(office, "公開/手続き.png", encoded(NOTICE))
    config = tmp_path / "so8t.toml"
    folder = f'path = "{office.root / "公開"}"\nclassification = "公開"'
    index = f'[serve.search]\nindex = "{tmp_path / "cli.db"}"\n\n[[serve.search.folders]]\n{folder}\n'
    config.write_text(index, encoding="utf-8")
    base = ["search", "--config", str(config), "--policy", "demo", "--lang", "ja"]
    assert main([*base, "--update", "--json"]) == 0
    assert '"waiting": 0' in capsys.readouterr().out
    assert main([*base, "課長の承認"]) == 0
    told = capsys.readouterr().out
    assert "手続き.png (OCR 1.00)" in told or "手続き.png (OCR 0.9" in told
