"""Wiki dumps: articles only, in bounded memory; wikitext becomes plain text in time proportional to its length."""

from __future__ import annotations

import bz2
import time
import tracemalloc
from collections.abc import Iterator
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.documents.document import Document, Skipped
from so8t.documents.limits import DEFAULT, Limits
from so8t.documents.unreadable import Reason
from so8t.documents.wiki_dump import wiki_dump
from so8t.documents.wiki_markup import plain_text

from .conftest import TEXT, Written

HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/"><siteinfo><sitename>Wikipedia</sitename></siteinfo>'
)


def page(text: str, title: str = "猫", ns: int = 0, number: int = 7, extra: str = "") -> str:
    return (
        f"<page><title>{escape(title)}</title><ns>{ns}</ns><id>{number}</id>{extra}<revision><id>99</id>"
        f"<contributor><username>a</username><id>5</id></contributor><text>{escape(text)}</text></revision></page>"
    )


def test_articles_come_out_and_the_rest_is_counted(written: Written) -> None:
    pages = [
        page(f"'''猫'''は[[動物]]。\n{TEXT}"), page("話", "ノート:猫", 1), page("#転送 [[猫]]", "ネコ"),
        page("", "ねこ", extra='<redirect title="猫" />'), page("{{空}}", "空", number=8),
        page(TEXT, "A & B", number=9),
    ]  # fmt: skip
    documents, skipped = written("d.xml.bz2", bz2.compress(f"{HEAD}{''.join(pages)}</mediawiki>".encode()))
    assert documents == [
        Document(f"猫は動物。\n{TEXT}", "d.xml.bz2:7", "猫", "Wikipedia"),
        Document(TEXT, "d.xml.bz2:9", "A & B", "Wikipedia"),
    ]
    assert [(s.reason, s.detail) for s in skipped] == [
        (Reason.NO_TEXT, "空"),
        (Reason.NOT_ARTICLE, "2 redirects, 1 pages of other namespaces"),
    ]


def test_of_several_revisions_the_last_counts(written: Written) -> None:
    both = page("古い。古い。").replace("</revision>", f"</revision><revision><text>{TEXT}</text></revision>")
    assert [d.text for d in written("d.xml", f"{HEAD}{both}</mediawiki>")[0]] == [TEXT]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f"{HEAD}{page(TEXT)}<page><title>途中", Reason.TRUNCATED),
        (f"{HEAD}{page(TEXT)}<page></title>", Reason.DAMAGED),
        (f"{HEAD}{page(TEXT)}{'<a>' * 600}", Reason.TOO_DEEP),
        (f"{HEAD}{page(TEXT)}&unknown;", Reason.DAMAGED),
    ],
)
def test_what_comes_before_the_break_is_kept(written: Written, content: str, reason: Reason) -> None:
    documents, skipped = written("d.xml", content)
    assert [d.text for d in documents] == [TEXT] and [s.reason for s in skipped] == [reason]


def test_entities_are_refused(written: Written) -> None:
    laughs = '<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + HEAD + page(TEXT) + "&b;</mediawiki>"
    assert [s.reason for s in written("d.xml", laughs)[1]] == [Reason.ENTITIES]
    outside = '<!DOCTYPE m SYSTEM "file:///etc/passwd">' + HEAD + "</mediawiki>"
    assert [s.reason for s in written("d.xml", outside)[1]] == [Reason.ENTITIES]


@pytest.mark.parametrize(
    ("opening", "reason"),
    [
        (f"{HEAD}<page><text>", Reason.TRUNCATED),
        (f"{HEAD}<page a='", Reason.TOO_LARGE),
        (f"{HEAD}<!--", Reason.TOO_LARGE),
    ],
)
def test_endless_xml_stays_small(opening: str, reason: Reason) -> None:
    def endless() -> Iterator[bytes]:
        yield opening.encode()
        for _ in range(64):
            yield b"x" * (1 << 20)

    tracemalloc.start()
    items = list(wiki_dump(endless(), "d.xml", DEFAULT))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [i.reason for i in items if isinstance(i, Skipped)] == [reason] and peak < 24 << 20


def test_a_page_over_the_limit_is_named(written: Written) -> None:
    content = f"{HEAD}{page('長い。' * 1000)}{page(TEXT, number=8)}</mediawiki>"
    documents, skipped = written("d.xml", content, Limits(record_bytes=2000))
    assert [d.place for d in documents] == ["d.xml:8"] and [s.reason for s in skipped] == [Reason.TOO_LARGE]


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("'''猫'''（ねこ、{{lang-en|cat}}、{{lang|fr|chat}}）は''動物''。", "猫（ねこ、cat、chat）は動物。"),
        ("猫（{{不明}}、）は[[哺乳類|けもの]]の[[ネコ科]]。", "猫は" + "けもののネコ科。"),
        ("前。{{Infobox|a={{b|c}}|d=[[e]]}}後。", "前。後。"),
        ("本文。<ref name=\"a\">出典{{Cite}}</ref>続き<ref name=a />。", "本文。続き。"),
        ("上\n{| class=\"x\"\n|-\n| a || {{b|}}\n{|\n| 中\n|}\n|}\n下", "上\n\n下"),
        ("[[ファイル:a.jpg|thumb|説明の[[猫]]]]本文[[Category:猫]][[en:Cat]]。", "本文。"),
        ("[https://example.jp 公式]と[https://example.jp]。", "公式と。"),
        ("== 特徴 ==\n* 目\n** 耳\n\n=== 空 ===\n== 次 ==\n文。", "特徴\n\n目\n耳\n\n次\n\n文。"),
        ("文。\n== 脚注 ==\n<references />\n注\n=== 出典 ===\n本\n== 終 ==\n文二。", "文。\n\n終\n\n文二。"),
        ("文。\n== 外部リンク ==\n* [//a b]", "文。"),
        ("一&nbsp;二<br />三<!-- 隠し -->四__NOTOC__", "一\u00a0二\n三四"),
        ("閉じない{{テンプレート", "閉じないテンプレート"),
        ("a]]b}}c|}", "abc|}"),
        ("<math>x^2</math>と<nowiki>文</nowiki>", "と文"),
    ],
)  # fmt: skip
def test_wikitext(wikitext: str, expected: str) -> None:
    assert plain_text(wikitext) == expected


UNITS = [
    "[[", "{{", "{|\n", "<b>", "<ref>", "[http://", "{{{", "''", "]]", "(", "（ ", "<!--", "==", "=\n", "[[a|", "<",
    " ", "a", "A",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_no_markup_takes_long(unit: str) -> None:
    start = time.process_time()
    for opening in ("", "[//", "[//a ", "（", "<ref ", "{{", "__"):
        plain_text(opening + unit * 20_000)
    assert time.process_time() - start < 10  # linear time is a second; anything worse is minutes


@given(st.text(alphabet="猫a[]{}|<>/=!-'\n *:refmath", max_size=80))
def test_any_wikitext_is_some_text(wikitext: str) -> None:
    assert isinstance(plain_text(wikitext), str)
