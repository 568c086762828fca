"""How a request is put: the same act, circumstance and asker in seven registers (issue 3.7)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from so8t.build.data.verbs import wanted

PROSE = ("敬体", "常体", "くだけた", "メール", "誤字")
REGISTERS = (*PROSE, "箇条書き", "電報調")
WEIGHTS = (24, 18, 18, 12, 10, 9, 9)
FORMS, FORM_WEIGHTS = ("te", "want", "noun"), (66, 18, 16)
_VOICE = {"敬体": "polite", "常体": "plain", "くだけた": "casual", "メール": "polite"}
_AM = {"敬体": "です。", "常体": "だ。", "くだけた": "なんだけど、", "メール": "です。"}


@dataclass(frozen=True, slots=True)
class Ask:
    """The grammar of the request itself: a te-form, a wish or a noun phrase, and what follows it."""

    form: str = "te"
    ending: str = ""


@dataclass(frozen=True, slots=True)
class Circumstance:
    """Why it is asked, as a clause and as a noun; `joint` makes the clause a part of the text, before or after."""

    clause: str = ""
    noun: str = ""
    joint: str = ""
    last: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """The parts of one request, slots already filled; an empty part is left out. voice = the endings' register."""

    voice: str
    te: str
    noun: str
    ask: Ask = Ask()
    document: str = ""
    role: str = ""
    why: Circumstance = Circumstance()
    aside: str = ""
    due: str = ""
    pressure: Mapping[str, str] | None = None
    opener: str = ""
    closer: str = ""


def compose(message: Message) -> str:
    """The text of a request in its voice; 誤字 is a spoken or polite text that `misspell` goes over."""
    if message.voice == "箇条書き":
        return _list(message)
    if message.voice == "電報調":
        return _telegram(message)
    return _prose(message)


def bare(message: Message) -> str:
    """The request with its circumstance, without greeting or asker: what people put into an encoded line."""
    return compose(replace(message, role="", due="", pressure=None, opener="", closer="", aside=""))


def _prose(m: Message) -> str:
    why = m.why.clause + m.why.joint if m.why.clause else ""
    parts = [
        m.opener,
        m.role + _AM[m.voice] if m.role else "",
        m.aside,
        m.pressure[_VOICE[m.voice]] if m.pressure else "",
        "" if m.why.last else why,
        f"{m.due}までに" if m.due else "",
        _asked(m),
        why if m.why.last else "",
    ]
    return "".join(parts) + m.closer


def _asked(m: Message) -> str:
    te = m.te.replace("よいか", "いいか") if m.voice == "くだけた" else m.te
    if m.ask.form == "noun":
        return (f"{m.document}の件で、" if m.document else "") + m.noun + m.ask.ending
    wish = wanted(te) if m.ask.form == "want" else None
    return (te if wish is None else wish) + m.ask.ending


def _list(m: Message) -> str:
    rows = [
        ("対象", m.document),
        ("依頼", m.noun + m.ask.ending),
        ("理由", m.why.noun),
        ("期限", m.due),
        ("立場", m.role),
        ("備考", m.pressure["note"] if m.pressure else ""),
        ("別件", m.aside),
    ]
    return m.opener + "\n".join(f"・{name}:{value}" for name, value in rows if value) + m.closer


def _telegram(m: Message) -> str:
    parts = [m.opener, f"{m.document}、" if m.document else "", m.noun, m.ask.ending]
    parts.append(f"理由は{m.why.noun}。" if m.why.noun else "")
    parts.append(f"期限{m.due}。" if m.due else "")
    parts.append(f"当方{m.role}。" if m.role else "")
    parts.append(f"{m.pressure['note']}。" if m.pressure else "")
    parts.append(f"別件、{m.aside}。" if m.aside else "")
    return "".join(parts) + m.closer


def draw_voice(register: str, rng: random.Random) -> str:
    return rng.choice(("敬体", "くだけた")) if register == "誤字" else register


def draw_ask(register: Mapping[str, Any], te: str, rng: random.Random, *, spoken: bool) -> Ask:
    """`spoken`: the clause must appear as it is, so no noun phrase takes its place."""
    form = rng.choices(FORMS, FORM_WEIGHTS)[0]
    if not register["wants"] or (form == "noun" and spoken) or (form == "want" and wanted(te) is None):
        form = "te"
    return Ask(form, rng.choice(register[{"te": "endings", "want": "wants", "noun": "nouns"}[form]]))


def misspell(text: str, pairs: Sequence[tuple[str, str]], rng: random.Random) -> str:
    """One to three slips of the keyboard; a dropped character where no listed slip fits."""
    fitting = [pair for pair in pairs if pair[0] in text]
    if not fitting:
        place = rng.randrange(1, len(text))
        return text[:place] + text[place + 1 :]
    for right, wrong in rng.sample(fitting, min(len(fitting), rng.randint(1, 3))):
        text = text.replace(right, wrong, 1)
    return text
