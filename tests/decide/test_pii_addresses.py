"""Addresses with a house number are found whole; places without one stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.decide.pii import find
from so8t.decide.pii_lexicon import words


def found(text: str) -> list[str]:
    return [text[f.start : f.end] for f in find(text) if f.kind == "住所"]


@pytest.mark.parametrize(
    "address",
    [
        "東京都千代田区丸の内1-2-3",
        "東京都千代田区霞が関三丁目二番一号",
        "大阪府大阪市北区梅田3丁目1番3号",
        "横浜市中区本町6丁目50番地の10",
        "札幌市中央区北3条西6丁目",
        "北海道旭川市6条通9丁目46番地",
        "京都市中京区寺町通御池上る上本能寺前町488番地",
        "新潟県長岡市大字宮内字上田123",
        "さいたま市浦和区高砂3-15-1",
        "新宿区西新宿2-8-1",
        "愛知県名古屋市中村区名駅4-7-1 ミッドランドタワー 23階",
        "福岡市博多区博多駅前2丁目10番12号 サンハイツ博多305号室",
        "千葉県船橋市本町1-2-3 メゾン桜202",
        "東京都 港区 芝公園 4-2-8",
        "廿日市市下平良1-11-1",
        "群馬県吾妻郡草津町28番地",
    ],
)
def test_the_whole_address_and_nothing_else(address: str) -> None:
    assert found(address) == [address]
    assert found(f"住所:{address}") == [address]
    assert found(f"自宅は{address}です。") == [address]
    assert found(f"自宅は{address}、電話は不明。") == [address]


def test_a_label_in_kanji_is_not_part_of_it() -> None:
    assert found("住所横浜市中区本町6-50-10") == ["横浜市中区本町6-50-10"]


def test_full_width_digits_and_long_dashes() -> None:
    assert found("埼玉県所沢市並木１−１ー１") == ["埼玉県所沢市並木１−１ー１"]


@given(st.sampled_from(words("addresses", "prefectures")), st.integers(1, 99), st.integers(1, 99))
def test_any_prefecture(prefecture: str, first: int, second: int) -> None:
    address = f"{prefecture}桜市中央町{first}丁目{second}番地"
    assert found(f"本社は{address}にある") == [address]


@pytest.mark.parametrize(
    "text",
    [
        "東京都千代田区は官公庁が多い",
        "大阪市北区の人口は約14万人、面積は10-12平方キロ",
        "横浜市の1-2月の気温",
        "札幌市では雪が2-3か月残る",
        "神戸市の試合は2-1で終わり、浦和市立高が3-1と勝った",
        "名古屋市内の小学校3-4年生",
        "市区町村別の表1-1、村上市の図2-3",
        "2丁目の角、五丁目商店街、八丁目まで",
        "町の面積は2020-2021年に増えた",
        "港区で3番目に高い建物",
    ],
)
def test_places_and_counts_stay(text: str) -> None:
    assert found(text) == []


def test_there_are_47_prefectures() -> None:
    assert len(set(words("addresses", "prefectures"))) == 47
