"""Groups of the directory -> roles and clearance."""

from __future__ import annotations

import pytest

from so8t.core.errors import ConfigValueInvalid, NotPermitted
from so8t.core.serve_config import GroupConfig
from so8t.core.types import Levels
from so8t.operate.identity.groups import MAX_GROUPS, check_groups, standing
from so8t.operate.identity.identity import Role

CONFIGURED = (
    GroupConfig("Users", ("user",), "社内限定"),
    GroupConfig("Reviewers", ("reviewer",), "極秘"),
    GroupConfig("Auditors", ("auditor",), ""),
)


def test_all_roles_and_the_highest_clearance() -> None:
    held = standing(["ＵＳＥＲＳ", "reviewers", "Sales", "bad\ngroup"], CONFIGURED, Levels())
    assert held.roles == {Role.USER, Role.REVIEWER} and held.clearance == "極秘"
    assert held.groups == {"users", "reviewers"}


@pytest.mark.parametrize("groups", [[], ["Sales"], ["Auditors"], ["Users\n"], ["x"] * (MAX_GROUPS + 1)])
def test_nobody_without_a_configured_group(groups: list[str]) -> None:
    with pytest.raises(NotPermitted):
        standing(groups, CONFIGURED, Levels())


def test_a_role_may_come_without_a_clearance_of_its_own() -> None:
    assert standing(["Auditors", "Users"], CONFIGURED, Levels()).roles == {Role.AUDITOR, Role.USER}


def test_a_clearance_the_policy_has_dropped_is_none() -> None:
    with pytest.raises(NotPermitted):
        standing(["Users"], CONFIGURED, Levels(("公開", "行内限定")))


@pytest.mark.parametrize(
    "group", [GroupConfig("", ("user",), "公開"), GroupConfig("a\nb"), GroupConfig("Users", (), "?")]
)
def test_a_configuration_that_cannot_be_meant(group: GroupConfig) -> None:
    check_groups(CONFIGURED, Levels())
    with pytest.raises(ConfigValueInvalid, match=r"serve\.identity\.groups"):
        check_groups((*CONFIGURED, group), Levels())
