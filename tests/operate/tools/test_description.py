"""What a tool may say of itself, and holding arguments against it without fetching or hanging."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import RecordInvalid, ToolFailed
from so8t.operate.tools.choosing import wish
from so8t.operate.tools.description import LONGEST_ARGUMENTS, LONGEST_TEXT, Description, differences

TOLD: dict[str, Any] = {"name": "day", "description": "予定を返す。", "inputSchema": {"type": "object"}}


def tool(schema: Any = None, **more: Any) -> Description:
    return Description("plan", {**TOLD, **({"inputSchema": schema} if schema is not None else {}), **more})


@given(
    st.sampled_from(["name", "title", "description", "inputSchema", "outputSchema", "annotations"]),
    st.one_of(st.text(max_size=5), st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2)),
)
def test_whatever_changes_changes_the_digest(key: str, value: Any) -> None:
    changed = Description("plan", {**TOLD, key: value})
    assert (changed.digest == tool().digest) == (TOLD.get(key) == value)
    assert Description("other", TOLD).digest != tool().digest
    if changed.digest != tool().digest:
        assert differences(TOLD, changed.told)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"}, {"type": "nothing"}, {}, {"type": "object", "$ref": "http://127.0.0.1:9/x"},
        {"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"type": "object", "properties": {"a": {"pattern": "(a+)+$"}}},
        {"type": "object", "patternProperties": {"(.*)*b": {}}},
        {"type": "object", "properties": {"a": {"pattern": "["}}},
        {"type": "object", "description": "長" * 60_000},
    ],
)  # fmt: skip
def test_schemas_that_are_never_used(schema: Any) -> None:
    with pytest.raises(ToolFailed):
        tool(schema).check()


def test_ordinary_schemas_are_fine() -> None:
    tool(
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"pattern": "^[a-z]*$"}}}
    ).check()
    with pytest.raises(ToolFailed):
        tool(description="長" * (LONGEST_TEXT + 1)).check()


def test_arguments_are_held_against_the_schema() -> None:
    made = tool({"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False})
    assert made.check_arguments({"n": 3}) == {"n": 3}
    for wrong in ({"n": "3"}, {"m": 1}, [], "x", None, {"n": float("nan")}, {"n": "x" * LONGEST_ARGUMENTS}):
        with pytest.raises(RecordInvalid):
            made.check_arguments(wrong)
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(RecordInvalid):
        made.check_arguments(deep)


def test_a_reference_is_never_looked_up_elsewhere() -> None:
    """The tests' own guard would see a connection; a schema that was approved before the check says no as well."""
    began = time.monotonic()
    with pytest.raises(RecordInvalid):
        tool({"type": "object", "$ref": "http://192.0.2.1/x"}).check_arguments({})
    assert time.monotonic() - began < 5


@given(st.text(max_size=60))
def test_a_wish_is_only_ever_a_known_tool_with_an_object(text: str) -> None:
    found = wish(text, ["plan/day"])
    assert found is None or (found[0] == "plan/day" and isinstance(found[1], dict))


def test_wishes() -> None:
    known = ["plan/day"]
    assert wish('はい。{"tool": "plan/day", "arguments": {"day": "x"}} です', known) == ("plan/day", {"day": "x"})
    for text in ('{"tool": "none", "arguments": {}}', '{"tool": "rm", "arguments": {}}', '{"tool": "plan/day"}',
                 '{"tool": ["plan/day"], "arguments": {}}', "{" * 3000, "[1]", ""):  # fmt: skip
        assert wish(text, known) is None
