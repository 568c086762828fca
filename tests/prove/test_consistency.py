"""The plan's formula by hand, its interval over groups, and systems that must not look consistent by a trick."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.types import DECISIONS, Decision
from so8t.prove.consistency import BANDS, SIMILAR, WORST, Record, consistency, group_agreement, share
from so8t.prove.similar_pairs import similar_pairs

A, E, D = DECISIONS
ROOM = "会議室の予約の取り消し方を教えてください。"
ROOMS = "会議室の予約の取り消し方を教えて。"
MENU = "来週の献立を考えてください。"


def record(n: int, text: str, decision: Decision = A, **changes: object) -> Record:
    return Record(id=f"r{n}", text=text, decision=decision, **changes)  # type: ignore[arg-type]


def log(*pairs: tuple[str, Decision], **changes: object) -> list[Record]:
    return [record(n, text, decision, **changes) for n, (text, decision) in enumerate(pairs)]


def test_by_hand() -> None:
    """Three equal requests (A A D), one like them (A), one of its own: 6 like pairs, 3 agree."""
    found = consistency(log((ROOM, A), (ROOM, A), (ROOM, D), (ROOMS, A), (MENU, E)), 50)
    assert found["score"]["value"] == pytest.approx(3 / 6) and found["score"]["n"] == 6
    assert (found["n"], found["groups"], found["capped"], found["passed"]) == (5, 1, 0, False)
    assert found["score"]["low"] is None  # one group is no sample
    assert found["by_chance"] == pytest.approx((3 * 2) / (5 * 4))


def test_the_weighted_figure_counts_a_request_once() -> None:
    (likeness,) = similar_pairs([ROOM, ROOMS], SIMILAR).likeness
    found = consistency(log((ROOM, A), (ROOM, A), (ROOM, D), (ROOMS, A)), 50)["weighted"]
    # Each A of the three has an equal A, an equal D and a like A; the D has nothing that agrees; the like one 2 of 3.
    want = (2 * (1 + likeness) / (2 + likeness) + 0 + 2 / 3) / 4
    assert found["value"] == pytest.approx(want, abs=1e-6) and found["n"] == 4


@given(
    st.lists(
        st.tuples(st.sampled_from([ROOM, ROOMS, MENU, MENU + "ね", "別"]), st.sampled_from(DECISIONS)), max_size=12
    )
)
def test_score_is_the_plans_mean_over_similar_pairs(rows: list[tuple[str, Decision]]) -> None:
    texts = [text for text, _ in rows]
    found = similar_pairs(texts, SIMILAR)
    same = [rows[i][1] is rows[j][1] for i, j in zip(found.left, found.right, strict=True)]
    got = consistency(log(*rows), 20)
    assert got["score"]["n"] == len(same)
    assert got["score"]["value"] == (pytest.approx(float(np.mean(same)), abs=1e-6) if same else None)
    parts = [got["over_time"][k]["n"] for k in ("early", "across", "late")]
    assert sum(parts) == len(same) == sum(band["n"] for band in got["bands"])
    json.dumps(got, allow_nan=False)


@given(st.permutations(range(6)))
def test_the_order_changes_nothing_but_the_halves(order: list[int]) -> None:
    rows = [(ROOM, A), (ROOM, D), (ROOMS, A), (MENU, E), (MENU, E), ("別", D)]
    names = ("score", "by_chance", "bands", "groups")
    one, other = (consistency(log(*r), 20) for r in (rows, [rows[i] for i in order]))
    for name in names:
        assert one[name] == other[name], name
    assert one["weighted"]["value"] == other["weighted"]["value"]


def test_other_levels_are_another_risk() -> None:
    both = [record(1, ROOM, A, setting=("社内限定", "公開")), record(2, ROOM, D, setting=("社内限定", "極秘"))]
    assert consistency(both, 20)["score"] == {"value": None, "low": None, "high": None, "n": 0}


def test_over_time_and_versions() -> None:
    rows = [
        record(1, ROOM, A, version="1"), record(2, ROOM, A, version="1"),
        record(3, ROOM, D, version="2"), record(4, ROOM, D, version="2"),
    ]  # fmt: skip
    found = consistency(rows, 20)
    assert {k: v["value"] for k, v in found["over_time"].items()} == {"early": 1.0, "across": 0.0, "late": 1.0}
    assert (found["same_version"]["value"], found["other_version"]["value"]) == (1.0, 0.0)
    assert (found["same_version"]["n"], found["other_version"]["n"]) == (2, 4)


def test_bands() -> None:
    found = consistency(log((ROOM, A), (ROOM, A), (ROOMS, D)), 20)["bands"]
    (likeness,) = similar_pairs([ROOM, ROOMS], SIMILAR).likeness
    assert [b["from"] for b in found] == list(BANDS) and found[-1]["n"] == 1 and found[-1]["value"] == 1.0
    (mine,) = [b for b in found if b["from"] <= likeness < b["to"]]
    assert mine["n"] == 2 and mine["value"] == 0.0


def test_known_labels_that_differ_are_the_counter_check() -> None:
    """A system that says the same to everything is wholly consistent, and tells nothing apart."""

    def judged(*decisions: Decision) -> dict[str, object]:
        rows = zip((ROOM, ROOM, ROOMS), decisions, (A, A, D), strict=True)
        return consistency([record(n, t, d, label=truth) for n, (t, d, truth) in enumerate(rows)], 20)

    always, knowing = judged(E, E, E), judged(A, A, D)
    assert always["score"]["value"] == knowing["score"]["value"] == 1.0  # type: ignore[index]
    assert (always["told_apart"]["value"], knowing["told_apart"]["value"]) == (0.0, 1.0)  # type: ignore[index]
    assert always["by_chance"] == 1.0 and knowing["told_apart"]["n"] == 2  # type: ignore[index]
    assert knowing["worst"] == []  # different as they should be


def test_worst_pairs_first_and_masked() -> None:
    phone = "担当の090-1234-5678に電話して予約を取り消してください。"
    rows = [
        record(1, ROOM, A, confidence=0.9), record(2, ROOM, E, confidence=0.8),
        record(3, phone, A, confidence=0.7), record(4, phone, D, confidence=0.6),
    ]  # fmt: skip
    found = consistency(rows, 20)["worst"]
    assert [[p["id"] for p in w["pair"]] for w in found] == [["r3", "r4"], ["r1", "r2"]]
    assert found[0]["pair"][1] == {
        "id": "r4", "decision": "DENY", "confidence": 0.6, "text": found[0]["pair"][0]["text"],
    }  # fmt: skip
    assert "1234" not in json.dumps(found, ensure_ascii=False) and "［" in found[0]["pair"][0]["text"]


def test_worst_pairs_are_bounded() -> None:
    rows = [record(n, f"{n}番の会議室の予約の取り消し方を教えてください。" * 20, (A, D)[n % 2]) for n in range(60)]
    found = consistency(rows, 20)["worst"]
    assert len(found) == WORST and all(len(p["text"]) <= 201 for w in found for p in w["pair"])


def test_the_interval_draws_groups_not_pairs() -> None:
    """One much-asked question of a hundred agreeing repetitions must not make the interval narrow."""
    alone = [
        (f"{c}の申請の書き方を教えてください。", (A, D)[n % 2]) for n, c in enumerate(("休暇", "休暇", "出張", "出張"))
    ]
    rows = [(ROOM, A)] * 100 + alone
    found = consistency(log(*rows), 400)["score"]
    assert found["value"] > 0.99 and found["low"] < 0.6


def test_nothing_to_measure() -> None:
    for rows in ([], log((ROOM, A)), log((ROOM, A), (MENU, D))):
        found = consistency(rows, 20)
        assert found["score"]["value"] is None and found["passed"] is None and found["worst"] == []
        json.dumps(found, allow_nan=False)


def test_share_by_hand_and_deterministic() -> None:
    part, whole, group = np.array([1.0, 0.0, 3.0]), np.array([2.0, 0.0, 4.0]), np.array([0, 9, 1])
    one, other = (share(part, whole, group, 100, 1) for _ in range(2))
    assert one == other and one["value"] == pytest.approx(4 / 6, abs=1e-6) and one["n"] == 6
    assert one["low"] is not None and 0.5 <= one["low"] <= one["high"] <= 0.75  # type: ignore[operator]


def test_group_agreement_by_hand() -> None:
    rows = [
        *(record(n, str(n), d, label=A, group="g", pair="g") for n, d in enumerate((A, A, E))),
        record(3, "3", D, label=D, group="g", pair="g"),
        *(record(n, str(n), D, label=D, group="h", pair="h") for n in (4, 5)),
        record(6, "6", D, label=A, group="h", pair="h"),
        record(7, "7", A, label=A, group="alone"),
        record(8, "8", A),
    ]
    found = group_agreement(rows, 50)
    assert found["pairs"]["value"] == pytest.approx((1 + 1) / (3 + 1)) and found["pairs"]["n"] == 4
    assert found["groups"]["value"] == 0.5 and found["groups"]["n"] == 2
    assert found["told_apart"]["value"] == pytest.approx((3 + 0) / (3 + 2)) and found["told_apart"]["n"] == 5
    assert [b["label"] for b in found["broken"]] == ["ALLOW"] and len(found["broken"][0]["members"]) == 3
    assert found["passed"] is False


@given(st.lists(st.sampled_from(DECISIONS), min_size=2, max_size=6))
def test_a_constant_answer_agrees_and_tells_nothing_apart(labels: list[Decision]) -> None:
    rows = [record(n, str(n), E, label=label, group="g", pair="g") for n, label in enumerate(labels)]
    found = group_agreement(rows, 20)
    differing = sum(a is not b for a, b in combinations(labels, 2))
    assert found["pairs"]["value"] in (None, 1.0)
    assert found["told_apart"]["value"] == (0.0 if differing else None) and found["told_apart"]["n"] == differing
