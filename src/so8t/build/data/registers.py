"""How a request is put: the same act, reason and asker in seven registers (issue 3.7)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

PROSE = ("敬体", "常体", "くだけた", "メール", "誤字")
REGISTERS = (*PROSE, "箇条書き", "電報調")
WEIGHTS = (24, 16, 16, 14, 10, 10, 10)
_VOICE = {"敬体": "polite", "常体": "plain", "くだけた": "casual", "メール": "polite"}
_BECAUSE = {"敬体": "ので、", "常体": "ので、", "くだけた": "から、", "メール": "ため、"}
_AM = {"敬体": "です。", "常体": "だ。", "くだけた": "なんだけど、", "メール": "です。"}


@dataclass(frozen=True, slots=True)
class Message:
    """The parts of one request, slots already filled; an empty part is left out. voice = the endings' register."""

    voice: str
    te: str
    noun: str
    document: str = ""
    role: str = ""
    reason: tuple[str, str] = ("", "")
    due: str = ""
    pressure: Mapping[str, str] | None = None
    opener: str = ""
    ending: str = ""
    closer: str = ""


def compose(message: Message) -> str:
    """The text of a request in its voice; 誤字 is a spoken or polite text that `misspell` goes over."""
    if message.voice == "箇条書き":
        return _list(message)
    if message.voice == "電報調":
        return _telegram(message)
    return _prose(message)


def bare(message: Message) -> str:
    """The request with its reason, without greeting or asker: what people put into an encoded line."""
    return compose(replace(message, role="", due="", pressure=None, opener="", closer=""))


def _prose(m: Message) -> str:
    te = m.te.replace("よいか", "いいか") if m.voice == "くだけた" else m.te
    parts = [m.opener]
    parts.append(m.role + _AM[m.voice] if m.role else "")
    parts.append(m.pressure[_VOICE[m.voice]] if m.pressure else "")
    parts.append(m.reason[0] + _BECAUSE[m.voice] if m.reason[0] else "")
    parts.append(f"{m.due}までに" if m.due else "")
    return "".join(parts) + te + m.ending + m.closer


def _list(m: Message) -> str:
    rows = [
        ("対象", m.document),
        ("依頼", m.noun + m.ending),
        ("理由", m.reason[1]),
        ("期限", m.due),
        ("立場", m.role),
        ("備考", m.pressure["note"] if m.pressure else ""),
    ]
    return m.opener + "\n".join(f"・{name}:{value}" for name, value in rows if value) + m.closer


def _telegram(m: Message) -> str:
    parts = [m.opener, f"{m.document}、" if m.document else "", m.noun, m.ending]
    parts.append(f"理由は{m.reason[1]}。" if m.reason[1] else "")
    parts.append(f"期限{m.due}。" if m.due else "")
    parts.append(f"当方{m.role}。" if m.role else "")
    parts.append(f"{m.pressure['note']}。" if m.pressure else "")
    return "".join(parts) + m.closer


def draw_voice(register: str, rng: random.Random) -> str:
    return rng.choice(("敬体", "くだけた")) if register == "誤字" else register


def draw_frame(frames: Mapping[str, Any], voice: str, rng: random.Random) -> tuple[str, str, str]:
    """Opener, ending and closer of a voice."""
    register = frames["registers"][voice]
    return rng.choice(register["openers"]), rng.choice(register["endings"]), rng.choice(register["closers"])


def misspell(text: str, pairs: Sequence[tuple[str, str]], rng: random.Random) -> str:
    """One to three slips of the keyboard; a dropped character where no listed slip fits."""
    fitting = [pair for pair in pairs if pair[0] in text]
    if not fitting:
        place = rng.randrange(1, len(text))
        return text[:place] + text[place + 1 :]
    for right, wrong in rng.sample(fitting, min(len(fitting), rng.randint(1, 3))):
        text = text.replace(right, wrong, 1)
    return text
