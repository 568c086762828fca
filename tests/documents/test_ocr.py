"""Real OCR on a real page, without a connection; what is no image is refused before it is decoded."""

from __future__ import annotations

import dataclasses
import math
import os
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from so8t.build.data.multimodal.accuracy import character_error_rate
from so8t.build.data.multimodal.pages import DOMAINS, group
from so8t.build.data.multimodal.render import render
from so8t.core.errors import PackageMissing, ReaderFailed, SourceMissing, SourceUnreadable
from so8t.core.types import Levels
from so8t.documents import images, ocr
from so8t.documents.ocr import Line, Ocr, from_table, in_order, load_image, orientation, reads_vertical


def page(tmp_path: Path, vertical: bool) -> tuple[Path, str]:
    made = dataclasses.replace(group(DOMAINS[1], 0, 8, Levels(), False)[0].page, vertical=vertical, noise="light")
    render(made).save(tmp_path / "page.png")
    return tmp_path / "page.png", "".join(made.lines)


def box(text: str, left: float, top: float, width: float, height: float, angle: float = 0.0) -> Line:
    """A framed line on a page that is turned by `angle` radians round its corner."""
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    return Line([(x * cos - y * sin, x * sin + y * cos) for x, y in corners], text, 1.0)


def engine(lines: Sequence[Line]) -> Callable[..., SimpleNamespace]:
    """What stands where rapidocr's engine does."""
    found = SimpleNamespace(
        boxes=np.array([n.corners for n in lines]) if lines else None,
        txts=tuple(n.text for n in lines) if lines else None,
        scores=tuple(n.score for n in lines),
    )
    return lambda pixels, **options: found


COLUMNS = [box("右の列", 300, 10, 30, 400), box("左の列", 200, 10, 30, 400)]


@pytest.mark.slow
def test_a_horizontal_page(tmp_path: Path) -> None:
    image, wanted = page(tmp_path, vertical=False)
    reading = Ocr().read(image)
    assert character_error_rate(wanted, reading.text) < 0.05 and 0.8 < reading.confidence <= 1
    assert (reading.engine, reading.orientation) == ("rapidocr", "horizontal")


@pytest.mark.slow
@pytest.mark.skipif(not reads_vertical(), reason="tesseract with jpn_vert is a system program")
def test_a_vertical_page(tmp_path: Path) -> None:
    image, wanted = page(tmp_path, vertical=True)
    reading = Ocr().read(image)
    assert character_error_rate(wanted, reading.text) < 0.15 and 0.3 < reading.confidence <= 1
    assert (reading.engine, reading.orientation) == ("tesseract", "vertical")


@pytest.mark.slow
def test_an_empty_page(tmp_path: Path) -> None:
    Image.new("L", (300, 200), 255).save(tmp_path / "a.png")
    reading = Ocr().read(tmp_path / "a.png")
    assert reading.text == "" and reading.confidence == 0


def test_without_tesseract_vertical_pages_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr.shutil, "which", lambda name: None)
    monkeypatch.setattr(ocr, "_load", lambda threads: engine(COLUMNS))
    ocr.reads_vertical.cache_clear()
    image, _ = page(tmp_path, vertical=True)
    try:
        assert not reads_vertical()
        with pytest.raises(PackageMissing, match="tesseract"):
            Ocr().read(image)
    finally:
        ocr.reads_vertical.cache_clear()


@pytest.mark.skipif(os.name == "nt", reason="a program that is a script")
@pytest.mark.parametrize(("body", "fault"), [("sys.exit(1)", "CalledProcessError"), ("time.sleep(60)", "Timeout")])
def test_a_tesseract_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, fault: str) -> None:
    program = tmp_path / "tesseract"
    program.write_text(f"#!{sys.executable}\nimport sys, time\n{body}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(ocr.shutil, "which", lambda name: str(program))
    monkeypatch.setattr(ocr, "reads_vertical", lambda: True)
    monkeypatch.setattr(ocr, "_load", lambda threads: engine(COLUMNS))
    monkeypatch.setattr(ocr, "SECONDS", 0.5)
    image, _ = page(tmp_path, vertical=True)
    with pytest.raises(ReaderFailed, match=fault):
        Ocr().read(image)


@pytest.mark.skipif(os.name == "nt", reason="a program that is a script")
def test_tesseract_gets_pixels_threads_and_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never sees the user's file or its name, and what it says without end is cut."""
    row = r"'5\t1\t1\t1\t1\t1\t0\t0\t1\t1\t90\t'"
    lines = [
        f"#!{sys.executable}", "import os, sys", "png = sys.stdin.buffer.read()[:4] == b'\\x89PNG'", "print('head')",
        f"print({row} + ','.join([*sys.argv[1:], os.environ['OMP_THREAD_LIMIT'], str(png)]))",
        f"print(({row} + 'x' * 50 + '\\n') * 1000)",
    ]  # fmt: skip
    program = tmp_path / "tesseract"
    program.write_text("\n".join(lines), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(ocr.shutil, "which", lambda name: str(program))
    monkeypatch.setattr(ocr, "reads_vertical", lambda: True)
    monkeypatch.setattr(ocr, "_load", lambda threads: engine(COLUMNS))
    monkeypatch.setattr(ocr, "MAXIMUM_OUTPUT", 1000)
    image, _ = page(tmp_path, vertical=True)
    reading = Ocr(threads=3).read(image)
    assert reading.text.startswith("stdin,stdout,-l,jpn_vert,--psm,5,tsv,3,True") and len(reading.text) < 1000
    assert reading.confidence == pytest.approx(0.9)


def test_an_engine_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(pixels: object, **options: object) -> None:
        raise RuntimeError("onnx")

    monkeypatch.setattr(ocr, "_load", lambda threads: broken)
    image, _ = page(tmp_path, vertical=False)
    with pytest.raises(ReaderFailed, match="rapidocr: RuntimeError"):
        Ocr().read(image)


def test_weights_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(threads: int) -> None:
        raise RuntimeError("protobuf")

    monkeypatch.setattr(ocr, "_load", broken)
    image, _ = page(tmp_path, vertical=False)
    with pytest.raises(ReaderFailed, match="rapidocr: RuntimeError"):
        Ocr().read(image)


def test_the_engine_is_loaded_once_and_for_the_threads_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    monkeypatch.setattr(ocr, "_load", lambda threads: loaded.append(threads) or engine([box("題", 0, 0, 90, 30)]))
    image, _ = page(tmp_path, vertical=False)
    reader = Ocr(threads=2)
    assert reader.read(image) == reader.read(image) and loaded == [2]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(PackageMissing, match=r"so8t\[ocr\]"):
        ocr._load(1)


def test_weights_that_are_not_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """rapidocr would fetch them; we say so instead."""
    monkeypatch.setitem(sys.modules, "rapidocr", SimpleNamespace(__file__=str(tmp_path / "__init__.py")))
    with pytest.raises(PackageMissing, match="PP-OCR"):
        ocr._load(1)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"GIF89a\xff\xff\xff\xff"])
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(SourceUnreadable):
        load_image(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["GIF", "PPM", "EPS", "PDF"])
def test_formats_that_no_scanner_writes_stay_closed(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png", kind)
    with pytest.raises(SourceUnreadable):
        load_image(tmp_path / "a.png")


def test_several_pages_in_a_file(tmp_path: Path) -> None:
    first, second = Image.new("L", (40, 30)), Image.new("L", (40, 30), 255)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with pytest.raises(SourceUnreadable, match="several pages"):
        load_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_a_torn_image(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    noise = np.random.default_rng(1).integers(0, 255, (60, 80), np.uint8)
    Image.fromarray(noise).save(path, kind)
    assert load_image(path).size == (80, 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceUnreadable):
        load_image(path)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (400, 300)).save(path)
    load_image(path)
    for limit, value, word in (("SIDE", 399, "side"), ("PIXELS", 100_000, "pixels"), ("BYTES", 10, "bytes")):
        monkeypatch.setattr(images, f"MAXIMUM_{limit}", value)
        with pytest.raises(SourceUnreadable, match=word):
            load_image(path)


def test_a_bomb_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header says 40,000 x 40,000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    with pytest.raises(SourceUnreadable):
        load_image(tmp_path / "a.png")


def test_what_is_see_through_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").getextrema() == (255, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_a_pixel(tmp_path: Path, kind: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "a.png", kind)
    found = np.asarray(load_image(tmp_path / "a.png")).ravel().astype(int)
    assert (np.abs(found - np.arange(256)) <= 1).all()


def test_a_photograph_is_set_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("L", (40, 20)).save(tmp_path / "a.png", "JPEG", exif=exif)
    assert load_image(tmp_path / "a.png").size == (20, 40)


def test_reading_order() -> None:
    lines = [
        box("値", 300, 12, 80, 20),
        box("項目", 10, 10, 80, 20),
        box("本文", 10, 60, 90, 20),
        box("題", 10, 0, 40, 5),
    ]
    assert in_order(lines) == "題\n項目 値\n本文" and in_order([]) == ""


@given(st.floats(-2.5, 2.5), st.permutations(range(12)))
def test_a_skewed_page_is_read_in_the_same_order(degrees: float, order: list[int]) -> None:
    """Six rows of a table as wide as a page: at two degrees the right end lies a row lower."""
    angle = math.radians(degrees)
    lines = [box(f"{n}", 900 * (n % 2), 46 * (n // 2), 60, 28, angle) for n in range(12)]
    assert in_order([lines[n] for n in order]) == "\n".join(f"{n} {n + 1}" for n in range(0, 12, 2))


def test_orientation() -> None:
    assert orientation(COLUMNS) == "vertical" and orientation([]) == "horizontal"
    assert orientation([*COLUMNS[:1], box("長い行", 0, 0, 900, 30)]) == "horizontal"
    assert orientation([box("印", 0, 0, 30, 30)]) == "horizontal"


def test_tesseracts_table() -> None:
    header = "\t".join(["level", "page", "block", "par", "line", "word", "l", "t", "w", "h", "conf", "text"])
    rows = [
        ["5", "1", "1", "1", "1", "1", "0", "0", "1", "1", "90", "区分"],
        ["5", "1", "1", "1", "1", "2", "0", "0", "1", "1", "70", "極秘"],
        ["5", "1", "1", "1", "2", "1", "0", "0", "1", "1", "-1", ""],
        ["5", "1", "1", "1", "2", "2", "0", "0", "1", "1", "x", "嘘"],
        ["4", "1"],
    ]
    reading = from_table("\n".join([header, *("\t".join(r) for r in rows)]))
    assert reading.text == "区分極秘" and reading.confidence == pytest.approx(0.8)
    assert from_table("").text == ""
