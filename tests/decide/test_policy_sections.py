"""[answer], [review], [reading] and [end] of a policy: what they hold, and that a bad one is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import so8t
from so8t.core.errors import PolicyInvalid
from so8t.core.types import Domain
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.policy_sections import MAXIMUM_ENTRIES, AnswerPolicy, ReadingPolicy, ReviewPolicy

FOLDER = Path(so8t.__file__).parent / "resources" / "policies"
DEMO = (FOLDER / "demo.toml").read_text(encoding="utf-8")
HEAD, REST = DEMO.split("\n[review]\n", 1)
BARE = HEAD + "\n# 区分の読み取り" + REST.split("\n# 区分の読み取り", 1)[1]
RULES = len(parse_policy(DEMO, "demo.toml").rules)
ANSWER = """
[answer]
canaries = ["CANARY-7f3a-0001", "目印の文字列その二です"]
[[answer.forbidden]]
regex = '《秘密》.{0,10}は以下のとおり'
reason = "資料の中身を写しています。"
"""
REVIEW = """
[review]
deadline_hours = 12
[[review.targets]]
name = "情報管理責任者"
reviewers = ["suzuki", "@soumu"]
[[review.four_eyes]]
levels = ["極秘"]
[[review.four_eyes]]
domains = ["medical"]
rules = ["payee-change", "clearance"]
"""
END = f"\n[end]\nrules = {RULES}\n"
WHOLE = BARE + ANSWER + REVIEW + END


@pytest.fixture(scope="module")
def whole() -> Policy:
    return parse_policy(WHOLE, "p.toml")


def refused(text: str) -> PolicyInvalid:
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(text, "p.toml")
    return caught.value


def test_without_the_sections_nothing_is_forbidden_and_anybody_reviews_within_a_day() -> None:
    policy = parse_policy(BARE, "p.toml")
    assert policy.answer == AnswerPolicy() and policy.review == ReviewPolicy() and not policy.complete
    assert policy.review.deadline_hours == 24 and policy.review.reviewers_of("情報管理責任者") == ()
    assert not policy.review.needs_two("極秘", Domain.MEDICAL, ["payee-change"])


def test_what_the_sections_hold(whole: Policy) -> None:
    (term,) = whole.answer.forbidden
    assert term.pattern.found("名簿の中身は以下のとおりです") and not term.pattern.found("本日は晴れ")
    assert whole.answer.canaries == ("CANARY-7f3a-0001", "目印の文字列その二です")
    assert whole.review.deadline_hours == 12 and whole.complete
    assert whole.review.reviewers_of("情報管理責任者") == ("suzuki", "@soumu")
    assert whole.review.reviewers_of("上長") == () == whole.review.reviewers_of(None)


@pytest.mark.parametrize(
    ("classification", "domain", "rules", "two"),
    [
        ("極秘", Domain.GENERAL, [], True),
        ("部外秘", Domain.GENERAL, ["publish"], False),
        (None, Domain.MEDICAL, [], True),
        (None, None, [], True),
        (None, Domain.FINANCE, ["publish", "payee-change"], True),
        (None, Domain.FINANCE, ["clearance"], True),
        (None, Domain.FINANCE, [], False),
    ],
)
def test_any_of_a_level_a_domain_or_a_rule_needs_two(
    whole: Policy, classification: str | None, domain: Domain | None, rules: list[str], two: bool
) -> None:
    assert whole.review.needs_two(classification, domain, rules) is two


def test_a_canary_is_shown_nowhere(whole: Policy) -> None:
    assert "CANARY" not in repr(whole.answer) and "CANARY" not in repr(whole)
    short = refused(WHOLE.replace("CANARY-7f3a-0001", "SECRET7"))
    assert "SECRET7" not in str(short) and "canary 1" in short.detail


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        ("regex = '《秘密》", "regex = '《ひみつ》", "《ひみつ》", "word list"),
        ("'《秘密》.{0,10}は以下のとおり'", "'(x+)+y'", "(x+)+y", "exponential"),
        (
            'reason = "資料の中身を写しています。"',
            'raeson = "資料"',
            "[[answer.forbidden]]",
            "answer.forbidden[0].reason: missing",
        ),
        ("canaries =", "canary =", "canary =", "canaries?"),
        ('"目印の文字列その二です"', '"CANARY-7f3a-0001"', "canaries =", "different"),
        ("deadline_hours = 12", "deadline_hours = 0", "deadline_hours = 0", "not in"),
        ("deadline_hours = 12", 'deadline_hours = "12"', "deadline_hours =", "number expected"),
        ("deadline_hours = 12", "deadline = 12", "deadline = 12", "deadline_hours?"),
        ('name = "情報管理責任者"', 'name = "情報管理責任"', 'name = "情報管理責任"', "情報管理責任者?"),
        ('["suzuki", "@soumu"]', "[]", "reviewers = []", "at least one"),
        ('["suzuki", "@soumu"]', '["suzuki", "suzuki"]', "reviewers =", "each once"),
        ('["suzuki", "@soumu"]', '["suzuki", "鈴木 一郎"]', "reviewers =", "user name or @group"),
        ('["suzuki", "@soumu"]', '["@"]', "reviewers =", "user name or @group"),
        ('levels = ["極秘"]\n[[review', 'levels = ["極密"]\n[[review', '"極密"', "unknown '極密'"),
        ('domains = ["medical"]', 'domains = ["medicine"]', '"medicine"', "medical?"),
        ('rules = ["payee-change"', 'rules = ["payee-chnge"', '"payee-chnge"', "payee-change?"),
        ('levels = ["極秘"]\n[[review', "levels = []\n[[review", "levels = []", "at least one"),
        (f"rules = {RULES}", f"rules = {RULES - 1}", f"rules = {RULES - 1}", f"{RULES} found"),
        (f"rules = {RULES}", f"rules = {RULES}\nlast = true", "last = true", "unknown key"),
        (f"rules = {RULES}", "", "[end]", "rules: missing"),
    ],
)
def test_a_bad_section_is_refused_with_its_line(old: str, new: str, at: str, says: str) -> None:
    assert WHOLE.count(old) == 1
    text = WHOLE.replace(old, new)
    error = refused(text)
    assert says in error.detail, error.detail
    line = int(error.where.removeprefix("p.toml:"))
    assert at in text.splitlines()[line - 1], (error.where, error.detail)


def test_end_stands_last() -> None:
    assert "must stand last" in refused(BARE + END + ANSWER).detail
    assert "must stand last" in refused(f"end = {{ rules = {RULES} }}\n{BARE}").detail


def test_limits() -> None:
    many = "".join(f"[[answer.forbidden]]\nregex = 'x{n}'\nreason = 'r'\n" for n in range(MAXIMUM_ENTRIES + 1))
    assert f"> {MAXIMUM_ENTRIES}" in refused(BARE + "\n[answer]\n" + many).detail
    long = refused(WHOLE.replace("CANARY-7f3a-0001", "x" * 201))
    assert "8 to 200" in long.detail


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_cut_off_anywhere_is_never_taken_for_whole(cut: int) -> None:
    text = WHOLE[:cut]
    try:
        policy = parse_policy(text, "p.toml")
    except PolicyInvalid as error:
        assert error.where.startswith("p.toml:")
    else:
        assert not policy.complete or text.rstrip("\n") == WHOLE.rstrip("\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("minimum_confidence = 2", "not in"),
        ("minimum_speech = nan", "not in"),
        ('minimum_detection = "high"', "number"),
        ("raise_levels = 0.5", "whole number"),
        ("raise_levels = -1", "not in"),
        ("minimum_confidance = 0.9", "minimum_confidence"),
    ],
)
def test_a_bad_reading_section_is_refused(line: str, says: str) -> None:
    with pytest.raises(PolicyInvalid, match=says):
        parse_policy(f"{HEAD}\n[reading]\n{line}\n[review]\n{REST}", "p.toml")


def test_what_the_reading_section_holds() -> None:
    assert parse_policy(DEMO, "p.toml").reading == ReadingPolicy()
    text = f"{HEAD}\n[reading]\nminimum_confidence = 0.9\nraise_levels = 2\n[review]\n{REST}"
    reading = parse_policy(text, "p.toml").reading
    assert reading == ReadingPolicy(0.9, 0.6, 0.6, 2) and reading.doubts(0.89) and not reading.doubts(0.9)
