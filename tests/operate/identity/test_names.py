"""Names have one spelling, and nothing in them forges a line or hides."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import AccountInvalid
from so8t.operate.identity.names import MAX_NAME, MAX_RAW, folded, normal_group, normal_name


@given(st.text(max_size=80))
def test_a_name_that_passes_is_stable_and_printable(raw: str) -> None:
    try:
        name = normal_name(raw)
    except AccountInvalid as error:
        assert raw.strip() == "" or len(raw) < 3 or raw not in str(error)
        return
    assert normal_name(name) == name
    assert 1 <= len(name) <= MAX_NAME
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in name)
    assert "\r" not in name and "\n" not in name
    assert folded(folded(name)) == folded(name)


@pytest.mark.parametrize(
    "raw",
    ["", " ", "taro\r\nX-Role: admin", "taro\n", "ta\x00ro", "ta\u202ero", "ta\u200bro", "ta\u2028ro", "\ud800",
     "ta\ufe0fro", "\u3164", "a  b", "\ue000", "x" * (MAX_NAME + 1), "x" * (MAX_RAW + 1), "ﷺ" * 60,
     "\ufeffroot", "ta\x85ro"],
)  # fmt: skip
def test_refused(raw: str) -> None:
    with pytest.raises(AccountInvalid):
        normal_name(raw)


def test_width_and_case_tell_nobody_apart() -> None:
    assert normal_name("ＴＡＲＯ") == "TARO" and normal_name("ﾀﾛｳ") == "タロウ" == normal_name("  タロウ ")
    assert folded("TARO") == folded("taro") and folded("STRASSE") == folded("straße")
    assert normal_name("山田\u3000太郎") == "山田 太郎"
    assert normal_group("CN=SO8T-Users,OU=東京") == "cn=so8t-users,ou=東京"
