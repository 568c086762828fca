"""The table: our figures, the plan's beside them, in two languages."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from so8t.build.plan.fit import CARDS
from so8t.build.plan.memory import HEAP
from so8t.build.plan.row import TOPICS, Row
from so8t.build.plan.timing import Timing
from so8t.build.planner import disk_bytes, estimate
from so8t.core.config import Config, PlanConfig, load_config, profile_names

TIMING = Timing(micro=0.5, micro_layer=0.1, step=0.2, step_layer=0.01, tokens=2048, device="cpu")


def rows(config: Config, **options: Any) -> dict[str, Row]:
    found = estimate(config, **options)
    assert len({r.en for r in found}) == len({r.ja for r in found}) == len(found)
    return {r.en: r for r in found}


@pytest.fixture(scope="module")
def phi4() -> dict[str, Row]:
    return rows(load_config("phi4-mini-12gb"), device="cuda")


@pytest.mark.parametrize(
    ("name", "value", "plan"),
    [
        ("base", "3,836,021,760", "14B"),
        ("LoRA", "92,274,688", "400M"),
        ("rotation gates", "344,064", "786,432"),
        ("weights of the base", "4.15 GiB", "~7 GB"),
        ("one checkpoint", "0.87 GiB", "15 GB"),
        ("GGUF F16", "7.15 GiB", "28 GB"),
        ("running cost a month", "57,560 円", "57,560 円"),
        ("initial cost", "2,025,000 円", "2,025,000 円"),
        ("payback (beside 300,000 yen a month)", "8.4 か月", "約 6 か月"),
        ("payback (beside all of them together)", "4.6 か月", "約 6 か月"),
        ("saving (beside 300,000 yen a month)", "+81 %", "87 %"),
        ("electricity of training (333 hours)", "4,995 円", ""),
    ],
)
def test_ours_beside_the_plans(phi4: dict[str, Row], name: str, value: str, plan: str) -> None:
    assert (phi4[name].value, phi4[name].plan) == (value, plan)


def test_the_peak_is_less_than_the_sum_of_its_rows(phi4: dict[str, Row]) -> None:
    parts = [r.number or 0 for r in phi4.values() if r.topic == "memory" and r.en not in ("peak", "burn-in")]
    peak = phi4["peak"].number or 0
    assert max(parts) < peak < sum(parts)
    assert 6 < peak / 2**30 < 10.5 and "unverified on a 12 GB card" in phi4["peak"].basis_en


def test_a_cpu_is_planned_for_in_fp32() -> None:
    found = rows(load_config("phi4-mini-12gb"), device="cpu")
    assert found["weights of the base"].basis == "cpu, fp32" and "GPU" not in found["peak"].basis
    assert (found["checkpoint being written"].number or 0) > 1e9
    resident = found["peak (with glibc's allocator as it comes)"]
    assert resident.number == pytest.approx(HEAP * (found["peak"].number or 0)) and "MALLOC" in resident.basis


def test_fit(phi4: dict[str, Row]) -> None:
    for card in CARDS:
        assert phi4[f"for a card of {card} GB"].value == f"phi4-mini-{card}gb"
    assert phi4["phi4-mini-24gb"].value.endswith("- / 24 / 48 / 80")
    assert "this configuration" in rows(load_config("tiny"))


def test_no_time_is_claimed_without_a_measurement(phi4: dict[str, Row]) -> None:
    assert phi4["training time"].number is None and phi4["training time"].value_en == "not measured"
    assert "one step" not in phi4 and "electricity of training" not in phi4


def test_a_measured_step_gives_hours_and_their_cost() -> None:
    config = load_config("phi4-mini-12gb")
    found = rows(config, timing=TIMING)
    step = 8 * (0.5 + 32 * 0.1) + 0.2 + 32 * 0.01
    hours = step * (found["optimizer steps"].number or 0) / 3600
    assert found["one step"].number == pytest.approx(step)
    assert found["training time"].number == pytest.approx(hours) and "333" in found["training time"].plan
    assert found["speed"].number == pytest.approx(16 * 1024 / step)
    assert found["checkpoints"].number == int(hours * 20) + 1
    assert found["electricity of training"].number == pytest.approx(hours * 0.5 * 30)


def test_prices_are_the_users() -> None:
    mine = PlanConfig(cloud_yen=(50_000.0,), hardware_yen=0.0, labour_hours=0.0)
    found = rows(dataclasses.replace(load_config("tiny"), plan=mine))
    assert found["payback (beside 50,000 yen a month)"].value_en == "never"
    assert found["ROI of the first year (beside 50,000 yen a month)"].value == "-"
    assert not any("all of them" in name for name in found)


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_profile(profile: str, device: Any) -> None:
    found = estimate(load_config(profile), device, TIMING)
    assert [t for t in TOPICS if any(r.topic == t for r in found)] == list(TOPICS)
    for row in found:
        assert row.ja and row.en and row.value and row.cells("ja")[0] != "" and row.to_json()["value"] == row.value
        assert all(ord(c) < 0x3000 for cell in row.cells("en") for c in cell), row
    assert disk_bytes(load_config(profile)) > 0
