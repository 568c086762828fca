"""A mail draft: the frame is fixed for each register, the body is the model's where it holds, else the points as given.

What the model writes is held against the order: every point said, no number or name that the order lacks, as polite as
ordered. What does not hold is not used, so a small model costs style and never puts a false date into a mail.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from so8t.core.text import sentences
from so8t.operate.held import share, unheard
from so8t.operate.mail.order import Order, Register
from so8t.operate.mail.politeness import Politeness, politeness

COVERED = 0.5  # least share of a point's pairs of characters that one sentence, or two, of the body hold
LONGEST_SUBJECT = 40
HONORIFICS = ("様", "さん", "御中", "先生", "各位", "殿")
OPENING = {
    Register.HUMBLE: "平素より大変お世話になっております。{sender}でございます。",
    Register.POLITE: "お疲れさまです。{sender}です。",
    Register.BRIEF: "{sender}です。",
}
OPENING_OUTSIDE = "いつもお世話になっております。{sender}です。"
LEAD = {
    Register.HUMBLE: "標記の件につきまして、下記のとおりご連絡申し上げます。",
    Register.POLITE: "次の件について、ご連絡いたします。",
    Register.BRIEF: "次の件です。",
}
CLOSING = {
    Register.HUMBLE: "お忙しいところ誠に恐れ入りますが、何卒よろしくお願い申し上げます。",
    Register.POLITE: "お手数をおかけしますが、よろしくお願いいたします。",
    Register.BRIEF: "よろしくお願いします。",
}
# What those phrases bring along and no order has to hold.
PHRASES = "".join([*OPENING.values(), *LEAD.values(), *CLOSING.values(), OPENING_OUTSIDE])


@dataclass(frozen=True, slots=True)
class Draft:
    """missing: points that the body does not say (none where it is not the model's). written: "model" or "order"."""

    subject: str
    body: str
    written: str
    missing: tuple[str, ...]
    politeness: Politeness

    def to_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject, "body": self.body, "written": self.written, "missing": list(self.missing),
            "notes": list(self.politeness.notes),
        }  # fmt: skip

    def text(self) -> str:
        return f"件名: {self.subject}\n\n{self.body}"


def question(order: Order) -> str:
    """What the model is asked: the body alone, without the frame."""
    styles = {
        Register.HUMBLE: "社外や目上の相手に失礼のない、丁重な敬語",
        Register.POLITE: "です・ます調の丁寧な言葉",
        Register.BRIEF: "です・ます調の短い言葉",
    }
    points = "\n".join(f"・{point}" for point in order.points) or "・" + order.purpose
    return (
        f"次の要点をすべて入れて、メールの本文だけを{styles[order.register]}で書いてください。"
        "宛名、挨拶、結び、署名は書かないでください。要点にない日付、数、名前は書かないでください。\n"
        f"目的: {order.purpose}\n要点:\n{points}"
    )


def draft(order: Order, written: str = "", outside: bool = False) -> Draft:
    """`written`: the model's body, "" = none."""
    body = "\n".join(line.strip() for line in written.strip().splitlines() if line.strip())
    missing = tuple(point for point in order.points if not _said(point, body))
    if body and not missing and not _invented(order, body):
        made = _framed(order, body, outside)
        if (manner := politeness(made)).fits(order.register):
            return Draft(subject(order), made, "model", (), manner)
    made = _framed(order, _listed(order), outside)
    return Draft(subject(order), made, "order", (), politeness(made))


def subject(order: Order) -> str:
    """The purpose as a heading: without its verb's ending where that is a plain one."""
    line = " ".join(order.purpose.split()).rstrip("。.")
    for ending in ("をお願いする", "を依頼する", "を連絡する", "を知らせる", "を伝える", "を送る", "をお知らせする"):
        if line.endswith(ending):
            noun = {"をお願いする": "のお願い", "を依頼する": "のご依頼", "を送る": "の送付"}.get(ending, "のご連絡")
            line = line.removesuffix(ending) + noun
    return line if len(line) <= LONGEST_SUBJECT else line[: LONGEST_SUBJECT - 1] + "…"


def _framed(order: Order, body: str, outside: bool) -> str:
    opening = OPENING_OUTSIDE if outside and order.register is Register.POLITE else OPENING[order.register]
    signed = opening.format(sender=order.sender) if order.sender else opening[: opening.index("{sender}")]
    parts = [_greeting(order), signed, body, CLOSING[order.register], order.sender]
    return "\n\n".join(part for part in parts if part)


def _greeting(order: Order) -> str:
    honorific = "さん" if order.register is Register.BRIEF else "様"
    names = [one.name for one in order.recipients if one.name]
    if not names:
        return "各位" if len(order.recipients) > 1 else ""
    named = [
        name if name.endswith(("様", "さん", "御中", "先生", "各位", "殿")) else name + honorific for name in names
    ]
    return "\n".join(named)


def _listed(order: Order) -> str:
    points = order.points or (order.purpose,)
    listed = "\n".join(f"{n}. {point}" for n, point in enumerate(points, 1)) if len(points) > 1 else f"・{points[0]}"
    return f"{LEAD[order.register]}\n\n{listed}"


def _said(point: str, body: str) -> bool:
    """Whether some two neighbouring sentences hold most of a point, and its numbers and names."""
    found = sentences(body)
    joined = found if len(found) < 2 else [a + b for a, b in pairwise(found)]
    return any(share(point, text) >= COVERED and not unheard(point, [text]) for text in joined)


def _invented(order: Order, body: str) -> bool:
    known = [order.purpose, *order.points, order.sender, PHRASES, *(one.name for one in order.recipients)]
    return bool(unheard(body, known))
