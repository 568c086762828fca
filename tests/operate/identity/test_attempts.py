"""Guessing is slowed and stopped, nobody is locked out by a stranger, and memory is bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import TooManyAttempts
from so8t.operate.identity.attempts import WIDER, Attempts, network_of

MINUTES = 15.0


@pytest.fixture
def attempts(clock: Callable[[], float]) -> Attempts:
    return Attempts(5, MINUTES, clock)


def fail(attempts: Attempts, clock: Any, name: str | None, address: str | None) -> None:
    """Wait as told, then try and be wrong."""
    clock.value += attempts.wait(name, address)
    attempts.begin(name, address)


def test_waits_double_then_the_door_is_shut(attempts: Attempts, clock: Any) -> None:
    waits = []
    for _ in range(5):
        attempts.begin("taro", "10.0.0.1")
        waits.append(attempts.wait("taro", "10.0.0.1"))
        if len(waits) < 5:
            clock.value += waits[-1]
    assert waits == [1, 2, 4, 8, MINUTES * 60]
    with pytest.raises(TooManyAttempts) as caught:
        attempts.begin("taro", "10.0.0.1")
    assert caught.value.seconds == 900 and "900 s" in str(caught.value)
    assert attempts.locked("taro", "10.0.0.1") == ["pair"]
    clock.value += 899
    assert attempts.wait("taro", "10.0.0.1") == 1
    clock.value += 1
    attempts.begin("taro", "10.0.0.1")
    assert attempts.wait("taro", "10.0.0.1") == 1  # a new count


def test_the_owner_still_gets_in_from_elsewhere(attempts: Attempts, clock: Any) -> None:
    for _ in range(5):
        fail(attempts, clock, "taro", "10.0.0.66")
    assert attempts.wait("taro", "10.0.0.66") > 0 and attempts.wait("taro", "10.0.0.1") == 0


def test_one_address_cannot_lock_everybody(attempts: Attempts, clock: Any) -> None:
    """It is stopped itself after 20, and no name is shut to anybody else."""
    names, tried = [f"user{n}" for n in range(60)], 0
    for name in names:
        try:
            attempts.begin(name, "10.0.0.66")
            tried += 1
        except TooManyAttempts:
            clock.value += 8
    assert tried == 5 * WIDER and attempts.locked(None, "10.0.0.66") == ["address"]
    assert all(attempts.wait(name, "10.0.0.1") == 0 for name in names)


def test_many_addresses_cannot_guess_one_name(attempts: Attempts, clock: Any) -> None:
    for n in range(5 * WIDER):
        fail(attempts, clock, "taro", f"10.0.1.{n}")
    assert attempts.locked("taro", "10.9.9.9") == ["name"] and attempts.wait("taro", "10.9.9.9") > 600


def test_a_hundred_at_once_are_one_guess(attempts: Attempts) -> None:
    begun = 0
    for _ in range(100):
        try:
            attempts.begin("taro", "10.0.0.1")
            begun += 1
        except TooManyAttempts:
            continue
    assert begun == 1


def test_success_forgets_the_name_but_not_what_the_address_did(attempts: Attempts, clock: Any) -> None:
    for n in range(19):
        fail(attempts, clock, f"user{n}", "10.0.0.66")
    fail(attempts, clock, "mallory", "10.0.0.66")
    attempts.succeeded("mallory", "10.0.0.66")  # an account of one's own resets nothing
    fail(attempts, clock, "user20", "10.0.0.66")
    assert attempts.wait(None, "10.0.0.66") > 600
    attempts.begin("hanako", "10.0.0.1")
    attempts.succeeded("hanako", "10.0.0.1")
    assert attempts.wait("hanako", "10.0.0.1") == 0


def test_memory_is_bounded(clock: Any) -> None:
    attempts = Attempts(5, MINUTES, clock, maximum=100)
    for n in range(1000):
        attempts.begin(f"user{n}", f"10.1.{n // 250}.{n % 250}")
    assert len(attempts) <= 100


def test_a_shared_address_is_not_counted(attempts: Attempts, clock: Any) -> None:
    for n in range(100):
        attempts.begin(f"user{n}", None)
    assert attempts.wait("hanako", None) == 0 and attempts.wait("user1", None) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_what_one_machine_can_take(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) == same


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.booleans(), st.integers(0, 400)), max_size=60)
)
def test_never_more_guesses_than_said(steps: list[tuple[str, str, bool, int]]) -> None:
    """Within one lock's length no pair gets more than `attempts` wrong guesses."""
    clock = [0.0]
    attempts, wrong = Attempts(3, MINUTES, lambda: clock[0]), []
    for name, address, right, later in steps:
        clock[0] += later
        try:
            attempts.begin(name, address)
        except TooManyAttempts as error:
            assert 1 <= error.seconds <= MINUTES * 60
            continue
        if right:
            attempts.succeeded(name, address)
            wrong = [w for w in wrong if w[0] != name or w[1] != address]
        else:
            wrong.append((name, address, clock[0]))
        for n, a, _ in wrong:
            near = [t for m, b, t in wrong if (m, b) == (n, a) and clock[0] - MINUTES * 60 < t]
            assert len(near) <= 3
