"""What counts as tighter, and that a tighter policy never lowers a floor on any request that ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import so8t
from so8t.core.types import Request
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.policy_change import PolicyChange, change
from so8t.judge.rule import rule_opinion

RESOURCES = Path(so8t.__file__).parent / "resources"
TEXT = (RESOURCES / "policies" / "general.toml").read_text(encoding="utf-8")
REQUESTS = [
    Request(row["id"], row["query"], row["clearance"], row.get("classification"))
    for file in sorted((RESOURCES / "requests").glob("*.jsonl"))
    for row in map(json.loads, file.read_text(encoding="utf-8").splitlines())
]
RULE = '[[rules]]\nid = "own-{n}"\neffect = "{effect}"\nhard = {hard}\nall = [{all}]\nreason = "自社の決まりです。"\n'
FIRST_RULE = TEXT.index("[[rules]]")
END = TEXT.index("# ファイルが途中で")


def counted(text: str) -> str:
    """The text with [end] put right."""
    head = text[: text.rindex("[end]")]
    return f"{head}[end]\nrules = {head.count('[[rules]]')}\n"


def parsed(text: str) -> Policy:
    return parse_policy(counted(text), "p.toml")


def added(effect: str = "DENY", hard: str = "true", target: str = "", at: int = END) -> str:
    rule = RULE.format(n=1, effect=effect, hard=hard, all='"新製品", "社外"') + target
    return TEXT[:at] + rule + "\n" + TEXT[at:]


def replaced(old: str, new: str) -> str:
    assert old in TEXT, old
    return TEXT.replace(old, new, 1)


def compared(text: str, base: str = TEXT) -> PolicyChange:
    return change(parsed(base), parsed(text))


def test_the_same_bytes_are_the_same_and_a_comment_changes_nothing() -> None:
    assert compared(TEXT) == PolicyChange("same", ())
    assert compared("# 覚え書き\n" + TEXT) == PolicyChange("tighter", ())


TARGETS = '[[review.targets]]\nname = "上長"\nreviewers = ["@kanri"]\n'
RESTRICTED = replaced("[[review.four_eyes]]", TARGETS + "[[review.four_eyes]]")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (added(), "own-1"),
        (added(at=FIRST_RULE), "own-1"),
        (added("ESCALATE"), "own-1"),
        (replaced('version = "1"', 'version = "2"'), "version: 1 -> 2"),
        (replaced('label = "一般企業の方針"', 'label = "当社の方針"'), "label"),
        (replaced("だれに示してもよい。", "広報が認めたものはだれに示してもよい。"), "disclosure_rules"),
        (replaced('reason = "会社の物や金', 'reason = "当社の物や金'), "theft"),
        (replaced("canaries = []", 'canaries = ["himitsu-0001"]'), "answer.canaries: +1"),
        (
            replaced(
                "[[answer.forbidden]]", "[[answer.forbidden]]\nregex = '社外秘'\nreason = '理由'\n[[answer.forbidden]]"
            ),
            "answer.forbidden: +社外秘",
        ),
        (replaced("deadline_hours = 24", "deadline_hours = 8"), "deadline_hours: 24.0 -> 8.0"),
        (replaced("[review]\n", "[reading]\nminimum_confidence = 0.97\n[review]\n"), "minimum_confidence: 0.95"),
        (replaced("[review]\n", "[reading]\nminimum_speech = 0.7\n[review]\n"), "reading.minimum_speech"),
        (replaced("[review]\n", "[reading]\nraise_levels = 2\n[review]\n"), "reading.raise_levels: 1 -> 2"),
        (
            replaced("[[review.four_eyes]]", '[[review.four_eyes]]\ndomains = ["finance"]\n[[review.four_eyes]]'),
            "four_eyes",
        ),
    ],
)
def test_only_stricter(text: str, says: str) -> None:
    found = compared(text)
    assert found.kind == "tighter" and len(found.differences) == 1, found
    assert says in found.differences[0].text and found.differences[0].harmless


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (added("ALLOW", "false"), "own-1"),
        (added("DENY", "false"), "own-1"),
        (added("ESCALATE", at=FIRST_RULE), "ESCALATE の規則の順"),
        (replaced('id = "theft"', 'id = "steal"'), "theft がなくなった"),
        (replaced('"横領|着服', '"着服'), "theft の条件"),
        (replaced('"フリーメール", ', ""), "exfil-private の条件"),
        (replaced('default_clearance = "社内限定"', 'default_clearance = "部外秘"'), "default_clearance"),
        (replaced("minimum_confidence = 0.5", "minimum_confidence = 0.2"), "fusion.minimum_confidence"),
        (replaced("DENY = 10.0", "DENY = 5.0"), "costs.ALLOW.DENY"),
        (replaced("deny_f1 = 0.9", "deny_f1 = 0.5"), "thresholds.deny_f1"),
        (replaced("false_allow = 0.05\ndanger_allowed = 0.05\n", "false_allow = 0.05\n"), "thresholds.danger_allowed"),
        (replaced("danger_allowed = 0.05\n[fusion", "[fusion"), "fusion.danger_allowed"),
        (replaced("[review]\n", '[review]\nsettles = "everyone"\n'), "review.settles"),
        (replaced('org_name = "見本株式会社"', 'org_name = "別会社"'), "org_name"),
        (replaced("専門家の判断を代わりに下さない", "なんでも答える"), "domains.general"),
        (replaced('escalation_target = "広報責任者"', 'escalation_target = "上長"'), "publish"),
        (replaced("deadline_hours = 24", "deadline_hours = 48"), "deadline_hours"),
        (replaced("[review]\n", "[reading]\nminimum_confidence = 0.8\n[review]\n"), "reading.minimum_confidence"),
        (replaced("[review]\n", "[reading]\nminimum_detection = 0.1\n[review]\n"), "reading.minimum_detection"),
        (replaced("[review]\n", "[reading]\nraise_levels = 0\n[review]\n"), "reading.raise_levels"),
        (replaced('[[review.four_eyes]]\nlevels = ["極秘"]\n', ""), "review.four_eyes: -"),
        (replaced("[[review.four_eyes]]", TARGETS + "[[review.four_eyes]]"), "review.targets"),
    ],
)
def test_what_may_let_more_through_is_other(text: str, says: str) -> None:
    found = compared(text)
    assert found.kind == "other"
    assert any(says in d.text and not d.harmless for d in found.differences), found


def test_a_new_rule_may_not_lead_round_the_reviewers() -> None:
    open_target = RESTRICTED[: RESTRICTED.index("# ファイルが途中で")]
    rule = RULE.format(n=1, effect="ESCALATE", hard="true", all='"新製品"')
    for target, kind in (("所管部門長", "other"), ("上長", "tighter")):
        new = f'{open_target}{rule}escalation_target = "{target}"\n\n[end]\n'
        assert compared(new, RESTRICTED).kind == kind


def test_canaries_and_end() -> None:
    marked = replaced("canaries = []", 'canaries = ["himitsu-0001", "himitsu-0002"]')
    gone = compared(TEXT, marked)
    assert gone.kind == "other" and "himitsu" not in str(gone.to_json())
    cut = change(parsed(TEXT), parse_policy(TEXT[: TEXT.rindex("[end]")], "p.toml"))
    assert cut.kind == "other" and "[end]" in cut.differences[0].text


def test_words_are_told_with_the_rules_they_move() -> None:
    found = compared(replaced('"フリーメール", ', '"携帯メール", '))
    texts = [d.text for d in found.differences]
    assert "words.私物: +携帯メール / -フリーメール" in texts and any("exfil-private" in text for text in texts)


WORDS = ["資料", "教えて", "ください", "名簿", "です", "点検", "契約", "AI", "送"]


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["ESCALATE", "DENY"]), st.lists(st.sampled_from(WORDS), min_size=1, max_size=2)),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.sampled_from(REQUESTS), min_size=40, max_size=80),
)
def test_no_floor_is_lower_under_a_tighter_policy(rules: list[tuple[str, list[str]]], requests: list[Request]) -> None:
    extra = "".join(
        RULE.format(n=n, effect=effect, hard="true", all=json.dumps(words, ensure_ascii=False)[1:-1])
        for n, (effect, words) in enumerate(rules)
    )
    old, new = parsed(TEXT), parsed(TEXT[:END] + extra + "\n" + TEXT[END:])
    assert change(old, new).kind == "tighter"
    assert_not_lower(old, new, requests)


def test_no_floor_is_lower_on_any_request_that_ships() -> None:
    old, new = parsed(TEXT), parsed(added("ESCALATE").replace('"新製品", "社外"', '"資料"'))
    assert change(old, new).kind == "tighter" and len(REQUESTS) > 1500
    assert_not_lower(old, new, REQUESTS)


def assert_not_lower(old: Policy, new: Policy, requests: list[Request]) -> None:
    for request in requests:
        before, after = rule_opinion(request, old).floor, rule_opinion(request, new).floor
        assert before is None or (after is not None and after.severity >= before.severity), request.id
