"""HTML: the page's own text, without what stands around it."""

from __future__ import annotations

import time

import pytest

from so8t.documents.hypertext import page_text
from so8t.documents.limits import DEFAULT, Limits
from so8t.documents.unreadable import Reason, Unreadable

from .conftest import TEXT, Written

PAGE = """<!DOCTYPE html><html><head><title>お知らせ | 青空</title><style>p {}</style></head><body>
<header><h2><a href="/">青空株式会社</a></h2><nav><a href="a">会社案内</a></nav></header>
<div id="breadcrumb"><a href="/">ホーム</a> &gt; お知らせ</div>
<main><h1>夏季休業のお知らせ</h1><p>平素より格別のご高配を賜り、
厚く御礼申し上げます。</p>
<ul><li>休業期間：八月十日から</li><li><a href="c">お問い合わせ窓口</a>は、休業中も通常どおり開いております。</li></ul>
<ul><li><a href="1">前の記事へ</a></li><li><a href="2">次の記事へ</a></li></ul>
<table><tr><th>区分</th><th>日数</th></tr><tr><td>年次</td><td>二十日</td></tr></table>
<pre>a  b
 c</pre><p hidden>隠し</p><div style="display: none">隠し</div><div class="sns-share">共有する</div></main>
<aside>関連</aside><form><label>検索</label><input value="語"></form>
<footer>著作権</footer><script>var x</script></body></html>"""
EXPECTED = """夏季休業のお知らせ
平素より格別のご高配を賜り、厚く御礼申し上げます。
休業期間：八月十日から
お問い合わせ窓口は、休業中も通常どおり開いております。
区分 | 日数
年次 | 二十日
a  b
 c"""


def test_a_page_is_its_own_text(written: Written) -> None:
    (document,), skipped = written("a.html", PAGE)
    assert document.text == EXPECTED and document.title == "お知らせ | 青空" and not skipped


def text(source: str) -> str:
    return page_text(source, DEFAULT)[1]


def test_a_page_laid_out_by_tables() -> None:
    menu, inner = "<td class=menu><a href=1>製品</a></td>", "<table><tr><td>一</td><td>二</td></tr></table>"
    rows = f"<tr>{menu}<td><h1>規則</h1>{TEXT}<br>二行目。{inner}</td></tr>"
    assert text(f"<table>{rows}</table>") == f"規則\n{TEXT}\n二行目。\n一 | 二"


def test_a_form_around_the_whole_page_is_the_page() -> None:
    assert text(f"<form id=aspnetForm><input value=x><label>語</label><p>{TEXT}</p></form><form>探す</form>") == TEXT


def test_the_header_of_an_article_is_its_own() -> None:
    article = f"<article><header><h2>題</h2></header><p>{TEXT}</article>"
    assert text(f"<header><p>青空</p></header>{article}") == f"題\n{TEXT}"


def test_an_open_anchor_is_no_link_and_unclosed_items_are_lines() -> None:
    assert text(f'<a id="x"/><p>{TEXT}<ul><li>一<li>二</ul>') == f"{TEXT}\n一\n二"


def test_main_is_believed_only_if_it_holds_the_text() -> None:
    assert text(f"<main><p>少し</p></main><div><p>{TEXT}</p></div>") == f"少し\n{TEXT}"


def test_furniture_that_holds_the_heading_is_none() -> None:
    assert text(f"<div class='nav-wrapper'><h1>題</h1><p>{TEXT}</p></div>") == f"題\n{TEXT}"


@pytest.mark.parametrize("encoding", ["shift_jis", "euc_jp", "iso2022_jp", "utf-8"])
@pytest.mark.parametrize(
    "meta", ["<meta charset={}>", '<meta http-equiv=Content-Type content="text/html; charset={}">', ""]
)
def test_encodings_with_and_without_a_word_of_them(written: Written, encoding: str, meta: str) -> None:
    label = encoding.replace("_", "-").replace("iso2022", "iso-2022")
    content = f"<html>{meta.format(label)}<p>{TEXT}</p>".encode(encoding)
    assert written("a.html", content)[0][0].text == TEXT


@pytest.mark.parametrize(
    "source",
    [
        "<div>" * 100_000,
        "<header>" * 20_000 + "<h1>x",
        "<x/>" * 90_000,
        "<svg>" + "<a/>" * 90_000,
        "<table><tr><td>" * 20_000,
    ],
    ids=range(5),
)
def test_nesting_without_end_is_refused(source: str) -> None:
    start = time.process_time()
    with pytest.raises(Unreadable, match="too deep"):
        text(source)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "source",
    [
        "<p>" * 50_000,
        "<a href=x>" * 50_000,
        "<" * 500_000,
        "<!--" * 50_000,
        "<svg>" + "<path/>" * 3000,
        "&amp" * 99_999,
        "あ" + "\n" * 99_999,
        "\u3000\n" * 99_999,
        f"<p class='{'cookie_' * 99_999}!'>",
    ],
    ids=range(9),
)
def test_odd_pages_take_no_time(source: str) -> None:
    start = time.process_time()
    text(f"{source}<p>{TEXT}")
    assert time.process_time() - start < 2


def test_a_page_has_a_largest_size() -> None:
    with pytest.raises(Unreadable) as error:
        page_text("x" * 101, Limits(page_characters=100))
    assert error.value.reason is Reason.TOO_LARGE
