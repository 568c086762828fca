"""What a tool says of itself, and the digest of all of it: what an administrator approves is exactly this."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from so8t.core.errors import RecordInvalid, ToolFailed
from so8t.core.types import canonical_json
from so8t.decide.patterns import compile_pattern

LONGEST_TEXT = 8000  # characters of a description
LONGEST_SCHEMA = 50_000
LONGEST_ARGUMENTS = 8000


@dataclass(frozen=True, slots=True)
class Description:
    """`told`: name, title, description, inputSchema, outputSchema and annotations, as the server sent them."""

    server: str
    told: Mapping[str, Any]

    @property
    def id(self) -> str:
        return f"{self.server}/{self.name}"

    @property
    def name(self) -> str:
        return str(self.told.get("name") or "")

    @property
    def text(self) -> str:
        return str(self.told.get("description") or self.told.get("title") or "")

    @property
    def schema(self) -> dict[str, Any]:
        return dict(self.told.get("inputSchema") or {})

    @property
    def digest(self) -> str:
        return hashlib.sha256(canonical_json([self.server, dict(self.told)]).encode()).hexdigest()

    def check(self) -> None:
        """Whether it may be used at all: of bounded size, with a schema that can be held against arguments without
        fetching anything and without taking for ever. Raises ToolFailed.
        """
        schema = self.schema
        try:
            if len(canonical_json(dict(self.told))) > LONGEST_TEXT + LONGEST_SCHEMA or len(self.text) > LONGEST_TEXT:
                raise ValueError("description or schema too long")
            Draft202012Validator.check_schema(schema)
            if schema.get("type") != "object":
                raise ValueError("the schema must be of an object")
            for keyword, value in _keywords(schema):
                _check_keyword(keyword, value)
        except (SchemaError, ValueError, TypeError, RecursionError) as error:
            raise ToolFailed(where=self.id, detail=f"schema: {str(error)[:300]}") from error

    def check_arguments(self, arguments: object) -> dict[str, Any]:
        """The arguments, if they fit the schema. Raises RecordInvalid."""
        try:
            if not isinstance(arguments, dict) or len(canonical_json(arguments)) > LONGEST_ARGUMENTS:
                raise RecordInvalid(where="arguments", detail=f"an object of at most {LONGEST_ARGUMENTS} characters")
            # An empty registry: a schema's reference is never looked up anywhere else.
            validator = Draft202012Validator(self.schema, registry=Registry())
            wrong = next(iter(validator.iter_errors(arguments)), None)
        except (TypeError, ValueError, RecursionError, Unresolvable) as error:
            raise RecordInvalid(where="arguments", detail=type(error).__name__) from error
        if wrong is not None:
            place = ".".join(map(str, wrong.absolute_path)) or self.name
            raise RecordInvalid(where=f"arguments.{place}", detail=wrong.message[:200])
        return arguments


def differences(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[str]:
    """What an administrator reads before approving: line by line, - as approved, + as it is now."""
    before, after = ([] if one is None else _lines(one) for one in (old, new))
    return [line for line in difflib.unified_diff(before, after, "approved", "now", lineterm="", n=2)]


def _lines(told: Mapping[str, Any]) -> list[str]:
    return json.dumps(told, ensure_ascii=False, indent=1, sort_keys=True).replace("\\n", "\n").splitlines()


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a schema, however deep."""
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _check_keyword(keyword: str, value: Any) -> None:
    """Raises ValueError. A pattern stands after a letter here, so that one which may match nothing is checked too."""
    if keyword in ("$ref", "$dynamicRef") and not (isinstance(value, str) and value.startswith("#")):
        raise ValueError(f"{keyword} to elsewhere")
    if keyword == "pattern" and isinstance(value, str):
        compile_pattern(f"x(?:{value})")
    if keyword == "patternProperties" and isinstance(value, dict):
        for pattern in value:
            compile_pattern(f"x(?:{pattern})")
