"""Real OCR on a real page, without a connection; what is no image is refused before it is decoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from so8t.build.data.multimodal.pages import DOMAINS, group
from so8t.build.data.multimodal.render import render
from so8t.build.data.multimodal.stage import character_error_rate
from so8t.core.errors import PackageMissing, SourceUnreadable
from so8t.core.types import Levels
from so8t.documents import ocr
from so8t.documents.ocr import Ocr, check_image, in_order, reads_vertical


def page(tmp_path: Path, vertical: bool) -> tuple[Path, str]:
    import dataclasses

    made = dataclasses.replace(group(DOMAINS[1], 0, 8, Levels(), False)[0].page, vertical=vertical, noise="light")
    render(made).save(tmp_path / "page.png")
    return tmp_path / "page.png", "".join(made.lines)


@pytest.mark.slow
def test_a_horizontal_page(tmp_path: Path) -> None:
    image, wanted = page(tmp_path, vertical=False)
    reading = Ocr().read(image)
    assert character_error_rate(wanted, reading.text) < 0.05 and 0.8 < reading.confidence <= 1


@pytest.mark.slow
@pytest.mark.skipif(not reads_vertical(), reason="tesseract with jpn_vert is a system program")
def test_a_vertical_page(tmp_path: Path) -> None:
    image, wanted = page(tmp_path, vertical=True)
    reading = Ocr().read(image, vertical=True)
    assert character_error_rate(wanted, reading.text) < 0.15 and 0.3 < reading.confidence <= 1


def test_without_tesseract_vertical_pages_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr.shutil, "which", lambda name: None)
    ocr.reads_vertical.cache_clear()
    image, _ = page(tmp_path, vertical=True)
    assert not reads_vertical()
    with pytest.raises(PackageMissing, match="tesseract"):
        Ocr().read(image, vertical=True)
    ocr.reads_vertical.cache_clear()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"GIF89a\xff\xff\xff\xff"])
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(SourceUnreadable):
        check_image(path)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (400, 300)).save(path)
    check_image(path)
    monkeypatch.setattr(ocr, "MAXIMUM_PIXELS", 100_000)
    with pytest.raises(SourceUnreadable, match="pixels"):
        check_image(path)
    monkeypatch.setattr(ocr, "MAXIMUM_BYTES", 10)
    with pytest.raises(SourceUnreadable, match="bytes"):
        check_image(path)


def test_reading_order() -> None:
    lines = [
        ocr._Line(300, 12, 20, "値", 1.0), ocr._Line(10, 10, 20, "項目", 1.0), ocr._Line(10, 60, 20, "本文", 1.0),
        ocr._Line(10, 0, 5, "題", 1.0),
    ]  # fmt: skip
    assert in_order(lines) == "題\n項目 値\n本文" and in_order([]) == ""


def test_tesseracts_table() -> None:
    header = "\t".join(["level", "page", "block", "par", "line", "word", "l", "t", "w", "h", "conf", "text"])
    rows = [
        ["5", "1", "1", "1", "1", "1", "0", "0", "1", "1", "90", "区分"],
        ["5", "1", "1", "1", "1", "2", "0", "0", "1", "1", "70", "極秘"],
    ]
    rows += [["5", "1", "1", "1", "2", "1", "0", "0", "1", "1", "-1", ""], ["4", "1"]]
    reading = ocr._from_table("\n".join([header, *("\t".join(r) for r in rows)]))
    assert reading.text == "区分極秘" and reading.confidence == pytest.approx(0.8)
