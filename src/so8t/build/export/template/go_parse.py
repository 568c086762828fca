"""The part of Go's template language that our own templates use, read strictly: what is not known here is an error.

Written from pkg.go.dev/text/template: texts, actions with trim markers, comments, if / else if / else, range,
variables, fields, string, whole-number and truth constants, parentheses, and the functions of go_evaluate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from so8t.core.errors import TemplateUnusable

MAXIMUM_CHARACTERS, MAXIMUM_DEPTH = 1 << 16, 32
SPACE = " \t\r\n"
FUNCTIONS = ("and", "eq", "index", "ne", "not", "or")
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_TOKEN = re.compile(
    rf"""(?P<space>[ \t\r\n]+)|(?P<string>"(?:[^"\\\n]|\\[^\n])*"|`[^`]*`)|(?P<number>[+-]?(?:0|[1-9][0-9]*))
    |(?P<path>\$(?:{_WORD})?(?:\.{_WORD})*|(?:\.{_WORD})+|\.)|(?P<word>{_WORD})|(?P<sign>:=|=|[()])""",
    re.VERBOSE,
)
_COMMENT = re.compile(r"\{\{(?P<left>-[ \t\r\n])?/\*(?:(?!\*/).)*\*/(?P<right>[ \t\r\n]-)?\}\}", re.DOTALL)
_ACTION = re.compile(
    r"\{\{(?P<left>-(?=[ \t\r\n]))?(?P<body>(?:\"(?:[^\"\\\n]|\\[^\n])*\"|`[^`]*`|[^\"`{}])*?)"
    r"(?P<right>[ \t\r\n]-)?\}\}"
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-7][0-9a-fA-F])|(.))", re.DOTALL)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


@dataclass(frozen=True, slots=True)
class Constant:
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class Field:
    """`variable` "" = dot, "$" = what the template was given; then the fields, one after the other."""

    variable: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Pipeline, ...]


Pipeline = Constant | Field | Call


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Output:
    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Assign:
    """`declares`: a new variable until the end of the block, else the nearest one of that name."""

    name: str
    pipeline: Pipeline
    declares: bool


@dataclass(frozen=True, slots=True)
class If:
    condition: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Range:
    over: Pipeline
    body: tuple[Node, ...]


Node = Text | Output | Assign | If | Range


def parse(template: str) -> tuple[Node, ...]:
    """Raises TemplateUnusable for anything beyond the part that is known, with the action it stands in."""
    if len(template) > MAXIMUM_CHARACTERS:
        raise TemplateUnusable(detail=f"{len(template)} characters > {MAXIMUM_CHARACTERS}")
    return _Parser(list(_parts(template))).whole()


def _parts(template: str) -> Iterator[tuple[bool, str]]:
    """(is an action, text): texts and the insides of actions in turn; trim markers are carried out here."""
    position, trim = 0, False
    while (begin := template.find("{{", position)) >= 0:
        found = _COMMENT.match(template, begin) or _ACTION.match(template, begin)
        if not found:
            raise TemplateUnusable(detail=f"action {template[begin : begin + 40]!r}")
        yield False, _trimmed(template[position:begin], trim, bool(found["left"]))
        if "body" in found.groupdict():
            yield True, found["body"]
        position, trim = found.end(), bool(found["right"])
    yield False, _trimmed(template[position:], trim, False)


def _trimmed(text: str, left: bool, right: bool) -> str:
    text = text.lstrip(SPACE) if left else text
    return text.rstrip(SPACE) if right else text


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    spaced: bool  # something to its left keeps it apart from the token before


class _Parser:
    """Goes through the parts of a template once; knows which variables can be seen."""

    def __init__(self, parts: Sequence[tuple[bool, str]]) -> None:
        self._parts, self._position, self._variables = parts, 0, [["$"]]

    def whole(self) -> tuple[Node, ...]:
        nodes, end = self._block(0)
        if end:
            raise TemplateUnusable(detail=f"{{{{{end[0].text}}}}} without a beginning")
        return nodes

    def _block(self, depth: int) -> tuple[tuple[Node, ...], list[_Token]]:
        """Nodes up to an action that ends the block, and that action; none at the end of the template."""
        if depth > MAXIMUM_DEPTH:
            raise TemplateUnusable(detail=f"more than {MAXIMUM_DEPTH} blocks in one another")
        nodes: list[Node] = []
        self._variables.append([])
        while self._position < len(self._parts):
            is_action, text = self._parts[self._position]
            self._position += 1
            tokens = _tokens(text) if is_action else []
            if tokens and tokens[0].text in ("end", "else"):
                self._variables.pop()
                return tuple(nodes), tokens
            if is_action:
                nodes.append(self._node(tokens, text, depth))
            elif text:
                nodes.append(Text(text))
        self._variables.pop()
        return tuple(nodes), []

    def _node(self, tokens: list[_Token], text: str, depth: int) -> Node:
        first = tokens[0].text if tokens else ""
        if first == "if":
            return self._if(tokens[1:], text, depth)
        if first == "range":
            over = self._pipeline(tokens[1:], text)
            body, end = self._block(depth + 1)
            self._end(end, "end")
            return Range(over, body)
        if len(tokens) > 1 and tokens[0].kind == "path" and tokens[1].text in (":=", "="):
            return self._assign(tokens, text)
        return Output(self._pipeline(tokens, text))

    def _if(self, tokens: list[_Token], text: str, depth: int) -> If:
        condition = self._pipeline(tokens, text)
        body, end = self._block(depth + 1)
        if len(end) > 1 and [t.text for t in end[:2]] == ["else", "if"]:
            return If(condition, body, (self._if(end[2:], "else if", depth + 1),))
        otherwise: tuple[Node, ...] = ()
        if end and end[0].text == "else":
            self._end(end, "else")
            otherwise, end = self._block(depth + 1)
        self._end(end, "end")
        return If(condition, body, otherwise)

    def _end(self, tokens: list[_Token], word: str) -> None:
        if [t.text for t in tokens] != [word]:
            found = " ".join(t.text for t in tokens) or "the end of the template"
            raise TemplateUnusable(detail=f"{{{{{word}}}}} expected, not {found}")

    def _assign(self, tokens: list[_Token], text: str) -> Assign:
        name, declares = tokens[0].text, tokens[1].text == ":="
        if not re.fullmatch(rf"\${_WORD}", name):
            _refuse(text)
        pipeline = self._pipeline(tokens[2:], text)
        if declares:
            self._variables[-1].append(name)
        else:
            self._known(name, text)
        return Assign(name, pipeline, declares)

    def _known(self, variable: str, text: str) -> None:
        if not any(variable in names for names in self._variables):
            _refuse(text)

    def _pipeline(self, tokens: list[_Token], text: str, depth: int = 0) -> Pipeline:
        """One operand, or a function with its arguments."""
        operands = list(self._operands(tokens, text, depth))
        if tokens and tokens[0].kind == "word" and tokens[0].text in FUNCTIONS:
            return Call(tokens[0].text, tuple(operands))
        if len(operands) != 1:
            _refuse(text)
        return operands[0]

    def _operands(self, tokens: list[_Token], text: str, depth: int) -> Iterator[Pipeline]:
        position = 0
        if tokens and tokens[0].kind == "word" and tokens[0].text in FUNCTIONS:
            position = 1
        while position < len(tokens):
            token = tokens[position]
            if not token.spaced:
                _refuse(text)
            position += 1
            if token.text == "(" and token.kind == "sign":
                end = _closing(tokens, position, text)
                if depth >= MAXIMUM_DEPTH:
                    _refuse(text)
                yield self._pipeline(tokens[position:end], text, depth + 1)
                position = end + 1
            else:
                yield self._operand(token, text)

    def _operand(self, token: _Token, text: str) -> Pipeline:
        if token.kind == "string":
            return Constant(_unquoted(token.text, text))
        if token.kind == "number":
            return Constant(int(token.text))
        if token.kind == "word" and token.text in ("true", "false"):
            return Constant(token.text == "true")
        if token.kind != "path":
            _refuse(text)
        variable, *fields = token.text.split(".")
        if variable:
            self._known(variable, text)
        return Field(variable, tuple(f for f in fields if f))


def _tokens(action: str) -> list[_Token]:
    """The tokens of an action. Two operands need a space or a parenthesis between them."""
    tokens: list[_Token] = []
    position, spaced = 0, True
    while position < len(action):
        found = _TOKEN.match(action, position)
        if not found:
            _refuse(action)
        position = found.end()
        if found.lastgroup == "space":
            spaced = True
            continue
        tokens.append(_Token(str(found.lastgroup), found.group(), spaced))
        spaced = found.lastgroup == "sign" and found.group() != ")"
    return tokens


def _closing(tokens: Sequence[_Token], position: int, text: str) -> int:
    depth = 1
    for i in range(position, len(tokens)):
        if tokens[i].kind == "sign":
            depth += {"(": 1, ")": -1}.get(tokens[i].text, 0)
        if not depth:
            return i
    _refuse(text)


def _unquoted(constant: str, action: str) -> str:
    if constant.startswith("`"):
        return constant[1:-1].replace("\r", "")

    def character(found: re.Match[str]) -> str:
        number, letter = found[1] or found[2] or found[3], found[4]
        if number:
            code = int(number, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                _refuse(action)
            return chr(code)
        return _ESCAPES[letter] if letter in _ESCAPES else _refuse(action)

    return _ESCAPE.sub(character, constant[1:-1])


def _refuse(action: str) -> NoReturn:
    raise TemplateUnusable(detail=f"action {{{{{action[:80]}}}}}")
