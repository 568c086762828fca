"""Prose is kept, junk is not, and the reason is the right one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.data.collect import starter_documents
from so8t.build.data.junk import kinds, phrases_of, stuffing_of
from so8t.build.data.quality import plan_score, quality, score, score_many
from so8t.build.data.signatures import shingle_hashes
from so8t.core.config import CollectConfig
from so8t.decide.codes import encode, encode_folded
from so8t.decide.linear import LONGEST, grams

LEAST = CollectConfig().minimum_quality
GOOD = (
    "発言を一言も漏らさず書き取った議事録は、苦労の割に読まれない。読み手が知りたいのは、何が決まり、誰がいつまでに何をし、"
    "何が決まらずに残ったかの三つである。したがって冒頭に決定事項と宿題を置き、経緯はその後に短く添えるとよい。"
    "ただし、反対意見が出た末に決まった案件では、反対の理由も残しておく。半年後に前提が変わったとき、なぜ別の案を退けたのかが"
    "分かれば、同じ議論を初めからやり直さずに済むからだ。"
)
REPEATED = "本日は晴天なり、機材の点検を行います。" * 20
CHINESE = (
    "会议记录的目的不是逐字记录发言,而是说明决定了什么、由谁在何时之前完成、还有哪些问题没有解决。因此应当把决定事项放在最前面,"
    "经过放在后面简单说明。但是经过反对意见才决定的事项,应当保留反对的理由。半年以后前提发生变化时,就不必重新讨论。"
)
MOJIBAKE = "".join(GOOD[:60].encode("utf-8").decode("cp932", "replace")) + GOOD[:40]
WORDS = (
    "点検、整備、運航、耐空性、部品、交換、記録、証明、管理、教育、訓練、審査、手順、様式、帳票、工具、校正、検査、承認、発行、"
    * 3
)
STUFFED = "格安レンタカーなら格安レンタカーの格安レンタカー。" + "".join(
    f"格安レンタカーを{place}で借りるなら格安レンタカーが便利。"
    for place in ("東", "西", "南", "北", "港", "駅", "空", "宿", "湖", "山", "森", "川")
)
NAVIGATION = (
    "ホーム > 会社案内 > 採用情報 | お問い合わせ | サイトマップ | プライバシーポリシー | 利用規約 | よくあるご質問 | "
    "新着情報 | ログイン | 会員登録 | カート | 特集一覧"
)

NOTICE = (
    "当サイトではクッキーを使用しています。利用規約とプライバシーポリシーに同意のうえご利用ください。掲載内容の無断転載を禁じます。"
    "当社は損害について一切の責任を負いません。予告なく変更することがあります。あらかじめご了承ください。"
)
ADVERT = "今だけ初回半額!口コミで話題の商品を、この機会にぜひお試しください!送料無料、返金保証つき。先着百名様限定です!"
ABOUT_COOKIES = (
    "クッキーは、ウェブサイトが利用者の端末に残す小さな文字の記録である。次に訪れたときに同じ人だと分かるように使われ、買い物かごの"
    "中身や表示の設定を覚えておく役目を果たす。クッキーには期限があり、切れると自動的に消える。クッキーの中身は、同じ持ち主の頁だけが読める。"
)


def shuffled(text: str) -> str:
    letters = list(text)
    random.Random(1).shuffle(letters)
    return "".join(letters)


def test_good_prose_is_kept_without_a_reason() -> None:
    assert score(GOOD).value == 1.0 and score(GOOD).reasons == ()


def test_the_starter_corpus_is_kept() -> None:
    texts = [d.text for d in starter_documents()]
    folded = encode_folded(texts)
    found = score_many(texts, encode(texts), shingle_hashes(folded), grams(folded, LONGEST))
    low = [(t[:40], found.reasons(i)) for i, t in enumerate(texts) if found.value[i] < LEAST]
    assert len(low) <= 0.01 * len(texts), low


def test_many_are_scored_as_each_alone() -> None:
    texts = [GOOD, REPEATED, CHINESE, NOTICE, STUFFED, "短い。", GOOD]
    folded = encode_folded(texts)
    found = score_many(texts, encode(texts), shingle_hashes(folded), grams(folded, LONGEST))
    for i, text in enumerate(texts):
        assert found.value[i] == score(text).value and found.reasons(i) == score(text).reasons


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (REPEATED, "repetition"),
        (NOTICE, "legal notice"),
        (ADVERT, "advertising"),
        (CHINESE, "Chinese"),
        (MOJIBAKE, "mojibake"),
        (WORDS, "do not end"),
        (STUFFED, "stuffing"),
        (NAVIGATION, "many symbols"),
        ("English only. " * 20, "little Japanese"),
        ("", "empty"),
        (" \n\t", "empty"),
        ("はい。", "short"),
        ("あ" * 300, "do not end"),
        ("あ。" * 60, "full stops"),
        (shuffled(GOOD), "in no order"),
    ],
    ids=[
        "repeated",
        "notice",
        "advert",
        "chinese",
        "mojibake",
        "words",
        "stuffed",
        "navigation",
        "english",
        "empty",
        "blank",
        "short",
        "one letter",
        "stops",
        "shuffled",
    ],
)
def test_junk_is_dropped_with_its_reason(text: str, word: str) -> None:
    found = score(text)
    assert found.value < LEAST, found
    assert any(word in en for _, en in found.reasons), found
    assert all(ja and en and ja != en for ja, en in found.reasons)


def test_every_reason_takes_something_off() -> None:
    worse = score("はい。 menu | login | top")
    assert len(worse.reasons) > 1 and worse.value < score("はい。").value + 1e-9


@given(st.text(max_size=400))
def test_any_text_has_a_score(text: str) -> None:
    for scorer in ("so8t", "plan"):
        assert 0.0 <= quality(text, scorer).value <= 1.0


def test_the_plans_score_by_hand() -> None:
    """Plan 3.1: 0.3 for 100-1000 characters, 0.4 x Japanese share, 0.2 for punctuation, 0.1 for variety of words."""
    assert plan_score("") == 0.0
    assert plan_score("あ" * 100) == pytest.approx(0.3 + 0.4 + 0.1)
    assert plan_score("あ" * 10) == pytest.approx(0.4 + 0.1)
    assert plan_score("a" * 100) == pytest.approx(0.3 + 0.1)
    text = "あ" * 98 + "、。"
    assert plan_score(text) == pytest.approx(0.3 + 0.4 * 0.98 + 0.2 + 0.1)
    assert plan_score("a a a a " * 20) == pytest.approx(0.3 + 0.0)


def test_the_scorer_is_chosen_by_name() -> None:
    assert quality(REPEATED, "plan").value != quality(REPEATED, "so8t").value
    assert quality(GOOD, "so8t") == score(GOOD)


def test_a_text_about_a_thing_is_not_the_thing() -> None:
    assert score(ABOUT_COOKIES).value == 1.0 and phrases_of(ABOUT_COOKIES) is None
    assert phrases_of(NOTICE * 3) and stuffing_of(GOOD) is None


def test_every_kind_has_phrases_of_its_own() -> None:
    words = [word for kind in kinds() for word in kind.words]
    assert len(words) == len(set(words)) > 150 and all(word.strip() == word and len(kinds()) == 4 for word in words)


def test_one_phrase_many_times_convicts_nobody() -> None:
    assert phrases_of("同意" * 50) is None and phrases_of("") is None
