"""Who asks: the one noun that the rest of the gateway knows of identity."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from so8t.core.errors import NotPermitted

Method = Literal["password", "key", "session", "oidc", "proxy"]


class Role(StrEnum):
    """user asks, reviewer decides what was handed over, auditor reads the evidence, admin manages."""

    USER = "user"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """An identified person or program. `clearance` is a level of the policy; `method` says how it was shown."""

    name: str
    roles: frozenset[Role]
    clearance: str
    method: Method
    groups: frozenset[str] = frozenset()

    def require(self, *roles: Role) -> None:
        """Raises NotPermitted unless one of these roles is held."""
        if self.roles.isdisjoint(roles):
            raise NotPermitted(detail=" / ".join(roles))
