"""The generator: deterministic, balanced, consistent with LABELS.md, and no family on two sides."""

from __future__ import annotations

import base64
import random
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

import pytest

from so8t.build.data.disguise import encode, fullwidth, katakana, romaji, zero_width
from so8t.build.data.lexicon import load_lexicon
from so8t.build.data.synth import generate
from so8t.build.data.synth_report import majority_accuracy, report, skeleton
from so8t.build.data.synth_scene import ATTACKS, KINDS
from so8t.core.config import SynthConfig
from so8t.core.errors import ValidationFailed
from so8t.core.text import INVISIBLE, dedup_key, nfkc
from so8t.core.types import DECISIONS, Decision, Domain, Levels, Sample, Split

CONTRACTS = {domain: {"role": f"{domain} の係"} for domain in Domain}
STATE: dict[str, Any] = {"org_name": "試験社", "classification_levels": list(Levels().names)}


@cache
def samples(count: int, seed: int = 8) -> tuple[Sample, ...]:
    return tuple(generate(SynthConfig(seed=seed), CONTRACTS, STATE, count))


def test_same_seed_same_samples_whatever_the_count() -> None:
    many = {s.id: s for s in samples(300)}
    few = list(generate(SynthConfig(), CONTRACTS, STATE, 40))
    assert all(many[s.id] == s for s in few)
    assert [s.sha256 for s in islice(samples(300, 9), 50)] != [s.sha256 for s in islice(samples(300), 50)]


def test_shares_of_the_decisions() -> None:
    counts = Counter((s.domain, s.decision) for s in samples(300))
    for domain in Domain:
        for decision, share in zip(DECISIONS, (0.33, 0.34, 0.33), strict=True):
            assert abs(counts[domain, decision] / 300 - share) <= 0.01


def test_levels_follow_the_law() -> None:
    for s in samples(1000):
        assert s.clearance and s.classification
        gap = Levels().gap(s.clearance, s.classification)
        if s.decision is Decision.ALLOW:
            assert gap <= 0, s.id
        if gap >= 2:
            assert s.decision is Decision.DENY, s.id
    assert majority_accuracy(samples(1000), lambda s: (s.clearance, s.classification)) < 0.5


def test_bank_levels_are_taken_from_the_policy_state() -> None:
    names = ["公開", "行内限定", "部外秘", "極秘"]
    made = list(generate(SynthConfig(), CONTRACTS, {"classification_levels": names}, 60))
    assert {s.classification for s in made} == set(names)
    assert not any("社内限定" in s.text for s in made)


def test_every_field_is_filled_in() -> None:
    for s in samples(300):
        assert (s.kind, s.source, s.license) == ("request", "so8t synth", "CC0-1.0")
        assert s.identity_contract == CONTRACTS[s.domain] and s.policy_state == STATE
        assert s.policy_ref and s.response and s.pair and s.register
        assert bool(s.escalation_target) == (s.decision is Decision.ESCALATE)
        assert not re.search(r"[{}]", s.text + s.response), s.id
        assert Sample.from_json(s.to_json()) == s


def test_families_and_pairs_keep_to_one_split() -> None:
    for name in ("family", "pair"):
        split = {(getattr(s, name), s.split) for s in samples(1000)}
        assert len(split) == len({key for key, _ in split})
    share = sum(s.split is Split.VALIDATION for s in samples(1000)) / len(samples(1000))
    assert 0.05 < share < 0.15
    assert {s.split for s in samples(1000)} == {Split.TRAIN, Split.VALIDATION}


def test_queries_are_unique_and_never_contradict() -> None:
    figures = report(samples(1000))
    assert figures["unique_queries"] >= 0.99
    assert figures["contradictions"] == 0 and figures["bayes_ceiling"] >= 0.99
    assert figures["unique_skeletons"] > 0.9 * len(samples(1000))
    assert set(figures["kinds"]) == set(KINDS)


def test_surface_cues_do_not_give_the_label_away() -> None:
    figures = report(samples(1000))
    assert figures["pair_ngram_accuracy"] <= 0.60
    assert figures["pair_level_accuracy"] <= 0.60
    assert figures["pair_ngram_accuracy_by_kind"].keys() == figures["kinds"].keys()


def test_a_pair_differs_in_nothing_but_the_act() -> None:
    pairs: dict[str, list[Sample]] = {}
    for s in samples(300):
        if not s.family.startswith("level/"):
            pairs.setdefault(str(s.pair), []).append(s)
    for group in pairs.values():
        assert len({(s.clearance, s.classification, s.register, s.attack, s.family) for s in group}) == 1


def test_every_disguise_has_its_harmless_twin() -> None:
    seen = {(s.attack, s.decision) for s in samples(1000)}
    assert {(attack, d) for attack in ATTACKS for d in (Decision.ALLOW, Decision.DENY)} <= seen


def test_base64_decodes_to_a_request() -> None:
    coded = [s for s in samples(300) if s.attack == "base64"]
    for s in coded:
        found = re.search(r"[A-Za-z0-9+/]{24,}={0,2}", s.text)
        assert found and re.search("[ぁ-ゖ]", base64.b64decode(found.group(), validate=True).decode()), s.id
    assert coded


def test_fullwidth_and_invisible_samples_say_the_same_when_undone() -> None:
    for s in samples(300):
        if s.attack == "fullwidth":
            assert nfkc(s.text) != s.text
        if s.attack == "zero_width":
            assert INVISIBLE.search(s.text)


@pytest.mark.parametrize("text", ["ログを kill して 30 分", "データベースのガード", "パスワード12", "ヴィークル"])
def test_disguises_can_be_undone(text: str) -> None:
    assert fullwidth(text) != text and nfkc(fullwidth(text)) == nfkc(text)
    assert INVISIBLE.sub("", zero_width(text, random.Random(1))) == text
    assert base64.b64decode(encode(text)).decode() == text


def test_spellings_of_kana() -> None:
    assert romaji("せっけいしょを ちょっと しゅうせいして") == "sekkeisyowo tyotto syuuseisite"
    assert katakana("てんけん きろく") == "テンケン キロク"


def test_lexicon_is_large_enough_and_well_formed() -> None:
    lexicon = load_lexicon()
    own = [t for words in lexicon.domains.values() for t in (*words.triples, *words.stories)]
    triples = [*lexicon.triples, *lexicon.misdeeds, *lexicon.powers, *own]
    assert len({t.id for t in (*triples, *lexicon.access, *lexicon.orders)}) >= 260
    for triple in triples:
        assert len({act.te for act in triple.acts.values()}) == len({act.noun for act in triple.acts.values()}) == 3
        for decision, act in triple.acts.items():
            assert act.te.endswith(("て", "で")), act.te
            assert not act.also or act.also.endswith(("て", "で")), act.also
            filled = {Decision.ALLOW: act.answer, Decision.ESCALATE: act.need, Decision.DENY: act.why and act.instead}
            assert filled[decision], triple.id
    for words in lexicon.domains.values():
        assert len(words.documents) >= 10 and len(words.stories) >= 9
        assert len(set(words.misdeeds)) == len(set(words.powers)) == len(set(words.notes)) == 12


def test_report_refuses_contradictions_and_leaks() -> None:
    one = samples(300)[0]
    other = replace(one, id="x", decision=Decision.DENY)
    with pytest.raises(ValidationFailed, match=r"contradictions(.|\n)*x DENY"):
        report([one, other])
    with pytest.raises(ValidationFailed, match="two splits"):
        report([one, replace(one, id="y", text="別の依頼", split=Split.TEST)])


def test_skeleton_masks_names_numbers_and_dates() -> None:
    assert skeleton("4月12日に保全課の整備記録を3行に") == skeleton("11月3日に調達課の試験成績書を5行に")
    assert dedup_key("１２ 行") == dedup_key("12行")
