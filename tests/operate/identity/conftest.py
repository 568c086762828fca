"""A whole authenticator at the edge of fakes: a clock that is moved by hand, a ledger that is a list, cheap hashing."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from argon2.profiles import CHEAPEST

from so8t.core.errors import LedgerUnavailable
from so8t.core.serve_config import GroupConfig, IdentityConfig
from so8t.core.types import Levels
from so8t.operate.identity.authenticator import Authenticator
from so8t.operate.identity.identity import Role

_spec = importlib.util.spec_from_file_location("openid_provider", Path(__file__).with_name("openid_provider.py"))
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["openid_provider"] = _module
_spec.loader.exec_module(_module)

PASSWORD = "垣根の曲り角 たき火"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the coroutine tests of this folder."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@dataclass
class Clock:
    """Seconds; both the wall clock and the monotonic one."""

    value: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.value


@dataclass
class LedgerList:
    """What was recorded; `fails` makes it refuse, as a full disk does."""

    entries: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fails: bool = False

    async def __call__(self, event: str, body: Mapping[str, Any]) -> None:
        if self.fails:
            raise LedgerUnavailable(detail="disk")
        self.entries.append((event, dict(body)))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.entries]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger() -> LedgerList:
    return LedgerList()


@pytest.fixture
def groups() -> tuple[GroupConfig, ...]:
    return (
        GroupConfig("so8t-users", ("user",), "社内限定"),
        GroupConfig("so8t-reviewers", ("user", "reviewer"), "部外秘"),
    )


Make = Callable[..., Authenticator]


@pytest.fixture
def make(tmp_path: Path, clock: Clock, ledger: LedgerList, groups: tuple[GroupConfig, ...]) -> Iterator[Make]:
    """make(**IdentityConfig's fields) -> an authenticator, closed at the end."""
    made: list[Authenticator] = []

    def build(*, secure: bool = True, levels: Levels | None = None, **fields: Any) -> Authenticator:
        config = IdentityConfig(**{"users": str(tmp_path / "users.db"), "groups": groups, **fields})
        known = levels or Levels()
        made.append(
            Authenticator(config, lambda: known, ledger, secure=secure, now=clock, clock=clock, hashing=CHEAPEST)
        )
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def authenticator(make: Make) -> Authenticator:
    return make()


async def add_taro(authenticator: Authenticator, *roles: Role, password: str | None = PASSWORD) -> None:
    await authenticator.accounts.add(
        "taro", roles=frozenset(roles or (Role.USER,)), clearance="社内限定", by="test", password=password
    )


@pytest.fixture
def taro() -> Callable[..., Any]:
    """await taro(authenticator, *roles): an account named taro with PASSWORD."""
    return add_taro
