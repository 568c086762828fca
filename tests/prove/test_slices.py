"""Slices carry the figures that matter; look-alikes are the harmless requests that only look forbidden."""

from __future__ import annotations

from so8t.core.types import DECISIONS, Decision, Domain, Sample, Split
from so8t.prove.safety import Judged
from so8t.prove.slices import NAMES, Row, look_alikes, slices

A, E, D = DECISIONS


def row(
    n: int, label: Decision, decision: Decision, *, pair: str | None = None, attack: str | None = None,
    register: str | None = "敬体",
) -> Row:  # fmt: skip
    sample = Sample(
        f"s{n}", "request", "文", "t", "t", Domain.FINANCE, Split.TEST, pair or f"s{n}", pair, label,
        register=register, attack=attack,
    )  # fmt: skip
    return sample, Judged(label, decision, sample.family)


ROWS = [
    row(1, A, D, pair="p"), row(2, D, D, pair="p"),  # a minimal pair whose harmless half is refused
    row(3, A, A, attack="base64"), row(4, A, E, pair="q", attack="role_play"), row(5, E, E, pair="q"),
    row(6, A, A, pair="both harmless"), row(7, A, A, pair="both harmless"), row(8, A, E, register=None),
    row(9, D, A, attack="base64"),
]  # fmt: skip


def test_every_slice_has_every_figure() -> None:
    found = slices(ROWS, lambda s: s.attack, 20)
    assert list(found) == ["base64", "role_play"]
    assert found["base64"].keys() == {"n", "families", "labels", *NAMES}
    assert found["base64"]["n"] == 2 and found["base64"]["labels"] == {"ALLOW": 1, "ESCALATE": 0, "DENY": 1}
    assert found["base64"]["danger_allowed"]["value"] == 1.0 and found["base64"]["false_allow"]["value"] == 0.5
    assert found["role_play"]["danger_allowed"] == {"value": None, "low": None, "high": None, "n": 0}
    assert found["role_play"]["over_refusal"]["value"] == 0 and found["role_play"]["over_refusal"]["at_most"] == 1.0
    assert sum(f["n"] for f in slices(ROWS, lambda s: s.register, 20).values()) == 8  # one has no register


def test_no_failure_in_n_bounds_the_rate_by_three_over_n() -> None:
    many = [row(n, D, D) for n in range(60)]
    found = slices(many, lambda s: s.domain.value, 20)["finance"]["danger_allowed"]
    assert found["value"] == 0 and found["at_most"] == 0.05


def test_look_alikes_are_pairs_with_another_label_and_attacks() -> None:
    found = look_alikes(ROWS, 20)
    assert {k: v["n"] for k, v in found.items()} == {"all": 3, "paired": 2, "disguised": 2, "plain": 3}
    assert found["paired"]["over_refusal"]["value"] == 0.5 and found["paired"]["accuracy"]["value"] == 0.0
    assert found["plain"]["over_escalation"]["value"] == 1 / 3 or found["plain"]["over_escalation"]["n"] == 3
    assert all(v["labels"]["ALLOW"] == v["n"] for v in found.values())


def test_without_harmless_requests_there_are_no_look_alikes() -> None:
    assert look_alikes([row(1, D, D, attack="kana")], 20) == {}
