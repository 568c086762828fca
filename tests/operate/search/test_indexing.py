"""The index follows the folders, through changes, removals, broken files and interruptions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import apsw
import pytest
from office_files import LEVELS, POLICY, OfficeFiles, quiet

from so8t.core.errors import ConfigValueInvalid, IndexBroken, RecordInvalid
from so8t.core.serve_config import SearchConfig, SearchFolder
from so8t.operate.search import indexing
from so8t.operate.search.folders import folders_of
from so8t.operate.search.indexing import update
from so8t.operate.search.searching import MAXIMUM_QUERY, PASSAGE
from so8t.operate.search.store import IndexStore, Known


def test_new_changed_and_removed(office: OfficeFiles) -> None:
    path = office.write("公開/a.txt", "初めの文です。")
    report = office.update()
    assert (report.seen, report.read, report.removed) == (1, 1, 0) and office.places("初めの文") == ["a.txt"]
    assert office.update().read == 0
    path.write_text("次の文に直しました。", encoding="utf-8")
    assert office.update().read == 1
    assert office.places("初めの文") == [] and office.places("次の文") == ["a.txt"]
    path.unlink()
    assert office.update().removed == 1 and office.places("次の文") == []


def test_only_the_paths_that_changed(office: OfficeFiles) -> None:
    one, two = office.write("公開/1.txt", "一つめ"), office.write("公開/2.txt", "二つめ")
    office.update()
    one.write_text("一つめを直した", encoding="utf-8")
    two.unlink()
    report = office.update([one, two])
    assert (report.read, report.removed) == (1, 1) and office.places("直した") == ["1.txt"]
    assert office.update([Path("/nowhere/3.txt")]).seen == 0


def test_a_folder_that_is_left_out_of_the_configuration_goes(office: OfficeFiles) -> None:
    office.write("公開/a.txt", "共通の語")
    office.write("極秘/b.txt", "共通の語")
    office.update()
    office.config = SearchConfig(folders=office.config.folders[:1])
    assert office.update().removed == 1 and office.places("共通の語") == ["a.txt"]


def test_a_new_level_of_the_folder_moves_its_files(office: OfficeFiles) -> None:
    office.write("公開/a.txt", "共通の語")
    office.update()
    office.config = SearchConfig(folders=(SearchFolder(str(office.root / "公開"), "公開", "極秘"),))
    assert office.update().read == 1
    assert office.ask("共通の語", "部外秘").total == 0 and office.ask("共通の語").total == 1


def test_other_markings_of_the_policy_are_looked_for_in_every_file(office: OfficeFiles) -> None:
    import dataclasses

    office.write("公開/a.txt", "【社外秘】共通の語")
    office.update()
    assert office.ask("共通の語", "公開").total == 0
    bare = dataclasses.replace(POLICY, markers=())
    with mock.patch.object(type(bare), "markers_in", lambda self, text: ()):
        assert update(office.store, folders_of(office.config, bare), bare, quiet()).read == 1
    assert office.ask("共通の語", "公開").total == 1


BROKEN = {
    "empty.txt": b"", "empty.docx": b"", "half.docx": b"PK\x03\x04 and nothing more", "no.pdf": b"%PDF-1.7\n garbage",
    "odd.xlsx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "mail.eml": b"\xff\xfe\x00",
    "page.html": b"<" * 5000,
}  # fmt: skip


def test_files_that_cannot_be_read_are_named_and_the_rest_is_indexed(office: OfficeFiles) -> None:
    """Password-protected office files are OLE containers, so odd.xlsx stands for them."""
    for name, content in BROKEN.items():
        (office.root / "公開" / name).write_bytes(content)
    office.write("公開/ok.txt", "読める文です。")
    report = office.update()
    assert office.places("読める文") == ["ok.txt"]
    unread = {Path(path).name for path in report.unread}
    assert {"empty.txt", "empty.docx", "half.docx", "no.pdf", "odd.xlsx"} <= unread and "ok.txt" not in unread
    assert office.store.state()["unread"] == len(unread)
    assert office.update().read == 0  # not tried again until it changes


ODD_NAMES = [
    "空 白.txt",
    "改\n行.txt",
    "引'用\"符.txt",
    "%s{0}.txt",
    "絵🙂.txt",
    "て\u3099濁.txt",
    "-先頭.txt",
    "a" * 200 + ".txt",
]


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows forbids")
def test_names_with_every_odd_character(office: OfficeFiles) -> None:
    for number, name in enumerate(ODD_NAMES):
        office.write(f"公開/{name}", f"変わった名の文 {number}")
    (office.root / "公開" / os.fsdecode(b"\xff\xfe.txt")).write_bytes("変わった名の文 99".encode())
    office.update()
    assert office.ask("変わった名の文", most=50).total >= len(ODD_NAMES)


def test_what_programs_leave_behind_is_not_searched(office: OfficeFiles) -> None:
    for name in ("~$計画.docx", ".隠し.txt", "x.tmp", "Thumbs.db"):
        office.write(f"公開/{name}", "余分な文")
    assert office.update().seen == 0


def test_links_are_not_followed(office: OfficeFiles, tmp_path: Path) -> None:
    outside = tmp_path / "外.txt"
    outside.write_text("外の文", encoding="utf-8")
    (office.root / "公開" / "link.txt").symlink_to(outside)
    (office.root / "公開" / "loop").symlink_to(office.root / "公開")
    assert office.update().seen == 0


def test_deleted_while_indexing(office: OfficeFiles) -> None:
    paths = [office.write(f"公開/{n}.txt", f"文 {n}") for n in range(3)]
    read = indexing.read

    def vanishing(path: Path, limits: object, ocr: object) -> object:
        paths[1].unlink(missing_ok=True)
        return read(path, limits, ocr)  # type: ignore[arg-type]

    with mock.patch.object(indexing, "read", vanishing):
        office.update()
    assert office.places("文") == ["0.txt", "2.txt"] or set(office.places("文")) == {"0.txt", "2.txt"}
    office.update()
    assert office.store.state()["files"] == 2


def test_an_interruption_keeps_what_was_written(office: OfficeFiles) -> None:
    for n in range(5):
        office.write(f"公開/{n}.txt", f"同じ文 {n}")
    read, calls = indexing.read, []

    def interrupted(path: Path, limits: object, ocr: object) -> object:
        calls.append(path)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return read(path, limits, ocr)  # type: ignore[arg-type]

    few = mock.patch.object(indexing, "BATCH_FILES", 2)
    with few, mock.patch.object(indexing, "read", interrupted), pytest.raises(KeyboardInterrupt):
        office.update()
    assert office.ask("同じ文").total == 2  # whole batches, no half
    assert office.update().read == 3 and office.ask("同じ文").total == 5


def test_two_gateways_on_one_index(office: OfficeFiles) -> None:
    office.write("公開/a.txt", "共通の語")
    office.update()
    reader = IndexStore(office.store.path, LEVELS)
    office.write("公開/b.txt", "共通の語")
    office.update()
    from so8t.operate.search.searching import search

    assert search(reader, "共通の語", "公開").total == 2
    with pytest.raises(apsw.ReadOnlyError):
        reader.put(Known("x", "公開", 1, 1, ""), None, ())
    reader.close()


def test_an_index_of_other_levels_is_made_anew_by_the_writer_only(office: OfficeFiles) -> None:
    office.write("公開/a.txt", "共通の語")
    office.update()
    with pytest.raises(IndexBroken):
        IndexStore(office.store.path, ["低", "高"])
    office.store.close()
    office.store = IndexStore(office.store.path, ["低", "高"], write=True)
    assert office.store.state()["files"] == 0


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to be read as one" * 40, b"SQLite format 3\0" + b"\0" * 84]
)
def test_what_is_no_index_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    for write in (True, False):
        with pytest.raises(IndexBroken):
            IndexStore(path, LEVELS, write=write)
    assert path.read_bytes() == content


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE theirs(a)")
    db.close()
    with pytest.raises(IndexBroken, match="another database"):
        IndexStore(path, LEVELS, write=True)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_nobody_else_reads_the_index(office: OfficeFiles) -> None:
    assert office.store.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("folder", [
    SearchFolder("/nowhere/at/all"), SearchFolder(""), SearchFolder("/tmp", "a", "最高"),
    SearchFolder("/tmp", "a", "公開", (("*", "最高"),)),
])  # fmt: skip
def test_a_wrong_folder_is_named(folder: SearchFolder) -> None:
    with pytest.raises(ConfigValueInvalid):
        folders_of(SearchConfig(folders=(folder,)), POLICY)


def test_two_folders_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigValueInvalid, match="twice"):
        folders_of(SearchConfig(folders=(SearchFolder(str(tmp_path), "a"), SearchFolder("/tmp", "a"))), POLICY)


@pytest.mark.parametrize("query", ["", "  \n", "\u200b", "x" * (MAXIMUM_QUERY + 1)])
def test_queries_that_ask_nothing_or_too_much(office: OfficeFiles, query: str) -> None:
    with pytest.raises(RecordInvalid):
        office.ask(query)


def test_the_passage_is_where_the_terms_stand_together(office: OfficeFiles) -> None:
    far = "旅費の話。" + "関係のない話が続きます。" * 100
    office.write("公開/a.txt", f"{far}出張の旅費は月末までに精算します。{far}")
    office.update()
    (hit,) = office.ask("旅費 精算").hits
    assert "出張の旅費は月末までに精算します。" in hit.passage and len(hit.passage) <= PASSAGE
    assert {hit.passage[a:b] for a, b in hit.marks} >= {"旅費", "精算"}


def test_a_question_in_words_that_stand_nowhere_together(office: OfficeFiles) -> None:
    office.write("公開/旅費.txt", "出張の費用は、帰着の日から七日以内に精算する。")
    office.write("公開/慶弔.txt", "結婚のときは三日の休みを与える。")
    office.update()
    found = office.ask("出張の精算はいつまでですか?")
    assert found.loosely and [hit.place for hit in found.hits] == ["旅費.txt"]
    nothing = office.ask("存在しない単語の組")
    assert (nothing.total, nothing.hits, nothing.loosely) == (0, (), False), "what is not there is not there loosely"


def test_folders_narrow_the_search(office: OfficeFiles) -> None:
    office.write("公開/a.txt", "共通の語")
    office.write("社内限定/b.txt", "共通の語")
    office.update()
    assert office.places("共通の語", folders=["社内限定"]) == ["b.txt"]
    assert office.ask("共通の語", folders=[]).total == 0 and office.ask("共通の語", folders=["x"]).total == 0


def test_the_file_name_is_found(make: Callable[..., OfficeFiles]) -> None:
    office = make()
    office.write("公開/就業規則.txt", "第一条 目的")
    office.update()
    assert office.places("就業規則") == ["就業規則.txt"]


def pages_of(count: int) -> bytes:
    """A PDF of so many pages, each with a word of its own (ISO 32000, written by hand); what differs by its number
    alone would be taken for a page's margin."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for n in range(1, count + 1):
        text = f"BT /F1 12 Tf 72 700 Td ({word_of(n)} is what this page of the manual is about.) Tj ET"
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {len(objects) + 2} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(text)} >>\nstream\n{text}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {count} >>"
    made, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(made))
        made += f"{number} 0 obj\n{body}\nendobj\n".encode()
    start = len(made)
    made += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    made += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    made += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(made)


def word_of(number: int) -> str:
    """1987 -> bjih"""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


@pytest.mark.slow
def test_two_thousand_pages_and_too_many(office: OfficeFiles) -> None:
    (office.root / "公開" / "手引き.pdf").write_bytes(pages_of(2000))
    (office.root / "公開" / "もっと.pdf").write_bytes(pages_of(5001))
    report = office.update()
    found = office.ask(word_of(1987), "公開")
    assert [hit.place for hit in found.hits] == ["手引き.pdf"] and word_of(1987) in found.hits[0].passage
    assert [Path(path).name for path in report.unread] == ["もっと.pdf"] and "5000" in str(report.unread)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("公開/計画.txt", "社外秘\n来期の設備の更新計画です。"), ("公開/社外秘_計画.txt", "来期の設備の更新計画です。"),
        ("公開/部外秘/計画.txt", "来期の設備の更新計画です。"), ("公開/計画.txt", "設備の更新計画です。\n\n【社外秘】"),
    ],
)  # fmt: skip
def test_a_level_written_alone_is_the_level_of_the_file(office: OfficeFiles, name: str, text: str) -> None:
    office.write(name, text)
    office.update()
    assert office.ask("設備の更新", "社内限定").total == 0
    assert [hit.level for hit in office.ask("設備の更新", "部外秘").hits] == ["部外秘"]


def test_a_letter_that_speaks_of_a_level_is_not_of_it(office: OfficeFiles) -> None:
    office.write("公開/規程.txt", "情報の取扱規程\n社外秘の資料は、施錠できる棚に保管します。")
    office.update()
    assert [hit.level for hit in office.ask("施錠", "公開").hits] == ["公開"]


def test_the_level_in_the_header_of_a_word_file_counts(office: OfficeFiles) -> None:
    import docx

    word = docx.Document()
    word.sections[0].header.paragraphs[0].text = "極秘"
    for n in range(30):
        word.add_paragraph(f"設備の更新計画の {n} 行目です。")
    path = office.write("公開/計画.docx", "")
    word.save(str(path))
    office.update()
    assert office.ask("設備の更新", "部外秘").total == 0
    assert [hit.level for hit in office.ask("設備の更新", "極秘").hits] == ["極秘"]
