"""What ships: original paragraphs with their licence, and requests written by hand that keep to LABELS.md."""

from __future__ import annotations

import ipaddress
import itertools
import json
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import so8t
from so8t.build.data.written import PASS_SPLIT
from so8t.core.packaged import packaged, policy_text
from so8t.core.text import dedup_key, ngrams
from so8t.core.types import DECISIONS, Decision, Domain, Levels, Split
from so8t.decide.pii import IDENTIFIERS, find
from so8t.decide.policy import parse_policy

Record = dict[str, Any]
NEAR = 0.8


def lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


@cache
def corpus() -> list[Record]:
    return [r for domain in Domain for r in lines(packaged("corpus", f"{domain}.jsonl"))]


@cache
def passes() -> dict[str, list[Record]]:
    return {name: lines(packaged("requests", f"{name}.jsonl")) for name in PASS_SPLIT}


def requests() -> list[Record]:
    return [r for rows in passes().values() for r in rows]


def demo() -> list[Record]:
    return lines(packaged("requests", "demo.jsonl"))


def shingles(text: str) -> frozenset[str]:
    return frozenset(ngrams(dedup_key(text), 3))


def near(groups: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str, float]]:
    """Pairs (id, id, Jaccard) of character 3-grams at or above NEAR between members of different groups."""
    rows = [(group, name, shingles(text)) for group, members in groups.items() for name, text in members]
    index: dict[str, list[int]] = defaultdict(list)
    found = []
    for number, (group, name, own) in enumerate(rows):
        shared = Counter(i for s in own for i in index[s])
        for i, n in shared.items():
            other_group, other, grams = rows[i]
            likeness = n / (len(own) + len(grams) - n)
            if other_group != group and likeness >= NEAR:
                found.append((other, name, round(likeness, 2)))
        for s in own:
            index[s].append(number)
    return found


def test_the_check_finds_a_near_duplicate() -> None:
    text = "取引先に社内の座席表を送ってもよいか、総務として判断の手順を教えてください。"
    assert near({"a": [("1", text)], "b": [("2", text.replace("教えて", "示して"))]})
    assert not near({"a": [("1", text), ("2", text)]}) and not near(
        {"a": [("1", text)], "b": [("2", "夕食の献立を考えて。")]}
    )


def test_corpus_size() -> None:
    assert Counter(r["domain"] for r in corpus()) == {d.value: 99 for d in Domain}


@pytest.mark.parametrize("domain", Domain)
def test_corpus_paragraphs(domain: Domain) -> None:
    for r in (r for r in corpus() if r["domain"] == domain):
        assert 150 <= len(r["text"]) <= 600, (r["id"], len(r["text"]))
        assert r["source"] and r["license"] == "CC0-1.0" and r["title"], r["id"]
        assert r["text"] == r["text"].strip() and r["text"][-1] in "。」』）", r["id"]
        assert not find(r["text"], IDENTIFIERS), r["id"]  # names are made up


def test_corpus_paragraphs_are_unique() -> None:
    assert len({r["id"] for r in corpus()}) == len(corpus())
    assert len({dedup_key(r["text"]) for r in corpus()}) == len(corpus())
    assert near({r["id"]: [(r["id"], r["text"])] for r in corpus()}) == []


def test_enough_requests_in_enough_passes_over_all_splits() -> None:
    assert len(requests()) >= 240 and len(passes()) >= 4
    domains: dict[Split, set[str]] = defaultdict(set)
    assert set(PASS_SPLIT.values()) == set(Split)
    on_disk = {p.stem for p in packaged("requests").glob("*.jsonl")}
    assert on_disk == {*PASS_SPLIT, "demo"}
    for name, rows in passes().items():
        assert len(rows) >= 40 and {r["pass"] for r in rows} == {name}
        assert {r["decision"] for r in rows} == {d.value for d in DECISIONS}, name
        domains[PASS_SPLIT[name]] |= {r["domain"] for r in rows}
    assert all(found == {d.value for d in Domain} for found in domains.values())


@pytest.mark.parametrize("name", [*PASS_SPLIT, "demo"])
def test_requests_obey_the_law(name: str) -> None:
    levels = Levels()
    for r in passes()[name] if name in PASS_SPLIT else demo():
        gap = levels.gap(r["clearance"], r["classification"])
        decision = Decision(r["decision"])
        assert not (decision is Decision.ALLOW and gap > 0), r["id"]
        assert not (gap >= 2 and decision is not Decision.DENY), r["id"]
        assert (decision is Decision.ESCALATE) == bool(r["escalation_target"]), r["id"]
        assert r["query"].strip() and r["response"].strip() and r["reason"].startswith("LABELS "), r["id"]
        assert r["reason"].removeprefix("LABELS ")[0] == {"DENY": "1", "ESCALATE": "2", "ALLOW": "3"}[decision], r["id"]


def test_minimal_pairs_prove_that_the_topic_is_not_the_label() -> None:
    for name, rows in passes().items():
        pairs: dict[str, set[str]] = defaultdict(set)
        for r in rows:
            if r["pair"]:
                pairs[r["pair"]].add(r["decision"])
        assert sum(len(found) > 1 for found in pairs.values()) >= 5, name


def test_requests_are_unique() -> None:
    ids = [r["id"] for r in [*requests(), *demo()]]
    assert len(set(ids)) == len(ids)
    keys = Counter((dedup_key(r["query"]), r["clearance"], r["classification"]) for r in requests())
    assert [k for k, n in keys.items() if n > 1] == []


def test_the_same_request_has_one_decision() -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for r in requests():
        key = (dedup_key(r["query"]), r["clearance"], r["classification"])
        assert seen.setdefault(key, r["decision"]) == r["decision"], r["id"]


def test_a_pair_lies_in_one_split() -> None:
    splits: dict[str, set[Split]] = defaultdict(set)
    for name, rows in passes().items():
        for r in rows:
            if r["pair"]:
                splits[r["pair"]].add(PASS_SPLIT[name])
    assert [p for p, found in splits.items() if len(found) > 1] == []


def test_no_near_duplicates_between_splits() -> None:
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, rows in passes().items():
        groups[PASS_SPLIT[name]] += [(r["id"], r["query"]) for r in rows]
    assert near(groups) == []


def test_demo_requests_are_in_no_split() -> None:
    assert len(demo()) == 12
    others = [(r["id"], r["query"]) for r in requests()]
    assert near({"demo": [(r["id"], r["query"]) for r in demo()], "splits": others}) == []


def test_no_personal_data_in_any_request() -> None:
    """Made-up addresses of the private networks are what people ask about."""
    found = [
        (r["id"], f.kind)
        for r in [*requests(), *demo()]
        for text in (r["query"], r["response"])
        for f in find(text)
        if not (f.kind == "IPアドレス" and ipaddress.ip_address(text[f.start : f.end]).is_private)
    ]
    assert found == []


def test_the_demo_policy_is_labelled_as_such() -> None:
    policy = parse_policy(*policy_text("demo"))
    assert "デモ" in policy.label and set(policy.domains) == set(Domain) and policy.levels == Levels()


def test_no_resource_holds_code() -> None:
    folder = Path(so8t.__file__).parent / "resources"
    allowed = {".jsonl", ".toml", ".jinja", ".css", ".npz", ".md", ".typ", ".svg", ".service", ".timer", ".mc"}
    found = [p for p in itertools.chain(folder.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    script = folder / "console" / "console.js"  # for browsers; the server never runs it
    allowed |= {".yar"}  # patterns for YARA, which run nothing
    assert [p for p in found if p.suffix not in allowed and p.name != "__init__.py" and p != script] == []
