"""Names are masked where their surroundings show a person, and the same words elsewhere stay. All are made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.decide.pii import find, mask
from so8t.decide.pii_lexicon import words


def found(text: str) -> list[str]:
    return [text[f.start : f.end] for f in find(text) if f.kind == "氏名"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("山田太郎様の検査", ["山田太郎"]),
        ("山田 太郎 様", ["山田 太郎"]),
        ("佐藤さんと鈴木さん", ["佐藤", "鈴木"]),
        ("本部長谷川さん", ["長谷川"]),
        ("営業部長谷川様", ["長谷川"]),
        ("高橋課長に聞く", ["高橋"]),
        ("森部長", ["森"]),
        ("田中花子氏", ["田中花子"]),
        ("小林さくらさん", ["小林さくら"]),
        ("タナカ様", ["タナカ"]),
        ("伊藤と申します", ["伊藤"]),
        ("総務部の加藤です。", ["加藤"]),
        ("千葉さん", ["千葉"]),
        ("王さん", ["王"]),
    ],
)
def test_before_an_honorific(text: str, names: list[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("氏名:渡辺直美", ["渡辺直美"]),
        ("氏名:龍門 渚砂", ["龍門 渚砂"]),  # neither is in a list
        ("患者名:中村 悠斗、45歳", ["中村 悠斗"]),
        ("フリガナ:ヤマダ タロウ", ["ヤマダ タロウ"]),
        ("ふりがな:やまだ たろう", ["やまだ たろう"]),
        ("お名前:ジョン・スミス", ["ジョン・スミス"]),
        ("担当:吉田、松本、森田", ["吉田", "松本", "森田"]),
        ("担当(夜間):吉田", ["吉田"]),
        ("担当者は井上です", ["井上"]),
        ("主治医の清水が診る", []),  # also a word
        ("患者の木村が来た", ["木村"]),
        ("責任者:千葉", ["千葉"]),
        ("連絡先:千葉", []),
    ],
)
def test_after_a_label(text: str, names: list[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("|1|阿部翔太|済|", ["阿部翔太"]),
        ("原 健太\t出席", ["原 健太"]),
        ("記入(藤田 美咲)", ["藤田 美咲"]),
        ("以上です。\n中島裕子\n総務部", ["中島裕子"]),
        ("前田陽子,42,東京", ["前田陽子"]),
        ("監督(黒澤明)の作品", []),
        ("手塚治虫、石ノ森章太郎が住んだ", []),
        ("上野 中野 品川", []),
    ],
)
def test_alone_in_a_field(text: str, names: list[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "皆様、お客様、神様、王様、奥様",
        "仕様が様々で、同様の模様と様式がある",
        "藤原氏と北条氏、両氏と同氏",
        "八百屋さんと看護師さんとお母さん",
        "徳川家康と夏目漱石と野口英世",
        "田中という姓は多い。小林製薬と高橋工業。",
        "千葉支店長会議、東部長寿会、森林課長会議、関係部長",
        "福島支店長と石川局長",
        "担当は営業部です。患者は安静に。氏名:(必須)、担当:総務課",
        "山田商店様と松本電子様と中央病院様",
        "関するさまざまな論点",
        "石川県と福井県の境、山中の平野",
        "林業課の担当:林業課",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert found(text) == []


def test_a_masked_name_leaves_its_honorific() -> None:
    assert mask("山田太郎様と佐藤さん")[0] == "［氏名］様と［氏名］さん"


@given(
    st.sampled_from(words("names", "surnames")),
    st.sampled_from(words("names", "given")),
    st.sampled_from(["", " ", "\u3000"]),
    st.sampled_from(["さん", "様", "氏", "課長"]),
)
def test_any_listed_full_name_is_found_before_any_mark(surname: str, given_name: str, space: str, mark: str) -> None:
    name = f"{surname}{space}{given_name}"
    assert found(f"それを{name}{mark}に渡す") == [name]


@given(st.sampled_from(words("names", "surnames")), st.sampled_from(words("names", "given")))
def test_no_listed_name_is_found_in_prose(surname: str, given_name: str) -> None:
    assert found(f"作家の{surname}{given_name}が書いた本を、多くの人が読んだ。") == []


def test_the_lists_say_each_word_once() -> None:
    for name in ("surnames", "words", "clans", "given", "readings", "titles", "fields", "roles", "spoken"):
        listed = words("names", name)
        assert len(listed) == len(set(listed)), name
    assert len(words("names", "surnames")) >= 500 and len(words("names", "given")) >= 400
    assert {*words("names", "local_titles")} <= {*words("names", "titles")}
