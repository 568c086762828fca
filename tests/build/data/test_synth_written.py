"""Requests written by hand, put anew: what may change does, what the label rests on never does."""

from __future__ import annotations

import base64
import random
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from so8t.build.data.lexicon import load_lexicon
from so8t.build.data.synth import generate, generate_range
from so8t.build.data.synth_report import kind_of, report
from so8t.build.data.synth_written import revoice, seed_books
from so8t.build.data.written import load_written
from so8t.core.config import SynthConfig
from so8t.core.text import INVISIBLE, dedup_key
from so8t.core.types import Decision, Domain, Levels, Sample, Split

CONTRACTS = {domain: {"role": f"{domain} の係"} for domain in Domain}
STATE: dict[str, Any] = {"classification_levels": list(Levels().names)}
LEXICON = load_lexicon()
PLAIN = Sample(
    "s-1", "request", "点検の手順を一枚にまとめてください。", "so8t written requests/desk", "CC0-1.0", Domain.GENERAL,
    Split.TRAIN, "s-1", decision=Decision.ALLOW, response="一枚にまとめます。", clearance="部外秘",
    classification="社内限定", register="敬体",
)  # fmt: skip


@cache
def written() -> tuple[Sample, ...]:
    return tuple(load_written(CONTRACTS, STATE))


@cache
def seeds() -> tuple[Sample, ...]:
    return tuple(s for s in written() if s.split is Split.TRAIN)


@cache
def made(count: int) -> tuple[Sample, ...]:
    return tuple(generate(SynthConfig(), CONTRACTS, STATE, count, seeds()))


def again(seed: Sample, number: int) -> Sample:
    return revoice(LEXICON, Levels(), seed, "x", random.Random(number))


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_label_and_what_it_rests_on_stay(number: int, place: int) -> None:
    seed = seeds()[place % len(seeds())]
    new = again(seed, number)
    for name in ("kind", "domain", "decision", "response", "family", "split", "policy_ref", "escalation_target"):
        assert getattr(new, name) == getattr(seed, name)
    assert new.pair is None and new.text and not re.search(r"\{\w+\}", new.text.replace(seed.text, ""))
    before, after = (Levels().gap(str(s.clearance), str(s.classification)) for s in (seed, new))
    if before > 0 or any(name in seed.text for name in Levels().names):
        assert (new.clearance, new.classification) == (seed.clearance, seed.classification)
    assert (after <= 0) == (before <= 0)
    assert (new.classification == "公開") == (seed.classification == "公開")


def test_every_way_is_taken_and_the_core_stands() -> None:
    ways = Counter()
    for number in range(600):
        new = again(PLAIN, number)
        ways[new.attack] += 1
        text = new.text
        if new.attack == "base64":
            found = re.search(r"[A-Za-z0-9+/]{24,}={0,2}", text)
            assert found
            text = base64.b64decode(found.group()).decode()
        assert re.search("点検|てんけん", dedup_key(INVISIBLE.sub("", text))), text
    assert {None, "base64", "zero_width", "fullwidth", "role_play", "injection", "false_authority"} <= set(ways)
    assert len({again(PLAIN, n).text for n in range(600)}) > 560


def test_kana_is_respelt_only_where_no_kanji_stands() -> None:
    kana = replace(PLAIN, text="てんけんの てじゅんを おしえて ください", attack="kana")
    assert {again(kana, n).attack for n in range(60)} == {"kana", "romaji"}
    mixed = replace(kana, text="点検の てじゅんを おしえて ください")
    assert all(again(mixed, n).attack == "kana" and "点検" in again(mixed, n).text for n in range(60))


def test_only_training_requests_are_seeds() -> None:
    held = [replace(s, split=Split.TEST, family=f"held/{s.id}") for s in seeds()]
    assert not seed_books(held)
    families = {s.family for s in generate(SynthConfig(), CONTRACTS, STATE, 60, [*seeds(), *held])}
    assert not any(family.startswith("held/") for family in families)


def test_a_third_is_written_and_the_shares_hold() -> None:
    share = sum(kind_of(s) == "written" for s in made(300)) / len(made(300))
    assert 0.28 < share < 0.39
    counts = Counter((s.domain, s.decision) for s in made(300))
    assert all(counts[domain, Decision.ALLOW] == counts[domain, Decision.DENY] == 99 for domain in Domain)


def test_nothing_leaks_or_contradicts_beside_the_written_requests() -> None:
    assert len({dedup_key(s.text) for s in made(600)}) >= 0.99 * len(made(600))
    assert report([*made(600), *written()])["contradictions"] == 0
    assert all(s.split is Split.TRAIN for s in made(600) if kind_of(s) == "written")


def test_scenes_without_seeds_are_the_same_with_them() -> None:
    plain = {s.id: s for s in generate(SynthConfig(), CONTRACTS, STATE, 60)}
    assert all(plain[s.id] == s for s in made(60) if kind_of(s) != "written")


def test_shards_make_the_whole() -> None:
    whole = [s for s in made(60) if s.domain is Domain.MEDICAL]
    shards = [
        list(generate_range(SynthConfig(), CONTRACTS, STATE, 60, Domain.MEDICAL, start, start + 7, seeds()))
        for start in range(0, 60, 7)
    ]
    assert [s for shard in shards for s in shard] == whole


def test_any_number_of_processes_makes_the_same() -> None:
    alone = list(generate(SynthConfig(), CONTRACTS, STATE, 6))
    assert list(generate(SynthConfig(), CONTRACTS, STATE, 6, processes=2)) == alone
