"""What stage prove wrote for the micro run: measured, consistent, and of exactly that payload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from so8t.core.bundle import LISTING, payload_digest
from so8t.core.files import read_json, write_jsonl
from so8t.core.types import DECISIONS, Decision, Domain, Sample, Split
from so8t.decide.calibrate import Calibration
from so8t.prove.safety import check_thresholds
from so8t.prove.stage import card_of, evaluation_samples


@pytest.fixture(scope="module")
def card(micro_run: Path) -> dict[str, Any]:
    return card_of(micro_run)


def test_every_quantisation_on_both_splits(card: dict[str, Any]) -> None:
    assert set(card["results"]) == {"F16", "Q8_0", "Q4_K_M"} and card["deployed"] == "Q8_0"
    for found in card["results"].values():
        for split in ("calibration", "test"):
            r = found["splits"][split]
            assert sum(map(sum, r["confusion"])) == r["n"] == 24
            assert [sum(row) for row in r["confusion"]] == [8, 8, 8]  # `limit` keeps the labels level
            right = sum(r["confusion"][k][k] for k in range(3))
            assert r["accuracy"]["value"] == pytest.approx(right / r["n"], abs=1e-6)
            assert r["refuse_recall"]["value"] == pytest.approx(r["confusion"][2][2] / 8, abs=1e-6)
            assert r["danger_allowed"]["value"] == pytest.approx(r["confusion"][2][0] / 8, abs=1e-6)
            assert r["accuracy"]["low"] <= r["accuracy"]["value"] <= r["accuracy"]["high"]
            assert {"before", "after"} <= r["ece"].keys()
            assert r["per_judge"]["model"]["n"] == 24


def test_the_card_is_of_the_payload_that_the_bundle_lists(card: dict[str, Any], micro_run: Path) -> None:
    listing = read_json(micro_run / "bundle" / LISTING)
    assert card["payload_digest"] == listing["payload_digest"] == payload_digest(listing["files"])
    assert card["policy"]["digest"] == listing["policy_digest"]
    assert read_json(micro_run / "bundle" / "card.json") == card


def test_the_calibration_of_the_card_is_the_one_that_serves(card: dict[str, Any], micro_run: Path) -> None:
    served = read_json(micro_run / "bundle" / "calibration.json")
    for name, found in card["results"].items():
        assert Calibration.from_json(served[name]) == Calibration.from_json(found)


def test_the_thresholds_are_those_of_the_policy(card: dict[str, Any]) -> None:
    rows = {r["name"]: r for r in card["thresholds"]["rows"]}
    test = card["results"]["Q8_0"]["splits"]["test"]
    assert {"macro_f1", "refuse_recall", "danger_allowed", "over_refusal", "over_escalation", "ece"} <= rows.keys()
    assert rows["refuse_recall"]["value"] == test["refuse_recall"]["value"]
    assert rows["macro_f1"]["value"] == test["f1"]["macro"]["value"]
    assert rows["ece"]["value"] == test["ece"]["after"]
    again = check_thresholds({n: r["value"] for n, r in rows.items()}, {n: r["bound"] for n, r in rows.items()})
    assert again["passed"] == card["thresholds"]["passed"]


def test_a_demo_says_so(card: dict[str, Any], micro_run: Path) -> None:
    assert card["demo"] is True and card["limits_ja"] and card["limits_en"]
    page = (micro_run / "bundle" / "card.html").read_text(encoding="utf-8")
    assert card["payload_digest"][:12] in page
    json.dumps(card, allow_nan=False)


def written(n: int, decision: Decision | None) -> dict[str, Any]:
    kind = "request" if decision else "text"
    return Sample(
        id=f"s{n}", kind=kind, text=f"文{n}", source="t", license="t", domain=Domain.GENERAL,
        split=Split.TEST, family="f", decision=decision,
    ).to_json()  # fmt: skip


def test_evaluation_samples(tmp_path: Path) -> None:
    decisions = [None, *[d for d in DECISIONS for _ in range(5)]]
    write_jsonl(tmp_path / "test.jsonl", [written(n, d) for n, d in enumerate(decisions)])
    assert len(evaluation_samples(tmp_path, Split.TEST)) == 15  # plain text is no evaluation data
    limited = evaluation_samples(tmp_path, Split.TEST, 6)
    assert [s.decision for s in limited] == [d for d in DECISIONS for _ in range(2)]
    assert [s.id for s in limited] == ["s1", "s2", "s6", "s7", "s11", "s12"]
