"""Laws as data: which duties bear on an assistant, which entries of the ledger speak to them, and what it cannot show.

A law is a TOML file of resources/compliance/laws, or one of the company's own. It is read strictly: an unknown key is
an error with its line. What it says is a person's reading of the statute at `as_of`, not legal advice.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from so8t.core.errors import PolicyInvalid, RecordInvalid, SourceMissing, SourceUnreadable
from so8t.core.files import read_bounded
from so8t.core.ledger_format import KINDS
from so8t.core.ledger_read import Stored
from so8t.core.packaged import packaged
from so8t.core.types import DECISIONS, Domain
from so8t.decide.strict_toml import Table, read_toml, suggestion
from so8t.report.figures import Words

MAX_BYTES = 1 << 20
ANSWERS = ("withheld", "personal")
# What answer_check.py writes of an answer that was withheld for personal data or a secret.
PERSONAL = "答えに個人情報か秘密情報"
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Names that people look for and that no Japanese statute has (plan 1.1), with where to look instead.
NO_STATUTES = {
    "機密情報保護法": "日本にその名の法律はありません。特定秘密保護法(secrecy)、不正競争防止法の営業秘密(trade-secrets)"
    "をお使いください / no Japanese statute has this name: see secrecy, trade-secrets",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Entries of the ledger that bear on a duty: those that meet every condition that is not empty.

    `rules` and `events` are patterns (fnmatch) of rule ids and of data.event; of `answers`, withheld = an answer that
    was not released, personal = not for personal data or a secret in it.
    """

    id: str
    label: Words
    kinds: frozenset[str] = frozenset()
    decisions: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    rules: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    answers: frozenset[str] = frozenset()

    def concerns(self, entry: Stored) -> bool:
        data = entry.data
        return (
            (not self.kinds or entry.kind in self.kinds)
            and (not self.decisions or entry.decision in self.decisions)
            and (not self.domains or data.get("domain") in self.domains)
            and (not self.rules or _any(self.rules, data.get("rules")))
            and (not self.events or _any(self.events, [data.get("event")]))
            and ("withheld" not in self.answers or bool(data.get("answer_withheld")))
            and ("personal" not in self.answers or is_personal(entry))
        )


@dataclass(frozen=True, slots=True)
class Duty:
    """What an article asks for, in our words; `cannot`: what the ledger does not show of it."""

    id: str
    article: str
    title: Words
    text: Words
    evidence: tuple[Evidence, ...]
    cannot: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Law:
    """`number` as the official gazette has it; `as_of`: the day its article numbers were true; `digest` of the file."""

    id: str
    name: Words
    short: str
    number: str
    as_of: str
    duties: tuple[Duty, ...]
    digest: str = ""


def is_personal(entry: Stored) -> bool:
    """Whether its answer was withheld for personal data or a secret."""
    return str(entry.data.get("answer_withheld", "")).startswith(PERSONAL)


def law_files() -> list[Path]:
    return sorted(packaged("compliance", "laws").glob("*.toml"))


def load_law(name: str) -> Law:
    """By id, by its usual or full name, or a file of one's own (PATH.toml). Raises SourceMissing, RecordInvalid."""
    return read_law(Path(name)) if name.endswith(".toml") else packaged_law(name)


def packaged_law(name: str) -> Law:
    """One that ships, and no other file. Raises SourceMissing."""
    if name in NO_STATUTES:
        raise SourceMissing(where=f"--law {name}", detail=NO_STATUTES[name])
    laws = [read_law(file) for file in law_files()]
    for law in laws:
        if name in (law.id, law.short, law.name.ja):
            return law
    known = [word for law in laws for word in (law.id, law.short)]
    raise SourceMissing(where=f"--law {name}", detail=suggestion(name, known).strip())


def read_law(path: Path) -> Law:
    """Raises SourceMissing, SourceUnreadable, RecordInvalid with the line."""
    try:
        return parse_law(read_bounded(path, MAX_BYTES).decode(), path.name)
    except UnicodeDecodeError as error:
        raise SourceUnreadable(where=path, detail=type(error).__name__) from error


def parse_law(text: str, where: str) -> Law:
    """Raises RecordInvalid with the line of what is wrong."""
    try:
        return _law(read_toml(text, where), hashlib.sha256(text.encode()).hexdigest())
    except PolicyInvalid as error:
        raise RecordInvalid(where=error.where, detail=error.detail) from error


def _law(root: Table, digest: str) -> Law:
    law = Law(
        _identifier(root), _words(root, "name"), root.text("short"), root.text("number"), _date(root, "as_of"),
        tuple(_duty(table) for table in root.tables("duties")), digest,
    )  # fmt: skip
    root.close()
    if not law.duties:
        root.fail("duties", "missing")
    _unlike(root, "duties", [duty.id for duty in law.duties])
    return law


def _duty(table: Table) -> Duty:
    duty = Duty(
        _identifier(table), table.text("article"), _words(table, "title"), _words(table, "text"),
        tuple(_evidence(t) for t in table.tables("evidence")), _cannot(table),
    )  # fmt: skip
    table.close()
    if not duty.cannot:
        table.fail("cannot", "missing: every duty says what the ledger does not show")
    _unlike(table, "evidence", [evidence.id for evidence in duty.evidence])
    return duty


def _evidence(table: Table) -> Evidence:
    evidence = Evidence(
        _identifier(table),
        _words(table, "label"),
        _names(table, "kinds", sorted(KINDS)),
        _names(table, "decisions", [d.value for d in DECISIONS]),
        _names(table, "domains", [d.value for d in Domain]),
        table.texts("rules", ()),
        table.texts("events", ()),
        _names(table, "answers", ANSWERS),
    )
    table.close()
    if not any(getattr(evidence, name) for name in ("kinds", "decisions", "domains", "rules", "events", "answers")):
        table.fail("id", "no condition: it would count every entry")
    return evidence


def _identifier(table: Table) -> str:
    text = table.text("id")
    if not _ID.fullmatch(text):
        table.fail("id", f"{text!r}: a-z, 0-9 and single hyphens")
    return text


def _words(table: Table, key: str) -> Words:
    """`key` in Japanese, `key`_en in English: both must be there."""
    return Words(table.text(key), table.text(f"{key}_en"))


def _cannot(table: Table) -> tuple[Words, ...]:
    ja, en = table.texts("cannot", ()), table.texts("cannot_en", ())
    if len(ja) != len(en):
        table.fail("cannot", "as many entries as cannot_en expected")
    return tuple(Words(a, b) for a, b in zip(ja, en, strict=True))


def _date(table: Table, key: str) -> str:
    text = table.text(key)
    if not _DATE.fullmatch(text):
        table.fail(key, "YYYY-MM-DD expected")
    return text


def _names(table: Table, key: str, known: tuple[str, ...] | list[str]) -> frozenset[str]:
    values = table.texts(key, ())
    for value in values:
        if value not in known:
            table.fail(key, f"unknown {value!r}" + suggestion(value, known), value)
    return frozenset(values)


def _unlike(table: Table, key: str, ids: list[str]) -> None:
    for number, name in enumerate(ids):
        if name in ids[:number]:
            table.fail(key, f"{name!r} twice", name)


def _any(patterns: tuple[str, ...], values: object) -> bool:
    names = [v for v in values if isinstance(v, str)] if isinstance(values, (list, tuple)) else []
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
