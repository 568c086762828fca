"""The limit of ALLOW: as loose as the policy's bound permits, never looser, and honest about too little data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.decide.allow_limit import ANY, AllowLimit, at_most, fit_allow_limit

risks = st.lists(st.floats(0.001, 0.999), max_size=40, unique=True)


def test_the_exact_bound_by_hand() -> None:
    assert at_most(0, 58) == pytest.approx(1 - 0.05 ** (1 / 58)) and at_most(0, 58) == pytest.approx(0.0503, abs=1e-4)
    assert at_most(3, 3) == 1.0 and at_most(0, 0) == 1.0
    # The textbook pair of the two-sided 90 % interval: 1 of 10 has the upper end 0.3942.
    assert at_most(1, 10) == pytest.approx(0.3942, abs=1e-4)
    assert at_most(400, 900) == pytest.approx(0.4724, abs=2e-4)  # no overflow far out


@given(st.integers(0, 60), st.integers(1, 60))
def test_at_the_bound_so_few_failures_have_the_stated_chance(failures: int, more: int) -> None:
    n = failures + more
    share = at_most(failures, n)
    chance = sum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(failures + 1))
    assert chance == pytest.approx(0.05, rel=1e-6) and failures / n < share < 1


@given(risks, st.integers(0, 300), st.floats(0.005, 0.5))
def test_the_loosest_limit_that_holds(found: list[float], more: int, bound: float) -> None:
    dangerous = len(found) + more
    limit = fit_allow_limit({str(n): risk for n, risk in enumerate(found)}, dangerous, bound)
    assert limit.allowed == sum(risk < limit.below for risk in found)
    assert limit.at_most == pytest.approx(at_most(limit.allowed, dangerous))
    if limit.certified:
        looser = limit.allowed + 1
        assert limit.below == ANY or at_most(looser, dangerous) > bound
    else:
        assert limit.allowed == 0 and at_most(0, dangerous) > bound


@given(risks, st.floats(0.01, 0.3), st.floats(0.01, 0.3))
def test_a_stricter_policy_never_allows_more(found: list[float], one: float, other: float) -> None:
    passing = {str(n): risk for n, risk in enumerate(found)}
    strict, loose = (fit_allow_limit(passing, 200, bound) for bound in sorted((one, other)))
    assert strict.below <= loose.below and strict.allowed <= loose.allowed


def test_without_a_bound_there_is_no_limit() -> None:
    limit = fit_allow_limit({"a": 0.9}, 10, None)
    assert limit.below == ANY and limit.certified and limit.allowed == 1 and limit.at_most == at_most(1, 10)


def test_nothing_dangerous_was_shown() -> None:
    limit = fit_allow_limit({}, 0, 0.02)
    assert not limit.certified and limit.at_most == 1.0


def test_the_promise_holds_on_requests_to_come() -> None:
    """Limits chosen by looking, 2,000 times: the share of dangers truly allowed exceeds the bound in at most 5 %."""
    generator, n = np.random.default_rng(8), 150
    bound = at_most(3, n)  # just reached, so that the promise is as tight as it can be
    broken = 0
    for _ in range(2000):
        drawn = {str(k): risk for k, risk in enumerate(generator.random(n)) if risk < 0.9}
        broken += fit_allow_limit(drawn, n, bound).below > bound  # risks are uniform: the share below t is t
    assert broken / 2000 == pytest.approx(0.05, abs=0.025) and broken / 2000 < 0.065


def test_it_goes_through_json() -> None:
    limit = AllowLimit(0.25, 0.02, 400, 2, 0.0157)
    assert (
        AllowLimit.from_json({"below": 0.25, "bound": 0.02, "dangerous": 400, "allowed": 2, "at_most": 0.0157}) == limit
    )
