"""What a mail is to say, to whom and how politely; and who of its recipients is outside the company."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from so8t.core.errors import RecordInvalid
from so8t.core.text import clean

MOST_RECIPIENTS, MOST_POINTS = 50, 20
LONGEST_PURPOSE, LONGEST_POINT, LONGEST_NAME = 300, 500, 100
LONGEST_REPLY = 20_000
LONGEST_ORDER = 15_000  # in words: the gateway judges no longer request than 20,000
# Of RFC 5321 what people have: no quotes, and neither % nor !, which old servers took for another address inside.
_ADDRESS = r"[A-Za-z0-9.#$&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
_RECIPIENT = re.compile(rf"(?:([^\"<>@,;:()\n]{{0,100}}?)\s*<({_ADDRESS})>|({_ADDRESS}))")


class Register(StrEnum):
    """How polite: to customers and superiors, to other departments, among colleagues."""

    HUMBLE = "丁重"
    POLITE = "丁寧"
    BRIEF = "簡潔"


@dataclass(frozen=True, slots=True)
class Recipient:
    """`name` as the mail addresses him, "" where none was given."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2].lower()

    def inside(self, domains: Sequence[str]) -> bool:
        """Whether the address is of one of the company's domains, or below one."""
        return any(self.domain == d.lower() or self.domain.endswith("." + d.lower()) for d in domains)


@dataclass(frozen=True, slots=True)
class Order:
    """points: what the mail must say, each of them. reply: the text of the mail that is answered, as data. sender: who
    signs. words: whether the model is asked for its own."""

    purpose: str
    recipients: tuple[Recipient, ...]
    points: tuple[str, ...] = ()
    register: Register = Register.POLITE
    sender: str = ""
    reply: str = ""
    words: bool = True

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Order:
        """Raises RecordInvalid for anything missing, too long or of another form."""
        to, points = told.get("to"), told.get("points", [])
        if not isinstance(to, list) or not 1 <= len(to) <= MOST_RECIPIENTS:
            raise RecordInvalid(where="to", detail=f"1 to {MOST_RECIPIENTS} addresses")
        if not isinstance(points, list) or len(points) > MOST_POINTS:
            raise RecordInvalid(where="points", detail=f"at most {MOST_POINTS} texts")
        register, words = told.get("register", Register.POLITE), told.get("words", True)
        if register not in list(Register):
            raise RecordInvalid(where="register", detail=" / ".join(Register))
        if not isinstance(words, bool):
            raise RecordInvalid(where="words", detail="true or false")
        purpose = _text(told.get("purpose"), "purpose", LONGEST_PURPOSE)
        if not purpose:
            raise RecordInvalid(where="purpose", detail="empty")
        made = cls(
            purpose,
            tuple(_recipient(one) for one in to),
            tuple(point for one in points if (point := _text(one, "points", LONGEST_POINT))),
            Register(register),
            _text(told.get("sender", ""), "sender", LONGEST_NAME),
            _text(told.get("reply", ""), "reply", LONGEST_REPLY),
            words,
        )
        if len(made.query()) > LONGEST_ORDER:
            raise RecordInvalid(where="to, points", detail=f"together at most {LONGEST_ORDER} characters")
        return made

    def to_json(self) -> dict[str, Any]:
        to = [f"{r.name} <{r.address}>" if r.name else r.address for r in self.recipients]
        return {
            "purpose": self.purpose, "to": to, "points": list(self.points), "register": self.register.value,
            "sender": self.sender, "reply": self.reply, "words": self.words,
        }  # fmt: skip

    def query(self) -> str:
        """The order in words: what is judged, and what a person sees who has to decide about it."""
        to = "、".join(f"{r.name}({r.address})" if r.name else r.address for r in self.recipients)
        lines = ["メールの下書きを作る。", f"目的: {self.purpose}", f"宛先: {to}", f"敬語: {self.register.value}"]
        lines += [f"差出人: {self.sender}"] if self.sender else []
        return "\n".join([*lines, "要点:", *(f"・{point}" for point in self.points)] if self.points else lines)

    def outside(self, domains: Sequence[str]) -> list[Recipient]:
        return [one for one in self.recipients if not one.inside(domains)]


def _recipient(told: object) -> Recipient:
    """山田太郎 <yamada@example.co.jp>, or the address alone; one, for a second would go unseen."""
    text = _text(told, "to", LONGEST_NAME + 320)
    found = _RECIPIENT.fullmatch(text)
    if found is None:
        raise RecordInvalid(where="to", detail=f"one address expected: {text[:80]!r}")
    return Recipient(found[2] or found[3], (found[1] or "").strip())


def _text(value: object, where: str, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise RecordInvalid(where=where, detail=f"text of at most {most} characters")
    return clean(value)
