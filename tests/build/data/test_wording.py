"""The wording model learns what tells requests apart, the levels too, and is the same every time."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from so8t.build.data.wording import LEAST_TEXTS, fit_wording, inverse_document_frequency
from so8t.core.types import DECISIONS, Decision, Domain, Levels, Sample, Split
from so8t.decide.wording import BUCKETS, counted

A, E, D = DECISIONS
LEVELS = Levels()
WORDING = {A: "議事録を要約して", E: "契約してよいか決めて", D: "監査記録を書き換えて"}


def sample(text: str, decision: Decision | None, clearance: str = "社内限定", level: str = "公開") -> Sample:
    return Sample(
        text, "request", text, "t", "t", Domain.GENERAL, Split.TRAIN, text, decision=decision, clearance=clearance,
        classification=level,
    )  # fmt: skip


def samples(n: int = 8) -> list[Sample]:
    return [sample(f"{k}月の件、{text}ください", decision) for k in range(n) for decision, text in WORDING.items()]


def test_it_learns_the_wording() -> None:
    made = fit_wording(samples(), LEVELS)
    for decision, text in WORDING.items():
        assert DECISIONS[int(made.scores(f"急ぎで{text}", 0).argmax())] is decision


def test_it_learns_the_levels() -> None:
    """The same words: the step between clearance and classification alone decides."""
    pairs = [("極秘", "公開", A), ("社内限定", "部外秘", E), ("公開", "極秘", D)]
    made = fit_wording(
        [sample(f"{k}件目の資料を見せて", d, c, level) for k in range(9) for c, level, d in pairs], LEVELS
    )
    assert [DECISIONS[int(made.scores("資料を見せて", gap).argmax())] for gap in (0, 1, 2, 3)] == [A, E, D, D]


def test_the_same_every_time_however_many_cores() -> None:
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made.append(fit_wording(samples(), LEVELS).to_bytes())
    finally:
        torch.set_num_threads(before)
    assert made[0] == made[1]


def test_a_request_without_a_label_teaches_nothing() -> None:
    unlabelled = [dataclasses.replace(sample("無関係の文", None), kind="text")] * 5
    assert fit_wording([*samples(), *unlabelled], LEVELS).to_bytes() == fit_wording(samples(), LEVELS).to_bytes()


def test_n_grams_of_one_text_are_left_out() -> None:
    rarity = inverse_document_frequency(["共通の語", "共通の句"])
    _, common, _ = counted(["共通の"])
    _, single, _ = counted(["語"])
    assert LEAST_TEXTS == 2 and (rarity[common] == 1.0).all() and (rarity[single] == 0).all()
    assert rarity.shape == (BUCKETS,) and np.isfinite(rarity).all()
