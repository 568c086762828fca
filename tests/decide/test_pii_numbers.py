"""Numbers by their label, form and check digit. All numbers are made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.decide.pii import find
from so8t.decide.pii_numbers import is_card_number, is_corporate_number, is_ean, is_my_number


def found(text: str) -> list[tuple[str, str]]:
    return [(f.kind, text[f.start : f.end]) for f in find(text)]


@pytest.mark.parametrize(
    ("kind", "text", "values"),
    [
        ("生年月日", "生年月日:1985年4月12日", ["1985年4月12日"]),
        ("生年月日", "生年月日 昭和45年10月3日 男", ["昭和45年10月3日"]),
        ("生年月日", "生年月日(西暦):1978.11.02", ["1978.11.02"]),
        ("生年月日", "生年月日:19781102", ["19781102"]),
        ("生年月日", "DOB: 1990-01-31", ["1990-01-31"]),
        ("生年月日", "S55.3.9生", ["S55.3.9"]),
        ("旅券番号", "旅券番号:TK1234567", ["TK1234567"]),
        ("旅券番号", "Passport No. MZ7654321", ["MZ7654321"]),
        ("免許証番号", "運転免許証番号 301234567890", ["301234567890"]),
        ("在留カード番号", "在留カード番号:AB12345678CD", ["AB12345678CD"]),
        ("年金番号", "基礎年金番号:1234-567890", ["1234-567890"]),
        ("保険証番号", "保険証 記号 1234 番号 567890", ["1234", "567890"]),
        ("保険証番号", "被保険者番号:0012345678", ["0012345678"]),
        ("口座番号", "記号 12340 番号 12345671", ["12340", "12345671"]),
        ("口座番号", "ゆうちょ銀行 12340-12345671", ["12340-12345671"]),
        ("口座番号", "本町支店(普)1234567", ["1234567"]),
        ("電話番号", "TEL03-1234-5678", ["03-1234-5678"]),
        ("郵便番号", "郵便番号は1000001", ["1000001"]),
        ("法人番号", "登録番号T4010001234567", ["4010001234567"]),
    ],
)
def test_each_labelled_number(kind: str, text: str, values: list[str]) -> None:
    assert found(text) == [(kind, value) for value in values]


@pytest.mark.parametrize(
    "text",
    [
        "1985年4月12日の地震、1945年8月15日生まれの作家",
        "製造年月日:2023年10月5日、昭和60年5月6日生産",
        "旅券番号は英字2文字と数字7桁、免許証番号は12桁",
        "TK1234567 という型",
        "年金 1234567890123 円",
        "保険者番号 06132013",
        "保険料は 12345 円、保険金 5000000 円",
        "記号 A、番号 3 の図、記号論の入門書を10冊",
        "普通預金 1234567円を引き出した",
        "普通列車は 1200000 人が利用",
        "ISBN 9784003101018、JANコード 4901234567894",
        "注文番号 234567890121、シリアル番号 4111111111111111",
        "品番:123-4567、図番 530-0001、部品番号 0312-34-5678",
        "100-2000円、256-1024 文字、400-5000Hz",
        "version 1.2.3.4、バージョン 10.1.2.3、第1.2.3.4節",
        "0.4111111111111111 と 1234567890123456789",
    ],
)
def test_numbers_of_things_stay(text: str) -> None:
    assert found(text) == []


@given(st.integers(10**11, 10**12 - 1))
def test_one_check_digit_in_ten_fits(body: int) -> None:
    assert sum(is_ean(f"{body}{d}") for d in range(10)) == 1
    assert sum(is_my_number(f"{str(body)[:11]}{d}") for d in range(10)) == 1
    assert sum(is_card_number(f"{body}000{d}") for d in range(10)) == 1


def test_a_book_is_no_company() -> None:
    isbn = next(f"978{n:09d}{d}" for n in range(1000) for d in range(10) if _both(f"978{n:09d}{d}"))
    assert not is_corporate_number(isbn)


def _both(number: str) -> bool:
    """Valid as an ISBN and, but for being one, as a corporate number."""
    first, *rest = map(int, number)
    return is_ean(number) and first == 9 - sum(d * (1 + n % 2) for n, d in enumerate(reversed(rest))) % 9
