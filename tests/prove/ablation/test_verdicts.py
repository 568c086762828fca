"""From measured trainings to a verdict: an effect that is there is found, one that is not there is not claimed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so8t.core.errors import NotComparable, RecordInvalid
from so8t.prove.ablation.compare import compare, run_row
from so8t.prove.ablation.figures import FIGURES, difference, resampled, value
from so8t.prove.ablation.measured import Measured, Unit, measured, tail
from so8t.prove.ablation.pairs import Pair, Pairing

FACTOR, DRAWS = "train.pet.enabled", 300
BY_NAME = {f.name: f for f in FIGURES}
Row = dict[str, Any]


def training(
    seed: int, gain: float = 0.0, noise: float = 0.01, documents: int = 40, angle: float | None = 1.0
) -> Measured:
    """A training whose losses are `gain` lower than those of another one of the same seed, up to noise."""
    rng, of_pair = random.Random(f"{seed}/{gain}"), random.Random(seed)
    level = of_pair.gauss(2.0, 0.2)
    ids = tuple(f"d{i}" for i in range(documents))

    def losses() -> Unit:
        own = [level + 0.3 * random.Random(i).random() - gain + rng.gauss(0, noise) for i in range(documents)]
        return Unit(ids, np.array([[10 * v, 10.0] for v in own]))

    cells = np.zeros((documents, 9))
    for i in range(documents):
        cells[i, 4 * (i % 3) if rng.random() < 0.7 else 3 * (i % 3) + (i + 1) % 3] = 1
    units = {"answers": losses(), "long": losses(), "roughness": losses(), "decisions": Unit(ids, cells)}
    units["texts"] = Unit(
        ("0", "1"), np.array([[9.0, 5, 3, 1 + (seed + i) % 3, 10, 9, 8, 7, 10, 10] for i in range(2)])
    )
    scalars = {"angle": angle, "train_loss": level - gain + rng.gauss(0, noise), "sigma": 0.3 + rng.gauss(0, noise)}
    return Measured(units, scalars, ((0, 128, level),), {"split": "validation"})


def pairing(seeds: int, factor: str = FACTOR) -> Pairing:
    return Pairing(factor, "false", {"true": tuple(Pair(s, f"c{s}", f"t{s}") for s in range(seeds))})


def case(seeds: int = 3, gain: float = 0.0, factor: str = FACTOR, **options: Any) -> tuple[Row, dict[str, Row]]:
    found = {f"c{s}": training(s, **options) for s in range(seeds)}
    found |= {f"t{s}": training(s, gain or 1e-9, **options) for s in range(seeds)}
    result = compare(pairing(seeds, factor), found, DRAWS)
    return result, {row["name"]: row for row in result["comparisons"][0]["figures"]}


def test_an_effect_is_found_with_its_size_and_sign() -> None:
    result, rows = case(gain=0.5)
    loss = rows["validation_loss"]
    assert loss["verdict"] == "effect" and loss["good"] is True
    assert loss["mean"] == pytest.approx(-0.5, abs=0.02) and loss["low"] < loss["mean"] < loss["high"] < 0
    assert loss["documents"]["low"] < -0.5 + 0.02 and loss["documents"]["high"] < 0 and loss["documents"]["n"] == 40
    assert rows["roughness"]["verdict"] == "effect" and "good" not in rows["roughness"]  # neither way is better
    assert result["method"]["family"] == sum(r["p_holm"] is not None for r in rows.values())
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_an_effect_for_the_worse_says_so() -> None:
    _, rows = case(gain=-0.5)
    assert rows["validation_loss"]["verdict"] == "effect" and rows["validation_loss"]["good"] is False


def test_what_is_not_there_is_hardly_ever_claimed() -> None:
    """Holm: at most one family in twenty claims anything at all where nothing is."""
    claimed = 0
    for trial in range(60):
        found = {
            f"{k}{s}": training(1000 * trial + 10 * s + i, noise=0.2) for s in range(3) for i, k in enumerate("ct")
        }
        rows = compare(pairing(3), found, 100)["comparisons"][0]["figures"]
        claimed += any(row["verdict"] == "effect" for row in rows)
    assert claimed <= 6


def test_holm_is_stricter_than_the_interval_alone() -> None:
    _, rows = case(gain=0.05, noise=0.05)
    for row in rows.values():
        if row["p_holm"] is not None:
            assert row["p_holm"] >= row["p"]
            assert row["verdict"] != "effect" or row["low"] > 0 or row["high"] < 0


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_pairs_are_not_judged(seeds: int) -> None:
    result, rows = case(seeds, gain=0.5)
    assert result["method"]["family"] == 0
    assert {r["verdict"] for r in rows.values()} == {"undecided"}
    assert rows["validation_loss"]["why"] == "seeds" and rows["validation_loss"]["documents"]["high"] < 0
    assert (rows["validation_loss"]["low"] is None) == (seeds == 1)


def test_the_same_difference_thrice_is_no_proof() -> None:
    found = {f"c{s}": training(s) for s in range(3)}
    for s in range(3):
        moved = {**found[f"c{s}"].scalars, "sigma": (found[f"c{s}"].scalars["sigma"] or 0) - 0.25}
        found[f"t{s}"] = Measured(found[f"c{s}"].units, moved, (), {})
    rows = {r["name"]: r for r in compare(pairing(3), found, DRAWS)["comparisons"][0]["figures"]}
    assert (rows["sigma"]["verdict"], rows["sigma"]["why"]) == ("undecided", "spread")
    assert rows["validation_loss"]["verdict"] == "none" and rows["validation_loss"]["mean"] == 0


def test_documents_may_overrule_the_seeds() -> None:
    """Three seeds agree on a difference that one document makes: drawn anew, it is gone."""
    found: dict[str, Measured] = {}
    for s in range(3):
        c, t = training(s, noise=0.0), training(s, noise=0.0)
        t.units["answers"].sums[0, 0] -= 5 + 0.01 * s
        t.units["answers"].sums[1:, 0] += 0.05
        found |= {f"c{s}": c, f"t{s}": t}
    (row,) = [
        r for r in compare(pairing(3), found, DRAWS)["comparisons"][0]["figures"] if r["name"] == "validation_loss"
    ]
    assert row["p_holm"] < 0.05 and row["documents"]["high"] > 0
    assert (row["verdict"], row["why"]) == ("none", "documents")


def test_one_document_proves_nothing() -> None:
    _, rows = case(gain=0.5, documents=1)
    assert rows["validation_loss"]["p_holm"] < 0.05 and rows["validation_loss"]["documents"] is None
    assert (rows["validation_loss"]["verdict"], rows["validation_loss"]["why"]) == ("none", "documents")
    assert rows["train_loss"]["verdict"] == "effect"  # no sum over documents


def test_the_targets_of_the_plan_are_for_pet_alone() -> None:
    _, rows = case(gain=0.5)
    assert (rows["train_loss"]["plan"], rows["sigma"]["plan"], rows["bleu"]["plan"]) == (-0.1, -0.05, 5.0)
    assert rows["train_loss"]["reached"] is True and rows["sigma"]["reached"] is False
    assert rows["train_loss"]["mean"] == pytest.approx(-0.25, abs=0.06)  # a share of the control, as in the plan
    _, rows = case(gain=0.5, factor="train.gate.enabled")
    assert all(row["plan"] is None and "reached" not in row for row in rows.values())


def test_what_one_side_does_not_have_is_left_out() -> None:
    _, rows = case(angle=None)
    assert (rows["angle"]["verdict"], rows["angle"]["why"]) == ("unmeasured", "missing")


def test_a_setting_that_redefines_the_loss() -> None:
    result, rows = case(gain=0.5, factor="train.label_smoothing")
    assert rows["train_loss"]["why"] == rows["sigma"]["why"] == "redefined"
    assert rows["validation_loss"]["verdict"] == "effect" and result["method"]["family"] <= 7


def test_other_documents_are_no_pair() -> None:
    found = {"c0": training(0), "t0": training(0, documents=39)}
    with pytest.raises(NotComparable):
        compare(pairing(1), found, DRAWS)


def test_the_bootstrap_is_the_same_again_and_narrows_with_documents() -> None:
    few, many = ([(training(0, documents=n), training(0, 0.1, documents=n))] for n in (10, 1000))
    loss = BY_NAME["validation_loss"]
    a, b = resampled(loss, few, DRAWS, 8), resampled(loss, few, DRAWS, 8)
    c = resampled(loss, many, DRAWS, 8)
    assert a == b and a is not None and c is not None and c[1] - c[0] < a[1] - a[0]
    assert resampled(BY_NAME["sigma"], few, DRAWS, 8) is None
    assert resampled(loss, [(training(0, documents=1),) * 2], DRAWS, 8) is None


def test_values() -> None:
    one = training(3)
    cells = one.units["decisions"].sums.sum(0).reshape(3, 3)
    assert value(BY_NAME["accuracy"], one) == pytest.approx(np.trace(cells) / cells.sum())
    assert value(BY_NAME["long_loss"], Measured({}, {}, (), {})) is None
    assert difference(BY_NAME["train_loss"], 0.0, 1.0) is None
    assert run_row("x", one)["values"].keys() == BY_NAME.keys()


RECORD: Row = {
    "units": {
        "answers": {"ids": ["a", "b"], "sums": [[4.0, 2], [3.0, 1]]}, "roughness": {"ids": ["a"], "sums": [[1, 2]]},
        "decisions": {"ids": ["a"], "sums": [[1, 0, 0, 0, 0, 0, 0, 0, 0]]},
    },
    "texts": [{"id": "0", "made": "あいうえお", "reference": "あいうえか"}], "angle": 2.5,
    "positions": [[0, 128, 30.0, 10]], "facts": {"split": "validation"},
}  # fmt: skip


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps({"step": i, "loss": 8.0 - i}) + "\n" for i in range(8)), encoding="utf-8")
    return path


def test_a_record_is_read(history: Path) -> None:
    found = measured(RECORD, history, "here")
    assert value(BY_NAME["validation_loss"], found) == pytest.approx(7 / 3)
    assert value(BY_NAME["long_loss"], found) is None and value(BY_NAME["angle"], found) == 2.5
    assert value(BY_NAME["train_loss"], found) == 1.5 and found.positions == ((0, 128, 3.0),)
    assert value(BY_NAME["sigma"], found) == pytest.approx(0.7071, abs=1e-4)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        RECORD | {"units": []},
        RECORD | {"units": {"answers": {"ids": ["a"], "sums": [[1.0]]}}},
        RECORD | {"units": {"answers": {"ids": ["a", "a"], "sums": [[1, 1], [1, 1]]}}},
        RECORD | {"units": {"answers": {"ids": [], "sums": []}}},
        RECORD | {"units": {"answers": {"ids": ["a"], "sums": [[float("nan"), 1]]}}},
        RECORD | {"angle": "wide"},
        RECORD | {"angle": float("inf")},
        RECORD | {"positions": [[0, 128, 3.0, 0]]},
        RECORD | {"positions": [[0, 128]]},
        RECORD | {"texts": [{"id": "0", "made": "あ"}]},
        RECORD | {"facts": 3},
    ],
)
def test_a_broken_record_is_refused(broken: Row, history: Path) -> None:
    with pytest.raises(RecordInvalid) as caught:
        measured(broken, history, "here")
    assert caught.value.where == "here"


@pytest.mark.parametrize("loss", ['"low"', "true", "null", "1e999"])
def test_a_broken_history_is_refused(loss: str, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(f'{{"step": 0, "loss": {loss}}}\n', encoding="utf-8")
    with pytest.raises(RecordInvalid):
        tail(path)


def test_a_history_of_one_step_and_of_none(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("", encoding="utf-8")
    assert tail(path) == {"train_loss": None, "sigma": None}
    path.write_text('{"loss": 2.0}\n', encoding="utf-8")
    assert tail(path) == {"train_loss": 2.0, "sigma": None}
