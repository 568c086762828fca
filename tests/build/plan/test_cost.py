"""Power and money: the plan's own prices give the plan's own sums, but not its payback."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.plan.cost import Cost
from so8t.core.config import PlanConfig
from so8t.pipeline import STAGE_TABLE

PLAN = Cost(PlanConfig())


def test_the_plans_tables() -> None:
    """Plan 1.2."""
    assert (PLAN.monthly_kwh, PLAN.monthly_power, PLAN.monthly) == (252, 7_560, 57_560)
    assert PLAN.initial == 2_025_000
    assert (PLAN.training_kwh(33), PLAN.training(33)) == (16.5, 495)


@pytest.mark.parametrize(("cloud", "months"), [(300_000, 8.4), (200_000, 14.2), (500_000, 4.6)])
def test_payback_is_not_six_months(cloud: float, months: float) -> None:
    assert PLAN.payback_months(cloud) == pytest.approx(months, abs=0.05)


def test_what_never_pays_back() -> None:
    assert PLAN.payback_months(57_560) is None and PLAN.payback_months(0) is None
    assert PLAN.saving(0) is None and PLAN.saving(300_000) == pytest.approx(0.808, abs=0.001)
    assert Cost(PlanConfig(hardware_yen=0, labour_hours=0)).return_on_investment(1e6) is None


yen = st.floats(0, 1e8)


@given(yen, yen)
def test_after_the_payback_the_return_is_zero(cloud: float, hardware: float) -> None:
    cost = Cost(dataclasses.replace(PLAN.prices, hardware_yen=hardware + 1))
    months = cost.payback_months(cloud)
    if months is not None and months > 1e-6:
        saved = (cloud - cost.monthly) * months
        assert saved == pytest.approx(cost.initial)
        value = cost.return_on_investment(cloud, 12)
        assert value is not None and (value > 0) == (months < 12)


def test_no_stage_depends_on_prices() -> None:
    assert not [s.name for s in STAGE_TABLE.values() if any(p.split(".")[0] == "plan" for p in s.sections)]
