"""Numbers that belong to a person or an account: by check digit, by form, or by the word before them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from so8t.decide.pii_form import Family, Form, Place

_EDGE = r"(?<![0-9A-Za-z])(?<![0-9]\.)(?<![0-9A-Za-z][-/])"
_AFTER_WORD = r"(?<![0-9])(?<![0-9]\.)(?<![0-9A-Za-z][-/])"  # TEL03-...
_END = r"(?!-?[0-9])(?!\.[0-9])"
_IS = r"\s?[:=は]?\s?"
_NUMBER = r"の?\s?(?:番号|No\.?|number)?"
# A number after one of these names a thing, not a person.
_THING = re.compile(
    r"(?:(?:注文|伝票|追跡|問い?合わ?せ|送り状|受付|商品|製造|シリアル|管理|予約|整理|資産|案件|部品|図面|契約|請求|出願|特許|検査"
    r"|処理|機器)(?:番号|No\.?|コード|ID)|型番|型式|品番|図番|品名|JAN|EAN|ISBN|ISSN|シリアル|ロット|LOT|S/N"
    r"|[Vv]ersion|[Vv]er\.?|バージョン|版|(?<![A-Za-z])v|第)[^0-9A-Za-z\n]{0,4}$"
)
_COUNTED = (
    r"(?!\s?(?:円|人|件|頁|ページ|個(?!人)|台|年(?!金)|点|名(?![義前])|倍|字|文字|行|回(?!線)|本(?![店人町社])|万|億|度|℃|%|時間|分|秒|日(?!本)"
    r"|[kKmMcG]?(?:g|m|Hz|W|B|V|A|L)(?![A-Za-z])))"
)


def _digits(text: str) -> list[int]:
    return [int(c) for c in text if c in "0123456789"]


def is_my_number(text: str) -> bool:
    """Check digit of the 12-digit individual number (総務省令第85号, 2014)."""
    *body, check = _digits(text)
    weights = [n + 1 if n <= 6 else n - 5 for n in range(1, 12)]
    rest = sum(d * w for d, w in zip(reversed(body), weights, strict=True)) % 11
    return check == (0 if rest <= 1 else 11 - rest)


def is_corporate_number(text: str) -> bool:
    """Check digit of the 13-digit corporate number (財務省令第70号, 2014): it comes first. Not a book's or a ware's."""
    check, *body = _digits(text)
    right = check == 9 - sum(d * (1 if n % 2 == 0 else 2) for n, d in enumerate(reversed(body))) % 9
    return right and not (text.startswith(("978", "979", "45", "49")) and is_ean(text))


def is_ean(text: str) -> bool:
    """Check digit of ISBN-13 and JAN (GS1 General Specifications 7.9)."""
    *body, check = _digits(text)
    return (sum(d * (3 if n % 2 else 1) for n, d in enumerate(body)) + check) % 10 == 0


def is_card_number(text: str) -> bool:
    """Luhn check digit (ISO/IEC 7812-1)."""
    digits = _digits(text)
    doubled = (d if n % 2 == 0 else sum(divmod(2 * d, 10)) for n, d in enumerate(reversed(digits)))
    return len(set(digits)) > 1 and sum(doubled) % 10 == 0


def is_ip_address(text: str) -> bool:
    """An IPv4 address, private ones included."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


_YEAR = r"(?:(?:19|20)[0-9]{2}|(?:明治|大正|昭和|平成|令和|[MTSHR])\.?\s?(?:[0-9]{1,2}|元))"
_CARD = (
    rf"{_EDGE}[2-6][0-9]{{3}}(?:[ -]?[0-9]{{4}}){{3}}{_END}"
    rf"|{_EDGE}3[47][0-9]{{2}}[ -]?[0-9]{{6}}[ -]?[0-9]{{5}}{_END}"
)
_CORPORATE = rf"(?:(?<![0-9A-Za-z])T|{_EDGE})([1-9][0-9]{{12}}){_END}"
_IPV4 = r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9]|\.[0-9])(?!\s?[節項章])"
_BORN = r"(?:生年月日|誕生日|date of birth|birth ?date|DOB)[^0-9\n]{0,6}?"
_DATE = rf"{_YEAR}\s?[年/.-]\s?[0-9]{{1,2}}\s?[月/.-]\s?[0-9]{{1,2}}日?"
# What follows a label of its own.
LABELLED = Family.of(
    Form(
        "生年月日",
        re.compile(rf"{_BORN}({_DATE}|(?<![0-9])[12][0-9]{{7}}(?![0-9]))", re.I),
        ("生年月日", "誕生日", "birth", "dob"),
    ),
    Form("生年月日", re.compile(rf"({_DATE})生(?![ま誕成命起産活])"), ("日生", *(f"{n}生" for n in range(10)))),
    Form(
        "旅券番号",
        re.compile(rf"(?:旅券|パスポート|passport){_NUMBER}{_IS}([A-Z]{{2}}[0-9]{{7}})(?![0-9])", re.I),
        ("旅券", "パスポート", "passport"),
    ),
    Form("免許証番号", re.compile(rf"免許(?:証)?{_NUMBER}{_IS}(?:第\s?)?([0-9]{{12}}){_END}", re.I), ("免許",)),
    Form(
        "在留カード番号",
        re.compile(rf"在留カード{_NUMBER}{_IS}([A-Z]{{2}}[0-9]{{8}}[A-Z]{{2}})(?![A-Z0-9])", re.I),
        ("在留カード",),
    ),
    Form("年金番号", re.compile(rf"年金(?:手帳)?{_NUMBER}{_IS}([0-9]{{4}}[ -]?[0-9]{{6}}){_END}", re.I), ("年金",)),
    Form(
        "口座番号",
        re.compile(r"記号(?:番号)?\s?[:は]?\s?(1[0-9]{3}0)[ ・、,-]{0,3}(?:番号)?\s?[:は]?\s?([0-9]{1,7}1)(?![0-9])"),
        ("記号",),
    ),
    Form("口座番号", re.compile(r"ゆうちょ[^0-9\n]{0,10}(1[0-9]{3}0-[0-9]{1,7}1)(?![0-9])"), ("ゆうちょ",)),
    Form(
        "保険証番号",
        re.compile(
            r"(?:保険(?!者番号)|被保険者|組合員)[^0-9\n。]{0,12}?"
            rf"(?:記号[^0-9\n。]{{0,4}}([0-9]{{1,8}})[^0-9\n。]{{1,4}}(?:番号)?{_IS}([0-9]{{1,8}})|番号{_IS}([0-9]{{3,10}}))"
            rf"{_END}(?!円|人|件)"
        ),
        ("保険", "組合員"),
    ),
    Form(
        "口座番号",
        re.compile(
            rf"(?:口座(?:番号)?|普通(?:預金)?|当座(?:預金)?|貯蓄(?:預金)?|振込先|\(普\))\s?(?:口座)?\s?(?:番号|No\.?)?[:=は]?\s?"
            rf"(?<![0-9])(?<![0-9]-)([0-9]{{6,8}}){_END}{_COUNTED}"
        ),
        ("口座", "普通", "当座", "貯蓄", "振込先", "(普)"),
    ),
    Form(
        "メールアドレス",
        re.compile(
            r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
        ),
        ("@",),
    ),
    Form(
        "電話番号",
        re.compile(rf"(?:電話|TEL|携帯|FAX)(?:番号)?\s?[:は]?\s?(0[1-9][0-9]{{8}}){_END}", re.I),
        ("電話", "tel", "携帯", "fax"),
    ),
    Form(
        "郵便番号",
        re.compile(rf"〒\s?([0-9]{{3}}-?[0-9]{{4}}){_END}|郵便番号{_IS}([0-9]{{3}}-?[0-9]{{4}}){_END}"),
        ("〒", "郵便番号"),
    ),
)
# What its digits alone give away, in the order in which they claim their place: what is surer comes first.
BARE: tuple[Form, ...] = (
    Form("カード番号", re.compile(_CARD), (), is_card_number, _THING),
    Form("法人番号", re.compile(_CORPORATE), (), is_corporate_number, _THING),
    Form("個人番号", re.compile(rf"{_EDGE}[0-9]{{4}}[ -]?[0-9]{{4}}[ -]?[0-9]{{4}}{_END}"), (), is_my_number, _THING),
    Form(
        "電話番号",
        re.compile(
            rf"{_AFTER_WORD}(?:\+81[ -]?(?:\(0\))?[1-9]|0[1-9])[0-9]{{0,4}}"
            rf"(?:[ -][0-9]{{1,4}}[ -]|\([0-9]{{1,4}}\))[0-9]{{3,4}}{_END}"
            rf"|{_AFTER_WORD}\(0[1-9][0-9]{{0,4}}\)[ -]?[0-9]{{1,4}}-[0-9]{{4}}{_END}"
            rf"|{_AFTER_WORD}0(?:[5789]0[0-9]{{8}}|120[0-9]{{6}}|800[0-9]{{7}}|[36][0-9]{{8}}){_END}"
        ),
        (), None, _THING,
    ),
    Form("郵便番号", re.compile(rf"{_EDGE}[0-9]{{3}}-[0-9]{{4}}{_END}{_COUNTED}"), (), None, _THING),
    Form("IPアドレス", re.compile(_IPV4), (), is_ip_address, _THING),
)  # fmt: skip
_RUN = re.compile(r"[0-9+(T][0-9() .-]{6,}")


def bare_numbers(text: str, kinds: frozenset[str] | None) -> Iterator[Place]:
    """Findings of BARE: only where enough digits stand together is any of them tried."""
    runs = [(m.start(), min(m.end() + 4, len(text))) for m in _RUN.finditer(text)]
    for form in BARE:
        if runs and (kinds is None or form.kind in kinds):
            for start, end in runs:
                yield from form.places(text, start, end)
