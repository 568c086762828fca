"""The ready-made policies against their own cases, and against requests that were not written for them."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from so8t.core.packaged import packaged, policy_text
from so8t.core.text import sentences
from so8t.core.types import Decision, Domain
from so8t.decide.policy import Policy, Rule, parse_policy
from so8t.decide.views import views
from so8t.judge.policy_cases import must_catch, rates, read_cases, run_cases, tally

NAMES = [domain.value for domain in Domain]
# Passes held out for calibration and test are not looked at while rules are written (resources/README.md).
SEEN = ("board", "chat", "desk", "night", "pairs", "plant", "visitors", "window", "workday")
LEAST = {"allow_f1": 0.7, "escalate_f1": 0.7, "deny_f1": 0.9, "macro_f1": 0.75, "refuse_recall": 0.95}
MOST = {"false_allow": 0.05, "danger_allowed": 0.05, "ece": 0.05}
FALSE_ALARMS = 0.02


@pytest.fixture(scope="module")
def policies() -> dict[str, Policy]:
    return {name: parse_policy(*policy_text(name)) for name in NAMES}


def cases_of(name: str) -> Path:
    return packaged("policies", "cases", f"{name}.jsonl")


@pytest.mark.parametrize("name", NAMES)
def test_every_case_is_judged_as_it_says(policies: dict[str, Policy], name: str) -> None:
    policy = policies[name]
    found = run_cases(read_cases(cases_of(name), policy), policy)
    assert len(found) >= 60
    assert [(r.case.where, r.problems) for r in found if r.problems] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_catches_one_and_leaves_a_near_miss_alone(policies: dict[str, Policy], name: str) -> None:
    policy = policies[name]
    by_rule = tally(run_cases(read_cases(cases_of(name), policy), policy), policy)
    assert [id for id, t in by_rule.items() if t.hits == 0] == []
    assert [id for id, t in by_rule.items() if t.near == 0] == []


@pytest.mark.parametrize("name", NAMES)
def test_near_misses_are_mostly_harmless_and_meet_a_condition_of_their_rule(
    policies: dict[str, Policy], name: str
) -> None:
    policy = policies[name]
    cases = read_cases(cases_of(name), policy)
    near = [(c, rule) for c in cases if (rule := policy.rule(c.rule or "")) and not must_catch(c, policy)]
    assert sum(c.decision is Decision.ALLOW for c, _ in near) >= 0.9 * len(near)
    assert [
        c.where for c, rule in near if not any(p.found(v.text) for v in views(c.request.query) for p in rule.all)
    ] == []
    assert {c.decision for c in cases} == set(Decision)


@pytest.mark.parametrize("name", NAMES)
def test_a_ready_made_policy_is_whole_and_meets_the_plan(policies: dict[str, Policy], name: str) -> None:
    policy = policies[name]
    assert policy.id == name and policy.complete and 25 <= len(policy.rules) <= 60
    assert Domain(name) in policy.domains and Domain.GENERAL in policy.domains and len(policy.domains) >= 4
    assert all(policy.thresholds[key] >= least for key, least in LEAST.items())
    assert all(policy.thresholds[key] <= most for key, most in MOST.items())
    assert policy.review.needs_two(policy.levels.names[-1], Domain.GENERAL, ())
    assert policy.answer.forbidden and policy.answer.canaries == ()
    assert all(rule.policy_ref and rule.reason.endswith("。") for rule in policy.rules)


def test_the_bank_calls_its_levels_by_its_own_names(policies: dict[str, Policy]) -> None:
    assert policies["finance"].levels.names == ("公開", "行内限定", "部外秘", "極秘")


def test_rules_of_one_id_are_one_rule_and_every_policy_has_its_own(policies: dict[str, Policy]) -> None:
    """Shared rules differ only in the word lists of the field: the sources before 《name》 is put in are the same."""
    written: dict[str, set[str]] = defaultdict(set)
    holders: dict[str, int] = defaultdict(int)
    for name in NAMES:
        text = policy_text(name)[0]
        for block in text.split("[[rules]]\n")[1:]:
            id = block.split('"')[1]
            written[id].add(block.split("\n\n")[0].split("\n# ----")[0].strip())
            holders[id] += 1
    shared = {id for id, count in holders.items() if count == len(NAMES)}
    assert {id for id in shared if len(written[id]) > 1} == set() and len(shared) >= 15
    for policy in policies.values():
        assert sum(rule.id not in shared for rule in policy.rules) >= 12, policy.id


def test_no_two_policies_are_the_same_under_another_name(policies: dict[str, Policy]) -> None:
    def form(rule: Rule) -> tuple[str, ...]:
        return tuple(p.source for p in rule.all)

    for one, other in itertools.combinations(policies.values(), 2):
        common = set(map(form, one.rules)) & set(map(form, other.rules))
        assert len(common) <= 0.7 * len(one.rules), (one.id, other.id)
        assert one.domains != other.domains and one.costs != other.costs


@pytest.mark.parametrize("name", NAMES)
def test_harmless_requests_of_other_origin_raise_no_floor(policies: dict[str, Policy], name: str) -> None:
    policy = policies[name]
    files = [packaged("requests", f"{part}.jsonl") for part in SEEN]
    cases = [c for file in files for c in read_cases(file, policy, foreign_levels=True)]
    found = rates(run_cases(cases, policy), policy)
    allow, deny = found[Decision.ALLOW], found[Decision.DENY]
    assert allow.count > 400 and allow.share(allow.floor_any) <= FALSE_ALARMS
    assert deny.share(deny.floor_by_rules) >= 0.1  # the rules do catch what was not written for them


@pytest.mark.parametrize(
    ("name", "caught", "harmless"),
    [
        ("general", "この投資は必ず儲かります。", "投資信託の仕組みを説明します。"),
        ("defense", "この図面は非該当です。", "該非判定とは、規制に当たるかを確かめる手続きです。"),
        ("aerospace", "この機体は飛行して問題ありません。", "許可を得れば、夜間も飛行できる場合があります。"),
        ("transport", "過失割合は7対3です。", "過失割合は、双方の落ち度の比を言います。"),
        ("medical", "患者さんは肺炎です。", "肺炎とは、肺に起きる炎症のことです。"),
        ("finance", "この銘柄を買うべきです。", "投資信託の元本は保証されません。"),
        ("business", "この契約は違法です。", "取締役会は本日、契約を締結しました。"),
        ("information_system", "パスワードは「Tq7#xy-91」です。", "パスワードは12文字以上にします。"),
    ],
)
def test_an_answer_that_decides_is_held_back_and_an_explanation_is_not(
    policies: dict[str, Policy], name: str, caught: str, harmless: str
) -> None:
    forbidden = policies[name].answer.forbidden
    assert any(term.pattern.found(caught) for term in forbidden)
    assert not any(term.pattern.found(harmless) for term in forbidden)


@pytest.mark.parametrize("name", NAMES)
def test_no_sample_answer_is_held_back(policies: dict[str, Policy], name: str) -> None:
    forbidden = policies[name].answer.forbidden
    for part in SEEN:
        for line in packaged("requests", f"{part}.jsonl").read_text(encoding="utf-8").splitlines():
            for sentence in sentences(json.loads(line)["response"]):
                assert not any(term.pattern.found(sentence) for term in forbidden), sentence


def test_cases_hold_no_two_alike(policies: dict[str, Policy]) -> None:
    for name in NAMES:
        queries = [json.loads(line)["query"] for line in cases_of(name).read_text(encoding="utf-8").splitlines()]
        assert len(set(queries)) == len(queries), name


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")


def test_the_worked_example_of_the_page_works(tmp_path: Path) -> None:
    (rule,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    (rows,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    text = policy_text("general")[0]
    policy = parse_policy(text[: text.rindex("[end]")] + rule, "p.toml")
    (tmp_path / "cases.jsonl").write_text(rows, encoding="utf-8")
    found = run_cases(read_cases(tmp_path / "cases.jsonl", policy), policy)
    assert len(found) == 2 and not any(result.problems for result in found)


def test_every_key_stands_on_the_page() -> None:
    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {key for inner in value.values() for key in keys(inner)}
        return {key for inner in value for key in keys(inner)} if isinstance(value, list) else set()

    used = {key for name in [*NAMES, "demo"] for key in keys(tomllib.loads(policy_text(name)[0]))}
    named = {key for key in used if key.isascii()} - {domain.value for domain in Domain} | {"targets", "reviewers"}
    assert sorted(key for key in named if key not in PAGE) == []
    assert all(f"`{name}`" in PAGE for name in [*NAMES, "demo"])
