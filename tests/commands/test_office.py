"""so8t minutes and so8t mail against a running office: files in, files out, and an exit code that says what became."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import docx
import pytest
from office_server import Server, running
from scanned import encoded, ruined, sheet

from so8t.ask.backend import FakeBackend
from so8t.cli import main
from so8t.commands import office
from so8t.commands.office import LONGEST, source_of
from so8t.core.errors import SourceMissing, SourceUnreadable, UsageError
from so8t.operate.senses.hearing import Hearing
from so8t.operate.senses.vtt import Cue

MEETING = """司会: では棚卸しは三月二十日に行うことに決定します。
佐藤: はい、来週の金曜までに私が手順書を改訂して回します。
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with running(tmp_path, FakeBackend({"": [9.0, 0.0, 0.0]}, answer="。")) as started:
        monkeypatch.setenv("SO8T_KEY", started.keys["user"])
        yield started


@pytest.fixture
def meeting(tmp_path: Path) -> Path:
    path = tmp_path / "三月定例.txt"
    path.write_bytes(MEETING.encode("cp932"))
    return path


def test_minutes_as_markdown_json_and_word(
    server: Server, meeting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["minutes", str(meeting), "--server", server.address, "--lang", "ja"]
    assert main(command) == 0
    assert "# 議事録: 三月定例" in capsys.readouterr().out
    for name in ("m.md", "m.json", "m.docx"):
        assert main([*command, "--out", str(tmp_path / name)]) == 0
        assert "やること 1" in capsys.readouterr().out
    assert "**佐藤**(来週の金曜まで)" in (tmp_path / "m.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))["made"]["todos"][0]["owner"] == "佐藤"
    word = docx.Document(str(tmp_path / "m.docx"))
    assert [cell.text for cell in word.tables[0].rows[1].cells][:2] == ["佐藤", "来週の金曜まで"]
    assert any(p.text.startswith("L2  佐藤: はい") for p in word.paragraphs)


def test_what_is_not_made_says_so_and_writes_nothing(
    server: Server, meeting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.docx"
    command = ["minutes", str(meeting), "--server", server.address, "--classification", "部外秘", "--out", str(out)]
    assert main(command) == 1 and not out.exists()
    assert "引き継ぎ" in capsys.readouterr().out
    assert main(["minutes", str(meeting), "--server", server.address, "--out", "m.pdf"]) == 2


def test_a_mail_draft(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reply = tmp_path / "元.txt"
    reply.write_text("ご都合はいかがですか。", encoding="utf-8")
    command = ["mail", "--server", server.address, "--purpose", "日程を連絡する", "--point", "三日に変わります",
               "--reply", str(reply)]  # fmt: skip
    assert main([*command, "--to", "a@example.co.jp", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["made"]["subject"] == "日程のご連絡" and "三日に変わります" in told["text"]
    assert main([*command, "--to", "a@customer.example"]) == 1
    assert "引き継ぎ" in capsys.readouterr().out


def test_transcripts_keep_their_lines_whatever_the_file(tmp_path: Path) -> None:
    vtt = tmp_path / "a.vtt"
    vtt.write_text("WEBVTT\n\n00:00.000 --> 00:01.000\n<v 佐藤>はい。", encoding="utf-16")
    assert source_of(vtt, None, "ja").text.splitlines()[3] == "<v 佐藤>はい。"
    document = docx.Document()
    document.add_paragraph("司会: 始めます。")
    document.add_paragraph("佐藤: はい。")
    document.save(str(tmp_path / "a.docx"))
    made = source_of(tmp_path / "a.docx", None, "ja")
    assert made.text.splitlines() == ["司会: 始めます。", "佐藤: はい。"] and made.confidence is None


def test_the_level_in_the_header_of_a_word_file_is_the_records(server: Server, tmp_path: Path) -> None:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "極秘"
    for line in MEETING.splitlines():
        document.add_paragraph(line)
    document.save(str(tmp_path / "a.docx"))
    assert main(["minutes", str(tmp_path / "a.docx"), "--server", server.address]) == office.REFUSED
    entry = server.reader.entries(kinds=("decision",))[-1]
    assert entry.decision == "DENY" and entry.data["classification"] == "極秘"


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        source_of(tmp_path / "none.txt", None, "ja")
    (tmp_path / "broken.docx").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(SourceUnreadable):
        source_of(tmp_path / "broken.docx", None, "ja")
    with (tmp_path / "long.txt").open("wb") as file:
        file.truncate(LONGEST + 1)
    with pytest.raises(SourceUnreadable):
        source_of(tmp_path / "long.txt", None, "ja")
    (tmp_path / "meeting.m4a").write_bytes(b"x")
    with pytest.raises(UsageError, match="--ears"):
        source_of(tmp_path / "meeting.m4a", None, "ja")


@pytest.mark.slow
def test_minutes_of_a_photographed_page(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ("司会: では棚卸しは三月二十日に行うことに決定します。", "佐藤: はい、来週の金曜までに私が改訂します。")
    (tmp_path / "clear.png").write_bytes(encoded(sheet(*lines, width=1500)))
    (tmp_path / "ruined.png").write_bytes(encoded(ruined(sheet(*lines, width=1500), blur=2.0, contrast=0.6)))
    command = ["minutes", "--server", server.address, "--json"]
    assert main([*command, str(tmp_path / "clear.png")]) == 0
    made = json.loads(capsys.readouterr().out)["made"]
    assert made["decisions"] and "決定" in made["decisions"][0]["text"]
    assert main([*command, str(tmp_path / "ruined.png")]) == 1
    assert json.loads(capsys.readouterr().out)["so8t"]["decision"] == "ESCALATE"


@pytest.mark.slow
def test_minutes_straight_from_a_recording(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recogniser's real layer is tested in tests/operate/senses; here what comes of it."""
    cues = (Cue(0.0, 2.0, "では棚卸しは三月二十日に行うことに決定します。", 0.9),)
    heard = Hearing(cues, 2.0, "会議室")
    monkeypatch.setattr(office, "Ears", lambda folder, threads: folder)
    monkeypatch.setattr(office, "hearing_of", lambda *_: heard)
    (tmp_path / "meeting.m4a").write_bytes(b"x")
    assert main(["minutes", str(tmp_path / "meeting.m4a"), "--ears", str(tmp_path), "--server", server.address,
                 "--json"]) == 0  # fmt: skip
    made = json.loads(capsys.readouterr().out)["made"]
    assert made["speakers"] == ["会議室"] and made["decisions"][0]["seconds"] == 0.0
