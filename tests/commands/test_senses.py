"""so8t see: pages by OCR, objects by a detector, what cannot be read named and the rest done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scanned import encoded, ruined, sheet
from sense_models import colour_detector, square

from so8t.cli import main
from so8t.documents import ocr

LINES = ("点検表", "油量は規定の範囲です。")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """A page, a scanned PDF of two pages of which one is hardly legible, and what is no image."""
    contents = {
        "紙.png": encoded(sheet(*LINES)),
        "束.pdf": encoded(sheet(*LINES), "PDF", [ruined(sheet(*LINES), blur=2.2, contrast=0.55)]),
        "壊れ.png": b"\x89PNG\r\n\x1a\nbroken",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [str(tmp_path / name) for name in contents]


def test_pages_are_read_and_what_is_broken_is_named(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["see", *files, "--json"]) == 3
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(Path(row["path"]).name, row.get("page")) for row in rows] == [
        ("紙.png", 1), ("束.pdf", 1), ("束.pdf", 2), ("壊れ.png", None),
    ]  # fmt: skip
    assert LINES[1] in rows[0]["text"] and not rows[0]["doubtful"] and rows[2]["doubtful"]
    assert rows[3]["error"] == "D03"
    assert main(["see", files[1], "--lang", "ja"]) == 0
    told = capsys.readouterr().out
    assert "束.pdf:1 (確度 " in told and "要確認" in told


def test_an_engine_that_breaks_is_not_the_files_fault(
    files: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(threads: int) -> None:
        raise RuntimeError("protobuf")

    monkeypatch.setattr(ocr, "_load", broken)
    assert main(["see", files[0], files[2], files[1], "--json"]) == 10
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["error"] for row in rows] == ["A20", "D03", "A20"] and "rapidocr" in rows[0]["detail"]


def test_a_detector_names_what_it_sees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    square("red", (160, 320, 319, 479)).save(tmp_path / "a.png")
    model = colour_detector(tmp_path / "eyes")
    assert main(["see", str(tmp_path / "a.png"), "--model", str(model), "--lang", "en"]) == 0
    assert "検出: 赤い部品" in capsys.readouterr().out
    (model / "model.onnx").write_bytes(b"changed")
    assert main(["see", str(tmp_path / "a.png"), "--model", str(model)]) == 6
    assert main(["see", str(tmp_path / "a.png"), "--model", str(tmp_path)]) == 2  # no eyes.toml there


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["see", str(tmp_path / "none.png"), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"] == "D01"


@pytest.mark.parametrize(("lang", "said"), [("ja", "文字は読み取れませんでした"), ("en", "no text was read")])
def test_a_picture_without_text_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lang: str, said: str
) -> None:
    (tmp_path / "空.png").write_bytes(encoded(sheet()))
    assert main(["see", str(tmp_path / "空.png"), "--lang", lang]) == 0
    assert said in capsys.readouterr().out
    assert main(["see", str(tmp_path / "空.png"), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["text"], row["confidence"], row["doubtful"]) == ("", 0.0, True)
