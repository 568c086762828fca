"""Argon2id in bounded threads; who does not exist costs what a wrong password costs."""

from __future__ import annotations

import asyncio
import dataclasses

import argon2
import pytest
from argon2.profiles import CHEAPEST, RFC_9106_LOW_MEMORY

from so8t.core.errors import AccountInvalid, TooManyAttempts
from so8t.operate.identity import passwords
from so8t.operate.identity.passwords import Passwords, check_password

GOOD = "垣根の曲り角 たき火"


@pytest.mark.parametrize(
    "raw",
    ["", "short", "x" * 9, "1234567890", "password12345", "Ｐａｓｓｗｏｒｄ！！！", "qwertyuiop", "aaaaaaaaaaaaaa",
     "abababababab", "パスワード2026!!", "my name taro is", "TARO-taro-12345", "tab\tin the middle", "x" * 257,
     "あいうえお12345", "\ud800 broken surrogate", "1qaz2wsx3edc"],
)  # fmt: skip
def test_refused_without_being_repeated(raw: str) -> None:
    with pytest.raises(AccountInvalid) as caught:
        check_password(raw, "taro")
    assert len(raw) < 3 or raw not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("raw", [GOOD, "correct horse battery", "kX9-vb2-Qm7!", "桜の木の下で会いましょう"])
def test_accepted(raw: str) -> None:
    check_password(raw, "taro")


async def test_verify_and_rehash() -> None:
    old, new = Passwords(CHEAPEST), Passwords(dataclasses.replace(CHEAPEST, time_cost=2))
    try:
        stored = await old.hash(GOOD)
        assert stored.startswith("$argon2id$") and GOOD not in stored
        assert await old.verify(stored, GOOD) == passwords.Verified(True)
        assert not (await old.verify(stored, GOOD + "x")).right
        assert not (await old.verify("no hash at all", GOOD)).right
        assert not (await old.verify(None, GOOD)).right
        assert not (await old.verify(stored, "\ud800")).right
        again = await new.verify(stored, GOOD)
        assert again.right and again.renewed is not None and "t=2" in again.renewed
        assert (await new.verify(again.renewed, GOOD)).renewed is None
    finally:
        old.close()
        new.close()


async def test_the_keyboards_mode_does_not_matter() -> None:
    hashing = Passwords(CHEAPEST)
    try:
        assert (await hashing.verify(await hashing.hash("ｋＸ９－vb2－Ｑm7！"), "kX9-vb2-Qm7!")).right
    finally:
        hashing.close()


async def test_nobody_costs_one_verification_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Structure, not a stopwatch: each way verifies exactly one hash of the same parameters."""
    seen: list[str] = []
    real = argon2.PasswordHasher.verify

    def counted(self: argon2.PasswordHasher, stored: str, password: bytes) -> bool:
        seen.append(stored.rsplit("$", 2)[0])
        return real(self, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    hashing = Passwords(CHEAPEST)
    try:
        stored = await hashing.hash(GOOD)
        for who in (stored, None):
            seen.clear()
            assert not (await hashing.verify(who, "wrong password")).right
            assert seen == [stored.rsplit("$", 2)[0]]
    finally:
        hashing.close()


async def test_few_wait_and_the_rest_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    hashing = Passwords(CHEAPEST)
    try:
        done = await asyncio.gather(*(hashing.hash(GOOD) for _ in range(8)), return_exceptions=True)
        assert sum(isinstance(d, str) for d in done) == 3
        assert sum(isinstance(d, TooManyAttempts) for d in done) == 5
        assert isinstance(await hashing.hash(GOOD), str)
    finally:
        hashing.close()


def test_the_parameters_are_the_rfcs() -> None:
    chosen = RFC_9106_LOW_MEMORY
    assert (chosen.type, chosen.memory_cost, chosen.time_cost, chosen.parallelism) == (argon2.Type.ID, 65_536, 3, 4)
    assert (Passwords.__init__.__defaults__ or ())[0] is chosen
