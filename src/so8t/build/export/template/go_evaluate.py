"""Runs what go_parse has read, as pkg.go.dev/text/template says; whatever that leaves to Go's types is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from so8t.build.export.template.go_parse import (
    Assign,
    Call,
    Constant,
    Field,
    If,
    Node,
    Output,
    Pipeline,
    Range,
    Text,
    parse,
)
from so8t.core.errors import TemplateUnusable

MAXIMUM_OUTPUT = 16 << 20  # characters


def evaluate(template: str, values: Mapping[str, Any]) -> str:
    """Text of a template. Values: str, int, bool, lists and mappings of them. Raises TemplateUnusable."""
    run = _Run(values)
    run.nodes(parse(template), values)
    return "".join(run.output)


class _Run:
    """One execution: its output, and the variables that can be seen, the nearest last."""

    def __init__(self, root: Any) -> None:
        self.output: list[str] = []
        self._variables: list[tuple[str, Any]] = [("$", root)]
        self._characters = 0

    def nodes(self, nodes: Sequence[Node], dot: Any) -> None:
        """A block: the variables it declares end with it."""
        seen = len(self._variables)
        for node in nodes:
            self._node(node, dot)
        del self._variables[seen:]

    def _node(self, node: Node, dot: Any) -> None:
        match node:
            case Text(text):
                self._write(text)
            case Output(pipeline):
                self._write(_printed(self._value(pipeline, dot)))
            case Assign(name, pipeline, declares):
                self._assign(name, self._value(pipeline, dot), declares)
            case If(condition, body, otherwise):
                self.nodes(body if _truth(self._value(condition, dot)) else otherwise, dot)
            case Range(over, body):
                for item in _items(self._value(over, dot)):
                    self.nodes(body, item)

    def _write(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MAXIMUM_OUTPUT:
            raise TemplateUnusable(detail=f"more than {MAXIMUM_OUTPUT} characters")
        self.output.append(text)

    def _assign(self, name: str, value: Any, declares: bool) -> None:
        if declares:
            self._variables.append((name, value))
        else:
            place = max(i for i, (known, _) in enumerate(self._variables) if known == name)
            self._variables[place] = name, value

    def _value(self, pipeline: Pipeline, dot: Any) -> Any:
        match pipeline:
            case Constant(value):
                return value
            case Field(variable, fields):
                return self._field(variable, fields, dot)
            case Call(function, arguments):
                return self._call(function, arguments, dot)

    def _field(self, variable: str, fields: Sequence[str], dot: Any) -> Any:
        value = next(v for n, v in reversed(self._variables) if n == variable) if variable else dot
        for name in fields:
            if not isinstance(value, Mapping) or name not in value:
                raise TemplateUnusable(detail=f"no field .{name}")
            value = value[name]
        return value

    def _call(self, function: str, arguments: Sequence[Pipeline], dot: Any) -> Any:
        if function in ("and", "or"):
            return self._until(function == "or", arguments, dot)
        values = [self._value(a, dot) for a in arguments]
        if function == "not" and len(values) == 1:
            return not _truth(values[0])
        if function == "eq" and len(values) > 1:
            return any(_equal(values[0], other) for other in values[1:])
        if function == "ne" and len(values) == 2:
            return not _equal(*values)
        if function == "index" and len(values) == 2:
            return _indexed(*values)
        raise TemplateUnusable(detail=f"{function} of {len(values)}")

    def _until(self, wanted: bool, arguments: Sequence[Pipeline], dot: Any) -> Any:
        """The first argument that decides, or the last; those after it are not evaluated."""
        if not arguments:
            raise TemplateUnusable(detail=f"{'or' if wanted else 'and'} of 0")
        for argument in arguments:
            value = self._value(argument, dot)
            if _truth(value) == wanted:
                break
        return value


def _truth(value: Any) -> bool:
    """False for false, 0 and what is empty."""
    if isinstance(value, (bool, int, str, Sequence, Mapping)):
        return bool(value)
    raise TemplateUnusable(detail=f"truth of {type(value).__name__}")


def _printed(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    raise TemplateUnusable(detail=f"printing {type(value).__name__}")


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or not isinstance(one, (str, int)):
        raise TemplateUnusable(detail=f"comparing {type(one).__name__} with {type(other).__name__}")
    return bool(one == other)


def _items(value: Any) -> Sequence[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    raise TemplateUnusable(detail=f"range over {type(value).__name__}")


def _indexed(value: Any, place: Any) -> Any:
    items = _items(value)
    if type(place) is not int or not 0 <= place < len(items):
        raise TemplateUnusable(detail=f"index {place} of {len(items)}")
    return items[place]
