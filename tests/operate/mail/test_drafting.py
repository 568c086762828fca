"""A draft says every point and invents nothing, as politely as ordered; outside or too secret, a person decides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import ConfigValueInvalid, RecordInvalid
from so8t.core.packaged import policy_text
from so8t.core.serve_config import MailConfig
from so8t.core.types import Decision
from so8t.decide.policy import parse_policy
from so8t.operate.held import unheard
from so8t.operate.mail.drafting import PHRASES, draft, subject
from so8t.operate.mail.making import LEVEL_RULE, OUTSIDE_RULE, floors, highest_inside
from so8t.operate.mail.order import MOST_POINTS, MOST_RECIPIENTS, Order, Recipient, Register
from so8t.operate.mail.politeness import politeness

POLICY = parse_policy(*policy_text("demo"))
COMPANY = MailConfig(("example.co.jp",))
BODY = {
    "purpose": "定例会議の日程変更を連絡する",
    "to": ["田中一郎 <tanaka@example.co.jp>"],
    "points": ["定例会議は十二月三日の十五時からに変わります", "会議室は三階のままです"],
    "sender": "総務課 佐藤",
}


def order(**more: Any) -> Order:
    return Order.from_json(BODY | more)


@given(
    st.sampled_from(list(Register)),
    st.lists(st.sampled_from(["締切は十日です", "資料を添付します", "ご出欠をお知らせください"]), max_size=5),
)
def test_the_draft_of_the_order_alone_says_every_point(register: Register, points: list[str]) -> None:
    made = draft(order(register=register.value, points=points))
    assert made.written == "order" and not made.missing
    assert all(point in made.body for point in points)
    told = [BODY["purpose"], *points, BODY["sender"], PHRASES, "田中一郎"]
    assert not [word for word in unheard(made.body, told) if not word.isdigit()]
    assert "{" not in made.body and made.body.startswith("田中一郎")


def test_a_models_body_is_used_where_it_holds() -> None:
    body = "定例会議は十二月三日の十五時からに変わりますので、ご予定をお願いいたします。会議室は三階のままです。"
    made = draft(order(), body)
    assert (made.written, made.missing) == ("model", ()) and body in made.body
    assert made.subject == "定例会議の日程変更のご連絡"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "定例会議は十二月三日の十五時からに変わります。よろしくお願いいたします。",  # one point is missing
        "定例会議は十二月四日の十五時からに変わります。会議室は三階のままです。お願いいたします。",  # another day
        "定例会議は十二月三日の十五時からに変わります。会議室は三階のままです。ケーキをお持ちします。",  # its own
        "定例会議は十二月三日の十五時からに変わる。会議室は三階のままだ。来い。",  # not polite
    ],
)
def test_a_models_body_that_does_not_hold_is_not_used(body: str) -> None:
    made = draft(order(), body)
    assert made.written == "order" and all(point in made.body for point in BODY["points"])


def test_registers_differ_and_are_as_polite_as_they_say() -> None:
    made = {register: draft(order(register=register.value)) for register in Register}
    assert len({one.body for one in made.values()}) == len(Register)
    for register, one in made.items():
        assert one.politeness.fits(register) and not one.politeness.notes, (register, one)
    assert made[Register.HUMBLE].politeness.humble >= made[Register.POLITE].politeness.humble


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("社長がおっしゃられました。", "二重敬語"),
        ("資料を拝見させていただきました。", "二重の謙譲"),
        ("了解しました。", "承知しました"),
        ("ご苦労様です。", "お疲れさま"),
        ("営業部各位様", "敬称"),
    ],
)
def test_wrong_keigo_is_noted(text: str, said: str) -> None:
    assert any(said in note for note in politeness(text).notes)


@pytest.mark.parametrize("text", ["承知いたしました。ご覧ください。", "資料を拝見しました。", "総務部御中"])
def test_right_keigo_is_not(text: str) -> None:
    assert politeness(text).notes == ()


@pytest.mark.parametrize(
    ("purpose", "heading"),
    [
        ("会議室の変更を連絡する", "会議室の変更のご連絡"),
        ("見積もりを依頼する", "見積もりのご依頼"),
        ("資料を送る。", "資料の送付"),
        ("あ" * 100, "あ" * 39 + "…"),
    ],
)
def test_subject(purpose: str, heading: str) -> None:
    assert subject(order(purpose=purpose)) == heading


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("a@example.co.jp", True),
        ("a@EXAMPLE.CO.JP", True),
        ("a@tokyo.example.co.jp", True),
        ("a@notexample.co.jp", False),
        ("a@example.co.jp.evil.example", False),
        ("a@example.com", False),
    ],
)
def test_who_is_outside(address: str, inside: bool) -> None:
    assert Recipient(address).inside(COMPANY.domains) is inside
    found = floors(order(to=[address]), None, POLICY, COMPANY)
    assert [one.rule for one in found] == ([] if inside else [OUTSIDE_RULE])


@pytest.mark.parametrize(
    "to",
    [
        "a@example.co.jp, boss@evil.example", "a@example.co.jp;boss@evil.example",
        "a@example.co.jp <boss@evil.example>", "Bob <a@example.co.jp> <b@evil.example>",
        "grp: a@example.co.jp, b@evil.example;",
        "<@evil.example:a@example.co.jp>", "boss%evil.example@example.co.jp", "evil.example!boss@example.co.jp",
        "a@example.co.jp\u3000b@evil.example", "a@example.co.jp.", "(b@evil.example) a@example.co.jp",
    ],
)  # fmt: skip
def test_no_second_address_hides_behind_the_first(to: str) -> None:
    with pytest.raises(RecordInvalid):
        order(to=[to])


def test_names_stand_before_addresses() -> None:
    made = order(to=["田中 一郎 <tanaka@example.co.jp>", "<b@example.co.jp>", "c@example.co.jp"])
    assert [(r.name, r.address) for r in made.recipients] == [
        ("田中 一郎", "tanaka@example.co.jp"), ("", "b@example.co.jp"), ("", "c@example.co.jp"),
    ]  # fmt: skip


def test_an_order_is_no_longer_than_what_is_judged() -> None:
    with pytest.raises(RecordInvalid, match="together"):
        order(points=["あ" * 500] * 20, to=[f"{'a' * 60}{n}@{'b' * 60}.example.co.jp" for n in range(50)])


def test_one_outside_of_many_is_enough_and_without_a_company_all_are() -> None:
    found = floors(order(to=["a@example.co.jp", "b@example.com"]), None, POLICY, COMPANY)
    assert [(one.rule, one.decision) for one in found] == [(OUTSIDE_RULE, Decision.ESCALATE)]
    assert floors(order(), None, POLICY, MailConfig())[0].rule == OUTSIDE_RULE


@pytest.mark.parametrize(("level", "rule"), [("公開", []), ("社内限定", []), ("部外秘", [LEVEL_RULE])])
def test_levels(level: str, rule: list[str]) -> None:
    assert [one.rule for one in floors(order(), level, POLICY, COMPANY)] == rule


def test_a_configured_level_must_exist() -> None:
    assert highest_inside(POLICY, MailConfig(highest="極秘")) == "極秘"
    with pytest.raises(ConfigValueInvalid):
        highest_inside(POLICY, MailConfig(highest="最高機密"))


@pytest.mark.parametrize(
    "more",
    [
        {"to": []}, {"to": "a@example.com"}, {"to": ["なし"]}, {"to": ["a@b"]}, {"to": ["a@例え.jp"]}, {"to": [3]},
        {"to": ["a@example.com\r\nBcc: b@example.com"]}, {"to": ["a@example.com"] * (MOST_RECIPIENTS + 1)},
        {"to": ['"x, y" <a@example.com>']}, {"purpose": ""}, {"purpose": 3}, {"purpose": "x" * 301},
        {"points": ["x"] * (MOST_POINTS + 1)}, {"points": ["x" * 501]}, {"points": "x"}, {"register": "乱暴"},
        {"register": 3}, {"sender": "x" * 101}, {"reply": "x" * 20_001}, {"words": 1},
    ],
)  # fmt: skip
def test_bad_orders(more: dict[str, Any]) -> None:
    with pytest.raises(RecordInvalid):
        order(**more)


def test_an_order_survives_its_own_json() -> None:
    one = order(register="丁重", reply="元のメール")
    assert Order.from_json(one.to_json()) == one
