"""What lies above an asker's clearance changes nothing that he can see: no hit, count, rank, order or passage."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from office_files import LEVELS, POLICY, OfficeFiles

from so8t.core.errors import LevelUnknown
from so8t.core.serve_config import SearchFolder
from so8t.operate.search.searching import Result


@pytest.mark.parametrize("clearance", LEVELS)
@pytest.mark.parametrize("level", LEVELS)
def test_who_may_read_what(office: OfficeFiles, level: str, clearance: str) -> None:
    """4 x 4: found exactly where the clearance is not below the level."""
    office.write(f"{level}/計画.txt", "来期の設備の更新計画です。")
    office.update()
    may = POLICY.levels.gap(clearance, level) <= 0
    found = office.ask("設備の更新", clearance)
    assert (found.total, len(found.hits)) == ((1, 1) if may else (0, 0))
    assert [hit.level for hit in found.hits] == ([level] if may else [])


def seen(result: Result) -> list[tuple[str, str, int]]:
    return [(hit.id, hit.passage, hit.start) for hit in result.hits]


@pytest.mark.parametrize("clearance", LEVELS[:-1])
def test_secret_documents_change_nothing_for_others(make: Callable[..., OfficeFiles], clearance: str) -> None:
    """The same questions before and after 40 documents arrive above: same hits in the same order, same counts.

    The words of the questions are rare below and common above, so that shared statistics would turn the order round.
    """
    office = make()
    below = LEVELS[: LEVELS.index(clearance) + 1]
    above = LEVELS[LEVELS.index(clearance) + 1 :]
    for n in range(6):
        for level in below:
            text = "予算の会議。" * (n + 1) + "装置の更新。" * (6 - n) + "そのほかの話。" * n
            office.write(f"{level}/{n}.txt", text)
    office.update()
    questions = ("予算", "装置の更新", "予算 装置", "装", "予算は装置の更新に要りますか")
    before = [(seen(found), found.total, found.loosely) for q in questions for found in [office.ask(q, clearance)]]
    for n in range(40):
        for level in above:
            office.write(f"{level}/秘{n}.txt", "装置の更新。" * 20)
    office.update()
    after = [(seen(found), found.total, found.loosely) for q in questions for found in [office.ask(q, clearance)]]
    assert before == after
    assert office.ask("装置の更新").total > before[1][1]  # who may read them sees them


def test_a_document_above_cannot_be_read_by_its_number(office: OfficeFiles) -> None:
    office.write("極秘/a.txt", "極秘の本文")
    office.update()
    (found,), _ = office.store.find('"極秘"', len(LEVELS) - 1, None, 5)
    assert office.store.part(found.id, len(LEVELS) - 1) is not None
    assert [office.store.part(found.id, rank) for rank in range(len(LEVELS) - 1)] == [None] * (len(LEVELS) - 1)


def test_an_unknown_clearance_is_an_error(office: OfficeFiles) -> None:
    with pytest.raises(LevelUnknown):
        office.ask("何か", "最高")


def test_the_highest_of_folder_name_and_marking_counts(make: Callable[..., OfficeFiles]) -> None:
    office = make()
    root = office.root / "公開"
    office = make(SearchFolder(str(root), "総務", "公開", (("*給与*", "部外秘"), ("役員/**", "極秘"))))
    office.write("公開/案内.txt", "共通の語。")
    office.write("公開/給与一覧.txt", "共通の語。")
    office.write("公開/役員/日程.txt", "共通の語。")
    office.write("公開/覚え.txt", "【社外秘】\n共通の語。")
    office.write("公開/説明.txt", "「極秘」という語の説明。共通の語。")
    office.update()
    assert {h.place: h.level for h in office.ask("共通の語").hits} == {
        "案内.txt": "公開", "給与一覧.txt": "部外秘", "日程.txt": "極秘", "覚え.txt": "部外秘", "説明.txt": "公開",
    }  # fmt: skip


def test_a_file_in_two_folders_is_as_secret_as_the_more_secret_one(make: Callable[..., OfficeFiles]) -> None:
    office = make()
    inner = office.root / "公開" / "役員"
    inner.mkdir()
    outer = SearchFolder(str(office.root / "公開"), "全社", "公開")
    office = make(SearchFolder(str(inner), "役員室", "極秘"), outer)
    office.write("公開/役員/議題.txt", "共通の語。")
    office.update()
    assert [h.level for h in office.ask("共通の語").hits] == ["極秘"]


def test_a_marking_on_one_page_is_the_level_of_all(office: OfficeFiles) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.active.title, book.active["A1"] = "表紙", "共通の語の表"
    book.create_sheet("内訳")["A1"] = "【極秘】共通の語の内訳"
    book.save(office.root / "公開" / "表.xlsx")
    office.update()
    assert {h.level for h in office.ask("共通の語").hits} == {"極秘"} and office.ask("共通の語", "部外秘").total == 0
