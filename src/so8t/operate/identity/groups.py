"""What the company's directory says about somebody -> roles and clearance here (GroupConfig)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from so8t.core.errors import AccountInvalid, ConfigValueInvalid, NotPermitted
from so8t.core.serve_config import GroupConfig
from so8t.core.types import Levels
from so8t.operate.identity.identity import Role
from so8t.operate.identity.names import normal_group

MAX_GROUPS = 1000  # a directory that names more is not believed


@dataclass(frozen=True, slots=True)
class Standing:
    """Roles, clearance, and the groups (normal spelling) they come from."""

    roles: frozenset[Role]
    clearance: str
    groups: frozenset[str]


def standing(groups: Iterable[str], configured: Sequence[GroupConfig], levels: Levels) -> Standing:
    """All roles and the highest clearance of the groups that are configured; the others are forgotten.

    Raises NotPermitted when none matches or none of them carries a clearance that the policy in force names. A name
    that cannot be a group's is skipped: it can match nothing.
    """
    held = _normal(groups)
    matched = [g for g in configured if normal_group(g.group) in held]
    clearances = [g.clearance for g in matched if g.clearance in levels.names]
    roles = frozenset(Role(role) for g in matched for role in g.roles)
    if not roles or not clearances:
        raise NotPermitted(detail="group")
    names = frozenset(normal_group(g.group) for g in matched)
    return Standing(roles, max(clearances, key=levels.rank), names)


def check_groups(configured: Sequence[GroupConfig], levels: Levels) -> None:
    """Raises ConfigValueInvalid for a group without a usable name or with a clearance that is no level."""
    for group in configured:
        try:
            normal_group(group.group)
        except AccountInvalid as error:
            raise ConfigValueInvalid(where="serve.identity.groups", detail=f"group: {error.detail}") from None
        if group.clearance and group.clearance not in levels.names:
            detail = f"clearance = {group.clearance!r} ({' | '.join(levels.names)})"
            raise ConfigValueInvalid(where="serve.identity.groups", detail=detail)


def _normal(groups: Iterable[str]) -> set[str]:
    held = set()
    for number, group in enumerate(groups):
        if number >= MAX_GROUPS:
            raise NotPermitted(detail=f"groups > {MAX_GROUPS}")
        try:
            held.add(normal_group(group))
        except AccountInvalid:
            continue
    return held
