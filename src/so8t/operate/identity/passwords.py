"""Passwords: argon2id by RFC 9106's second recommended option (64 MiB, 3 passes, 4 lanes), in threads of their own.

A hash costs about 64 MiB and a quarter of a second, so only a few run at once and few may wait: logging in cannot be
used to fill the memory or to hold up the gateway's other work.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import Parameters, PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.profiles import RFC_9106_LOW_MEMORY

from so8t.core.errors import AccountInvalid, TooManyAttempts
from so8t.core.text import nfkc
from so8t.operate.identity.names import folded

T = TypeVar("T")
SHORTEST, LONGEST = 10, 256
AT_ONCE = 2
MAX_WAITING = 32
_WORDS = (
    "password passw0rd p@ssword p@ssw0rd pass qwerty qwertyuiop qwertyuiopasdfghjkl asdfghjkl zxcvbnm letmein welcome "
    "admin administrator root changeme iloveyou abc abcd abcdefghij monkey dragon football baseball sunshine princess "
    "superman master login test testtest guest secret default company office windows user so8t "
    "パスワード あいうえお あいうえおかきくけこ ひみつ ヒミツ pasuwado aiueo aiueokakikukeko sakura nippon nihon japan "
    "tokyo toukyou osaka konnichiwa ohayou arigatou 1qaz2wsx 1qaz2wsx3edc 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y q1w2e3r4t5 "
    "qazwsxedc qazwsxedcrfv zaq12wsx"
)
_COMMON = frozenset(_WORDS.split())
_ROWS = ("01234567890123456789", "98765432109876543210", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm")
_PADDING = "0123456789!?.,_-#$%&*@+=~ "


@dataclass(frozen=True, slots=True)
class Verified:
    """`renewed`: the hash to store instead, where the stored one was made with other parameters."""

    right: bool
    renewed: str | None = None


def normal_password(raw: str) -> bytes:
    """One spelling whatever the keyboard's mode: NFKC (NIST SP 800-63B 5.1.1.2). What is too long matches nothing."""
    return nfkc(raw[: 2 * LONGEST]).encode("utf-8", "surrogatepass")


def check_password(raw: str, name: str) -> None:
    """Length, the commonest, and the name itself; no rules about kinds of characters. Raises AccountInvalid."""
    password = nfkc(raw[: 2 * LONGEST])
    if not SHORTEST <= len(password) <= LONGEST or len(raw) > LONGEST:
        raise AccountInvalid(
            detail=(f"パスワードは {SHORTEST} 〜 {LONGEST} 文字です", f"password: {SHORTEST} to {LONGEST} characters")
        )
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in password):
        raise AccountInvalid(detail=("パスワードに制御文字があります", "password: control character"))
    word = folded(password)
    core = word.strip(_PADDING)
    if len(set(word)) < 5 or core in _COMMON or word in _COMMON or any(word in row for row in _ROWS):
        raise AccountInvalid(detail=("よく使われるパスワードです", "password: too common"))
    if len(folded(name)) >= 3 and folded(name) in word:
        raise AccountInvalid(detail=("パスワードが名前を含みます", "password: contains the name"))


class Passwords:
    """Hashing with a bound on how many run and wait at once."""

    def __init__(self, parameters: Parameters = RFC_9106_LOW_MEMORY) -> None:
        self._hasher = PasswordHasher.from_parameters(parameters)
        self._pool = ThreadPoolExecutor(AT_ONCE, "so8t-password")
        self._waiting = 0
        self._nobody: str | None = None

    def close(self) -> None:
        self._pool.shutdown()

    async def hash(self, password: str) -> str:
        """Raises TooManyAttempts when too many wait."""
        return await self._run(self._hash, password)

    async def verify(self, stored: str | None, password: str) -> Verified:
        """`stored` None (nobody of that name, or no password) costs what a wrong password costs."""
        return await self._run(self._verify, stored, password)

    async def _run(self, work: Callable[..., T], *values: object) -> T:
        if self._waiting >= MAX_WAITING:
            raise TooManyAttempts(5)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *values)
        finally:
            self._waiting -= 1

    def _hash(self, password: str) -> str:
        return self._hasher.hash(normal_password(password))

    def _verify(self, stored: str | None, password: str) -> Verified:
        if self._nobody is None:
            self._nobody = self._hash(secrets.token_urlsafe())
        try:
            self._hasher.verify(stored or self._nobody, normal_password(password))
        except (Argon2Error, InvalidHashError):
            return Verified(False)
        if stored is None:
            return Verified(False)
        renewed = self._hash(password) if self._hasher.check_needs_rehash(stored) else None
        return Verified(True, renewed)
