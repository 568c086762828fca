"""Policy files: what they hold, and that a bad one is refused with its line."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

import so8t
from so8t.core.errors import LevelUnknown, PolicyInvalid
from so8t.core.types import DECISIONS, Decision, Domain
from so8t.decide.patterns import compile_pattern
from so8t.decide.policy import JUDGES, MAXIMUM_LINE, MAXIMUM_RULES, THRESHOLDS, Policy, parse_policy

FILE = Path(so8t.__file__).parent / "resources" / "policies" / "demo.toml"
TEXT = FILE.read_text(encoding="utf-8")
RULE = "\n[[rules]]\nid = 'extra'\neffect = 'DENY'\nall = ['毒']\nreason = '理由'\n"


@pytest.fixture(scope="module")
def demo() -> Policy:
    return parse_policy(TEXT, "demo.toml")


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


def refused(text: str) -> PolicyInvalid:
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(text, "p.toml")
    return caught.value


def test_the_demo_policy_says_that_it_is_one(demo: Policy) -> None:
    assert (demo.id, demo.version) == ("demo", "1") and "デモ用" in demo.label
    assert demo.levels.names == ("公開", "社内限定", "部外秘", "極秘")
    assert demo.default_clearance == "社内限定" and set(demo.disclosure_rules) == set(demo.levels.names)
    assert demo.digest == hashlib.sha256(TEXT.encode()).hexdigest()


def test_every_domain_has_a_contract_and_references(demo: Policy) -> None:
    for domain in Domain:
        contract = demo.contract(domain)
        assert set(contract) == {"role", "scope", "limitations", "escalation_policy"}
        assert all(contract.values()) and isinstance(contract["limitations"], list)
        assert set(demo.domain(domain).policy_refs) == set(DECISIONS)
    assert demo.contract(None) == demo.contract(Domain.GENERAL)


def test_the_policy_state_of_the_plan(demo: Policy) -> None:
    state = demo.state()
    assert set(state) == {"org_name", "classification_levels", "disclosure_rules", "audit_required"}
    assert state["audit_required"] is True and state["classification_levels"] == list(demo.levels.names)


def test_allowing_a_danger_is_dearest_and_escalating_is_not_free(demo: Policy) -> None:
    costs = demo.costs
    dearest = max((costs[j][t], j, t) for j in DECISIONS for t in DECISIONS)
    assert dearest[1:] == (Decision.ALLOW, Decision.DENY)
    assert 0 < costs[Decision.ESCALATE][Decision.ALLOW] < costs[Decision.DENY][Decision.ALLOW]
    assert set(demo.fusion.weights) == set(JUDGES) and set(demo.thresholds) <= set(THRESHOLDS)


def test_hard_rules_are_few_and_every_rule_explains_itself(demo: Policy) -> None:
    assert 30 <= len(demo.rules) <= 75 and sum(rule.hard for rule in demo.rules) <= len(demo.rules) / 5
    assert all(rule.reason.endswith("。") and rule.policy_ref for rule in demo.rules)
    assert demo.rule(demo.rules[3].id) is demo.rules[3] and demo.rule("nothing") is None


def test_a_domain_without_its_section_falls_back_to_general() -> None:
    head, tail = TEXT.split("[domains.finance]")
    policy = parse_policy(head + "[domains.business]" + tail.split("[domains.business]", 1)[1], "p.toml")
    assert policy.contract(Domain.FINANCE) == policy.contract(Domain.GENERAL)


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        ('org_name = "見本商事株式会社"', 'org_nmae = "見本"', "levels = ", "missing"),
        (
            "minimum_confidence = 0.4",
            "minimum_confidnce = 0.4\nminimum_confidence = 0.4",
            "confidnce",
            "minimum_confidence?",
        ),
        ("[thresholds]", "[thresholds]\nmacro_f2 = 0.3", "macro_f2", "macro_f1?"),
        ("macro_f1 = 0.2", "macro_f1 = 1.2", "macro_f1 = 1.2", "not in 0.0 ... 1.0"),
        ("macro_f1 = 0.2", "macro_f1 = true", "macro_f1 = true", "number expected"),
        ("macro_f1 = 0.2", "macro_f1 = nan", "macro_f1 = nan", "nan"),
        ('version = "1"', "version = 1", "version = 1", "text expected"),
        ('default_clearance = "社内限定"', 'default_clearance = "社内"', "default_clearance", "社内限定?"),
        ('levels = ["公開", "社内限定", "部外秘", "極秘"]', 'levels = ["公開"]', "levels = ", "at least two"),
        ("[domains.finance]", "[domains.finanse]", "[domains.finanse]", "finance?"),
        ("ESCALATE = 1.5", "ESCALATE = -1.5", "ESCALATE = -1.5", "not in"),
        ("ESCALATE = 1.5", "ESCALATED = 1.5", "[costs.ALLOW]", "missing"),
        ("DENY = 3.0", "DENY = 0.0", "[costs.ALLOW]", "must cost more"),
        ('level = "部外秘"', 'level = "秘"', 'level = "秘"', "unknown '秘'"),
        ("[fusion.weights]", "[fusion.weights]\nguess = 1.0", "guess", "unknown key"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(old: str, new: str, at: str, says: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    error = refused(text)
    assert says in error.detail
    if says != "missing":
        assert error.where == f"p.toml:{line_of(text, at)}"
    assert error.where.startswith("p.toml:")


@pytest.mark.parametrize(
    ("rule", "at", "says"),
    [
        (RULE.replace("reason", "raeson"), "raeson", "reason"),
        (RULE.replace("'DENY'", "'DENIED'"), "'DENIED'", "DENY?"),
        (RULE.replace("['毒']", "['毒', '(開']"), "'(開'", "regex"),
        (RULE.replace("['毒']", "[\n'毒',\n'(a+)+b',\n]"), "'(a+)+b'", "exponential"),
        (RULE.replace("['毒']", "'毒'"), "all = '毒'", "list of texts"),
        (RULE.replace("['毒']", "[]"), "all = []", "empty"),
        (RULE.replace("['毒']", "['《ひみつ》']"), "《ひみつ》", "word list"),
        (RULE.replace("['毒']", "['x*']"), "'x*'", "always found"),
        (RULE + "domains = ['medicine']\n", "'medicine'", "unknown 'medicine'"),
        (RULE + "hard = 1\n", "hard = 1", "true or false"),
        (RULE + "scope = 'page'\n", "scope = 'page'", "unknown 'page'"),
        (RULE + "weight = 21\n", "weight = 21", "not in"),
        (
            RULE.replace("'DENY'", "'ALLOW'") + "hard = true\n",
            "id = 'extra'\neffect = 'ALLOW'",
            "ALLOW may only be soft",
        ),
        (RULE.replace("'extra'", "'self-harm'"), "id = 'self-harm'", "is taken"),
        (RULE.replace("'extra'", "'clearance'"), "id = 'clearance'", "is taken"),
        (RULE.replace("'DENY'", "'DENY"), "effect = 'DENY", "TOML"),
    ],
)
def test_a_bad_rule_is_refused_with_its_line(rule: str, at: str, says: str) -> None:
    error = refused(TEXT + rule)
    assert says in error.detail, error.detail
    line = int(error.where.removeprefix("p.toml:"))
    first = at.split("\n")[0]
    if says not in ("ALLOW may only be soft", "reason"):
        assert first in (TEXT + rule).splitlines()[line - 1]
    assert line > len(TEXT.splitlines())


def test_limits() -> None:
    assert "bytes" in refused("# " + "あ" * 400_000).detail
    many = "".join(RULE.replace("extra", f"r{n}") for n in range(MAXIMUM_RULES + 1))
    assert "rules" in refused(TEXT + many).detail
    assert "2000 characters" in refused(TEXT + RULE.replace("毒", "あ" * 2001)).detail
    assert "TOML" in refused("a = " + "[\n" * 50_000).detail
    long = refused(TEXT.replace('version = "1"', f'version = "{"1" * MAXIMUM_LINE}"'))
    assert "characters" in long.detail and long.where == f"p.toml:{line_of(TEXT, 'version = ')}"


@pytest.mark.parametrize(
    "source",
    [
        "(a+)+",
        "(a*)*b",
        "(?:a|b?)+c",
        "(?:ab|a){20}c",
        "(?:x{1,9}){1,9}",
        "(a?){30}a{30}",
        ".*x.*y",
        r"(a)\1",
        "(?:(?:ab)+c?)+",
    ],
)
def test_regexes_that_can_blow_up_are_refused(source: str) -> None:
    with pytest.raises(ValueError, match="regex"):
        compile_pattern(source)


@pytest.mark.parametrize(
    "source", ["機密.{0,20}送", "(?:[0-9]{4}-){3}[0-9]{4}", "a+b", "(?:社外|外部)へ", r"(?<!非)公開\s*"]
)
def test_ordinary_regexes_are_accepted_and_quick(source: str) -> None:
    pattern = compile_pattern(source)
    began = time.perf_counter()
    pattern.found("機密a社外公開 1234-" * 100)
    assert time.perf_counter() - began < 1


def test_levels_of_another_house() -> None:
    text = TEXT.replace("社内限定", "行内限定").replace('"demo"', '"bank"')
    policy = parse_policy(text, "bank.toml")
    assert policy.levels.gap("行内限定", "極秘") == 2
    with pytest.raises(LevelUnknown):
        policy.levels.rank("社内限定")
