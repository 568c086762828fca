"""How a scene becomes text: verbs, blends, pastes; nothing but the act tells the three texts of a group apart."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.data.lexicon import load_lexicon
from so8t.build.data.registers import Ask, Circumstance, Message, compose
from so8t.build.data.synth_answer import promise
from so8t.build.data.synth_context import LONGEST, in_context
from so8t.build.data.synth_scene import KINDS, Scene, draw_scene
from so8t.build.data.synth_text import asking_leave, write_text
from so8t.build.data.verbs import wanted
from so8t.core.types import DECISIONS, Decision, Domain, Levels

LEXICON = load_lexicon()
SLOTS = {
    "unit": "総務", "other": "受付", "subject": "看板", "partner": "印刷会社", "boss": "課長",
    "colleague": "新しい係員", "date": "4月1日", "hour": "10", "n": "3",
}  # fmt: skip


def scenes(count: int) -> list[Scene]:
    return [draw_scene(LEXICON, Levels(), list(Domain)[n % 8], f"t/{n}") for n in range(count)]


@pytest.mark.parametrize(
    ("te", "stem"),
    [
        ("資料を送って", "資料を送り"), ("株を買って", "株を買い"), ("朝まで待って", "朝まで待ち"),
        ("三行に要約して", "三行に要約し"), ("一人を選んで", "一人を選び"), ("段取りを組んで", "段取りを組み"),
        ("文を書いて", "文を書き"), ("表にまとめて", "表にまとめ"),
        ("やり方を教えて", "やり方を知り"), ("こっそり見せて", None), ("お願い", None),
    ],
)  # fmt: skip
def test_stem_of_a_wish(te: str, stem: str | None) -> None:
    assert wanted(te) == stem


def test_promise_is_a_sentence_of_the_answerer() -> None:
    assert promise("表を作って") == "表を作ります"
    assert promise("手順を教えて") == "手順を説明します"


def test_one_request_in_three_grammars() -> None:
    message = Message("敬体", "表を作って", "表の作成", document="台帳", why=Circumstance("急ぐ", "急ぎ", "ので、"))
    asks = {"te": Ask("te", "ください。"), "want": Ask("want", "たいです。"), "noun": Ask("noun", "をお願いします。")}
    texts = {
        form: compose(Message("敬体", message.te, message.noun, ask, message.document)) for form, ask in asks.items()
    }
    assert texts == {
        "te": "表を作ってください。",
        "want": "表を作りたいです。",
        "noun": "台帳の件で、表の作成をお願いします。",
    }


def test_the_circumstance_stands_before_or_after() -> None:
    why = Circumstance("会議で使う", "会議", "ためです。", last=True)
    assert (
        compose(Message("敬体", "表を作って", "表", Ask("te", "ください。"), why=why))
        == "表を作ってください。会議で使うためです。"
    )


def test_every_kind_of_scene_is_drawn() -> None:
    assert {scene.kind for scene in scenes(400)} == set(KINDS)
    assert {scene.blend for scene in scenes(400)} == {"", "one", "two"}


def test_a_blend_names_what_is_not_wanted() -> None:
    """In a full blend each of the three texts holds something of the three acts, so only their order decides."""
    blended = [s for s in scenes(600) if s.blend == "two" and s.attack is None and s.register != "誤字"]
    assert blended
    for scene in blended:
        for decision in DECISIONS:
            text = write_text(LEXICON, scene, decision).replace("いいか", "よいか")
            for other in DECISIONS:
                act = scene.act(other)
                heads = {name.format(**{**scene.slots, "doc": ""})[-6:-1] for name in (act.te, act.noun)}
                assert other is decision or any(head in text for head in heads), (scene.key, text, heads)


def test_texts_of_a_group_differ() -> None:
    for scene in scenes(300):
        texts = {write_text(LEXICON, scene, d) for d in DECISIONS}
        assert len(texts) == 3 or scene.kind == "level", scene.key


@given(st.integers(0, 10**6), st.sampled_from(list(Domain)))
def test_a_paste_leaves_the_request_as_it_is(seed: int, domain: Domain) -> None:
    text = "名簿の並べ方を教えてください。"
    pasted = in_context(LEXICON, domain, text, SLOTS, random.Random(seed))
    assert pasted.count(text) == 1 and len(pasted) > len(text) + 30
    assert len(pasted) < LONGEST + 200 and "{" not in pasted


def test_leave_is_asked_for_openly_now_and_then() -> None:
    message = Message("敬体", "便に出してよいか決めて", "便に出す可否", Ask("te", "ください。"))
    texts = {compose(asking_leave(LEXICON, message, random.Random(n))) for n in range(60)}
    assert {"便に出してよいか決めてください。", "便に出していいですか。"} <= texts
    assert all(text.startswith("便に出して") for text in texts)
    other = replace(message, te="便に出す文を書いて")
    assert all(asking_leave(LEXICON, other, random.Random(n)) == other for n in range(60))


def test_about_a_quarter_stand_in_a_paste() -> None:
    share = sum(s.context for s in scenes(1500)) / 1500
    assert 0.2 < share < 0.35


def test_the_three_of_a_group_share_their_wrapper() -> None:
    wrapped = [s for s in scenes(900) if s.attack in ("role_play", "injection", "false_authority") and not s.context]
    assert wrapped
    for scene in wrapped:
        assert len({write_text(LEXICON, scene, d)[:7] for d in DECISIONS}) == 1, scene.key


def test_level_scenes_differ_in_levels_only_by_law() -> None:
    for scene in (s for s in scenes(800) if s.kind == "level"):
        gaps = {d: Levels().gap(*scene.levels[d]) for d in DECISIONS}
        assert gaps[Decision.ALLOW] <= 0 and gaps[Decision.ESCALATE] == 1
        assert gaps[Decision.DENY] == (1 if scene.secret else gaps[Decision.DENY]) >= (1 if scene.secret else 2)
