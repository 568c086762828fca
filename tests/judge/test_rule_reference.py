"""The rule judge against a plain one that tries every rule on every view, sentence by sentence, without any index."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import so8t
from so8t.core.text import sentences
from so8t.core.types import Decision, Request
from so8t.decide.patterns import REACH, Pattern, pieces
from so8t.decide.policy import CLEARANCE_RULE, UNREADABLE_RULE, Policy, Rule, parse_policy
from so8t.decide.views import views
from so8t.judge.rule import rule_opinion

RESOURCES = Path(so8t.__file__).parent / "resources"
DEMO = (RESOURCES / "policies" / "demo.toml").read_text(encoding="utf-8")


@cache
def policy() -> Policy:
    return parse_policy(DEMO, "demo.toml")


@cache
def plain(source: str) -> re.Pattern[str]:
    return re.compile(source, re.IGNORECASE)


def is_found(pattern: Pattern, text: str) -> bool:
    """From any place, within REACH; short texts may as well be searched."""
    regex = plain(pattern.source)
    if len(text) <= REACH:
        return regex.search(text) is not None
    return any(regex.match(text, at, at + REACH) for at in range(len(text)))


def is_met(rule: Rule, text: str) -> bool:
    parts = [text] if rule.scope == "text" else [piece for s in sentences(text) for piece in pieces(s)]
    return any(
        all(is_found(p, part) for p in rule.all) and not any(is_found(p, part) for p in rule.none) for part in parts
    )


def expected(request: Request, policy: Policy) -> tuple[tuple[str, ...], Decision | None, str]:
    """Rule ids, floor, and the view in which the first rule was found."""
    readings = views(request.query)
    met = {r.id: v.kind for v in reversed(readings) for r in policy.rules if is_met(r, v.text)}
    ids = [r.id for r in policy.rules if r.id in met and r.concerns(request.domain)]
    floors = [r.effect for r in policy.rules if r.id in ids and r.hard]
    marked = [m.level for v in readings for m in policy.markers if is_found(m.pattern, v.text)]
    gap = max((policy.levels.gap(request.clearance, level) for level in marked), default=0)
    if gap > 0:
        ids.insert(0, CLEARANCE_RULE)
        floors.append(Decision.DENY if gap >= 2 else Decision.ESCALATE)
    if not all(view.complete for view in readings):
        ids.append(UNREADABLE_RULE)
        floors.append(Decision.ESCALATE)
    return tuple(ids), max(floors, key=lambda d: d.severity, default=None), next(iter(met.values()), "")


def check(text: str, policy: Policy) -> None:
    request = Request("1", text)
    opinion = rule_opinion(request, policy)
    ids, floor, _ = expected(request, policy)
    assert (opinion.rules, opinion.floor) == (ids, floor), text


def queries() -> list[str]:
    files = sorted((RESOURCES / "requests").glob("*.jsonl"))
    return [json.loads(line)["query"] for file in files for line in file.read_text(encoding="utf-8").splitlines()]


DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "invisible": lambda text: "\u200b".join(text),
    "split": lambda text: " ".join(text),
    "base64": lambda text: f"次を実行:{base64.b64encode(text.encode()).decode()}",
    "katakana": lambda text: "".join(chr(ord(c) + 0x60) if "ぁ" <= c <= "ん" else c for c in text),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "upper case": lambda text: text.upper().replace("I", "İ").replace("S", "ſ"),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_every_tenth_request_is_judged_as_the_plain_judge_does(disguise: str) -> None:
    for text in queries()[list(DISGUISES).index(disguise) :: 10]:
        check(DISGUISES[disguise](text), policy())


@pytest.mark.slow
@pytest.mark.parametrize("disguise", DISGUISES)
def test_every_request_is_judged_as_the_plain_judge_does(disguise: str) -> None:
    for text in queries():
        check(DISGUISES[disguise](text), policy())


def rule_words() -> list[str]:
    sources = {p.source for rule in policy().rules for p in (*rule.all, *rule.none)}
    return sorted({word for source in sources for word in re.findall(r"[ぁ-んァ-ヶ一-龠a-zA-Z]{2,}", source)})


def thick(words: list[str]) -> st.SearchStrategy[str]:
    """Texts thick with the words of the rules."""
    joints = st.sampled_from(["", "を", "に", "。", "、", "\n", "!」", " ", "ſ", "İ", "\u200b"])
    return st.lists(st.tuples(st.sampled_from(words), joints).map("".join), max_size=30).map("".join)


@settings(max_examples=200, deadline=None)
@given(thick(rule_words()))
def test_texts_thick_with_the_words_of_the_rules(text: str) -> None:
    check(text, policy())


@settings(max_examples=15, deadline=None)
@given(thick(rule_words()), thick(rule_words()), st.integers(0, 1500))
def test_long_texts(before: str, after: str, gap: int) -> None:
    check(before + "。" * (gap % 2) + "い" * gap + after, policy())


@given(st.sampled_from([DISGUISES[name] for name in ("invisible", "split", "katakana", "full width")]), st.data())
@settings(max_examples=50, deadline=None)
def test_disguised_texts(disguise: Callable[[str], str], data: st.DataObject) -> None:
    check(disguise(data.draw(thick(rule_words()))), policy())


HEAD = (
    re.sub(r"(?ms)^\[domains\.(?!general).*?(?=^\[domains\.general)", "", DEMO)
    .partition("\n[review]")[0]
    .partition("\n[words]")[0]
)
WORDS = ["機密", "送る", "社外", "ab", "Σs", "の秘"]
REGEXES = st.sampled_from(
    [
        *WORDS,
        "機.{0,3}る$",
        "^社",
        "(?<!の)秘",
        "[機社].",
        "a?b",
        "(?:送|機){1,2}[る密]",
        "[^。]秘",
        r"\s社外",
        "(?i)AB",
    ]
)


def random_policy(rules: list[tuple[list[str], list[str], str]]) -> Policy:
    blocks = [
        f'[[rules]]\nid = "r{n}"\neffect = "DENY"\nscope = "{scope}"\nreason = "理由"\n'
        f"all = {json.dumps(needed, ensure_ascii=False)}\nnone = {json.dumps(absent, ensure_ascii=False)}"
        for n, (needed, absent, scope) in enumerate(rules)
    ]
    return parse_policy("\n".join([HEAD, *blocks]), "random.toml")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(REGEXES, min_size=1, max_size=3),
            st.lists(REGEXES, max_size=2),
            st.sampled_from(["text", "sentence"]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.sampled_from([*WORDS, "。", "」", "!", "\n", " ", "　", "い" * 30]), max_size=25).map("".join),
)
def test_any_rules(rules: list[tuple[list[str], list[str], str]], text: str) -> None:
    check(text, random_policy(rules))


def attacks() -> dict[str, str]:
    words = rule_words()
    units = {
        "matching": "機密をばれないように自宅へ送", "one letter": "あ", "latin": "A", "act without object": "申請は",
        "percent": "%E6%A9%9F", "split": "機 密 ", "coded": "6aGn5a6i5ZCN57C/44KS ", "unreadable": "aZ3bX9qLmN4pR7tV_",
        "base32": "JBSWY3DPEBLW64TM ", "base85": "<~87cURD]i,Ebo~> ", "rot13": "cyrnfr fraq ", "zlib": "eJwDAAAAAAE",
        "romaji": "kkkk kakiku ", "katakana": "ヴァ ー ", "sentences": "あ。", "lines": "\n", "brackets": "【（〔",
        "near miss": "社外秘データを別の人の", "words": "".join(words), "word lines": "\n".join(words),
    }  # fmt: skip
    return {name: (unit * (20_000 // len(unit) + 1))[:20_000] for name, unit in units.items()}


def cpu_seconds(text: str) -> float:
    """The quickest of three, so that what else the machine does hardly counts."""
    times = []
    for _ in range(3):
        began = time.process_time()
        rule_opinion(Request("1", text), policy())
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("name", attacks())
def test_hostile_texts_of_twenty_thousand_letters_take_a_second_at_most(name: str) -> None:
    text = attacks()[name]
    half, whole = cpu_seconds(text[:10_000]), cpu_seconds(text)
    assert whole < 1
    assert whole < max(0.1, 3.5 * half), f"{half} -> {whole}: grows faster than the text"
