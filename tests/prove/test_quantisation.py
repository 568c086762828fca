"""What quantising changed: equal files change nothing, and every difference is counted once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from so8t.core.types import DECISIONS, Decision, Domain, Sample, Split, Verdict
from so8t.prove.quantisation import agreement, compare, label_kl, reference_of
from so8t.prove.suite import Outcome

A, E, D = DECISIONS


def outcome(n: int, decision: Decision, scores: Sequence[float] = (0.0, 0.0, 0.0)) -> Outcome:
    sample = Sample(f"s{n}", "request", "文", "t", "t", Domain.GENERAL, Split.TEST, f"f{n // 2}", decision=A)
    return Outcome(sample, Verdict("r", decision, {A: 1.0, E: 0.0, D: 0.0}, ()), (tuple(scores),))


BASE = [outcome(n, d, (0.0, -1.0, -2.0)) for n, d in enumerate([A, A, E, D])]


def test_the_reference_is_f16_where_there_is_one() -> None:
    assert reference_of(("Q8_0", "F16")) == "F16" and reference_of(("Q8_0", "Q4_K_M")) == "Q8_0"


def test_equal_files_agree_in_everything() -> None:
    found = compare({"F16": BASE, "Q8_0": list(BASE)}, 20)
    row = found["rows"]["Q8_0"]
    assert list(found["rows"]) == ["Q8_0"] and found["between"] == {"F16:Q8_0": 1.0}
    assert row["kl"] == 0 and row["newly_allowed"] == 0
    assert row["agreement"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 4}


def test_differences_are_counted() -> None:
    other = [outcome(n, d) for n, d in enumerate([A, E, A, D])]
    found = compare({"F16": BASE, "Q8_0": list(BASE), "Q4_K_M": other}, 50)
    row = found["rows"]["Q4_K_M"]
    assert row["agreement"]["value"] == 0.5 and row["newly_allowed"] == 1
    assert found["between"] == {"F16:Q8_0": 1.0, "F16:Q4_K_M": 0.5, "Q8_0:Q4_K_M": 0.5, "all": 0.5}
    p = np.exp([0.0, -1.0, -2.0]) / np.exp([0.0, -1.0, -2.0]).sum()
    assert row["kl"] == pytest.approx(float((p * np.log(p * 3)).sum()), abs=1e-7)


def test_kl_ignores_the_scale_of_scores_and_who_was_silent() -> None:
    shifted = [outcome(n, o.verdict.decision, [s - 7 for s in o.parts[0]]) for n, o in enumerate(BASE)]
    assert label_kl(BASE, shifted) == pytest.approx(np.zeros(4), abs=1e-12)
    assert len(label_kl(BASE, [dataclasses.replace(o, parts=()) for o in BASE])) == 0


def test_families_are_drawn_whole() -> None:
    """Both members of a family differ: the interval is wider than four independent requests would give."""
    other = [outcome(n, d) for n, d in enumerate([E, E, E, D])]
    found = agreement(BASE, other, 200)
    assert found["value"] == 0.5 and (found["low"], found["high"]) == (0.0, 1.0)
    assert agreement([], [], 10)["value"] is None
