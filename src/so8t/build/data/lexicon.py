"""The words the generator composes from, read once from resources/synth and checked (issue 3.7)."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from so8t.core.errors import RecordInvalid
from so8t.core.types import DECISIONS, Decision, Domain

SLOTS = frozenset({
    "doc", "topic", "partner", "rival", "boss", "colleague", "unit", "other", "subject", "date", "past", "hour", "n",
    "request", "encoded", "te", "order", "noun", "answer", "need", "target", "why", "instead", "x", "y", "clearance",
    "bullets", "numbered", "quoted", "table", "prose", "first", "second",
})  # fmt: skip

_LISTS = ("subjects", "units", "partners", "rivals", "bosses", "targets", "misdeeds", "powers", "notes")
_COLUMNS = {
    Decision.ALLOW: ("te", "noun", "answer"),
    Decision.ESCALATE: ("te", "noun", "need", "target"),
    Decision.DENY: ("te", "noun", "why", "instead"),
}


@dataclass(frozen=True, slots=True)
class Act:
    """What is asked, as a te-form clause and as a noun phrase, with what an answer to it needs (acts.toml); also =
    another clause for it (variants.toml)."""

    te: str
    noun: str = ""
    answer: str = ""
    need: str = ""
    target: str = ""
    why: str = ""
    instead: str = ""
    kana: str = ""
    mixed: str = ""
    also: str = ""


@dataclass(frozen=True, slots=True)
class Triple:
    """Three acts on the same thing, one for each decision. public = no company material is touched; told = ways to
    tell the trouble that all three are asked in."""

    id: str
    acts: Mapping[Decision, Act]
    public: bool = False
    tags: str = ""
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A kind of document; tags: r dated figures, p people's names, c costs, i defects, s one for each subject."""

    name: str
    kana: str
    tags: str

    def suits(self, tags: str) -> bool:
        return not tags or not set(tags).isdisjoint(self.tags)


@dataclass(frozen=True, slots=True)
class DomainWords:
    """Everything that belongs to one domain. misdeeds are forbidden things and powers things somebody answers for, as
    nouns; notes are lines of harmless paper."""

    documents: tuple[Document, ...]
    subjects: tuple[str, ...]
    units: tuple[str, ...]
    partners: tuple[str, ...]
    rivals: tuple[str, ...]
    bosses: tuple[str, ...]
    targets: tuple[str, ...]
    misdeeds: tuple[str, ...]
    powers: tuple[str, ...]
    notes: tuple[str, ...]
    policy_ref: Mapping[Decision, str]
    triples: tuple[Triple, ...]
    stories: tuple[Triple, ...]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All words: domains, acts for any document, acts round a misdeed and round a power, level acts, orders in pasted
    documents, frames, wrappers, pastes, and how written requests are put anew."""

    domains: Mapping[Domain, DomainWords]
    triples: tuple[Triple, ...]
    misdeeds: tuple[Triple, ...]
    powers: tuple[Triple, ...]
    access: tuple[Triple, ...]
    orders: tuple[Triple, ...]
    frames: Mapping[str, Any]
    attacks: Mapping[str, Any]
    contexts: Mapping[str, Any]
    revoicing: Mapping[str, Any]

    @property
    def names(self) -> set[str]:
        """Words that are exchanged freely within a sentence: masked when skeletons are counted."""
        names: set[str] = set(self.frames["common"]["colleagues"])
        for words in self.domains.values():
            lists = (words.subjects, words.units, words.partners, words.rivals, words.bosses, words.targets)
            names.update(name for values in (*lists, words.misdeeds, words.powers) for name in values)
            names.update(name for document in words.documents for name in (document.name, document.kana))
        return names


@cache
def load_lexicon() -> Lexicon:
    """Raises RecordInvalid naming the file or the entry when a word list is broken."""
    try:
        return _lexicon()
    except (KeyError, TypeError, ValueError) as error:
        raise RecordInvalid(where="resources/synth", detail=str(error)) from error


def _lexicon() -> Lexicon:
    where, paste = "acts.toml", "attacks.toml"
    acts, attacks, scenes = _read(where), _read(paste), _read("scenes.toml")
    return Lexicon(
        domains={domain: _domain(domain) for domain in Domain},
        triples=(*_triples(acts["triple"], where, "act", _table), *_triples(acts["row"], where, "act", _row)),
        misdeeds=_triples(scenes["misdeed"], "scenes.toml", "misdeed", _row),
        powers=_triples(scenes["power"], "scenes.toml", "power", _row),
        access=tuple(_access(t) for t in acts["access"]),
        orders=(*_triples(attacks["order"], paste, "order", _table), *_triples(attacks["row"], paste, "order", _row)),
        frames=_read("frames.toml"),
        attacks=attacks,
        contexts=_read("contexts.toml"),
        revoicing=_read("revoicing.toml"),
    )


def policy_refs(domain: Domain) -> Mapping[Decision, str]:
    """The house rule each decision of a domain refers to."""
    return load_lexicon().domains[domain].policy_ref


def _read(name: str) -> dict[str, Any]:
    text = (resources.files("so8t") / "resources" / "synth" / name).read_text(encoding="utf-8")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecordInvalid(where=name, detail=str(error)) from error
    for value in _strings(values):
        unknown = {field for _, field, _, _ in string.Formatter().parse(value) if field} - SLOTS
        if unknown:
            raise RecordInvalid(where=name, detail=f"{sorted(unknown)}: {value}")
    return values


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _triples(
    entries: Sequence[Mapping[str, Any]], where: str, prefix: str, read: Callable[[Any, Decision], Act]
) -> tuple[Triple, ...]:
    return tuple(_triple(entry, where, prefix, read) for entry in entries)


def _triple(entry: Mapping[str, Any], where: str, prefix: str, read: Callable[[Any, Decision], Act]) -> Triple:
    try:
        acts = {decision: read(entry[decision.lower()], decision) for decision in DECISIONS}
        told, public = tuple(entry.get("told", ())), bool(entry.get("public"))
        return Triple(f"{prefix}/{entry['id']}", acts, public, str(entry.get("tags", "")), told)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordInvalid(where=where, detail=f"{entry.get('id')}: {error}") from error


def _table(act: Mapping[str, str], _: Decision) -> Act:
    return Act(**act)


def _row(columns: Sequence[str], decision: Decision) -> Act:
    """An act written as a row, its columns as _COLUMNS names them; the escalation target may be left out."""
    names = _COLUMNS[decision][: len(columns)]
    return Act(**dict(zip(names, columns, strict=True)))


def _access(entry: Mapping[str, Any]) -> Triple:
    """The same act three times: its label follows from the levels."""
    act = Act(**entry["act"])
    return Triple(f"level/{entry['id']}", dict.fromkeys(DECISIONS, act))


def _domain(domain: Domain) -> DomainWords:
    where = f"domains/{domain}.toml"
    values, variants = _read(where), _read("variants.toml")
    triples = _triples(values["triple"], where, domain, _table)
    stories = _triples(values["story"], where, f"{domain}/story", _row)
    return DomainWords(
        documents=tuple(Document(*row) for row in values["documents"]),
        policy_ref={decision: values["policy_ref"][decision] for decision in DECISIONS},
        triples=tuple(_varied(t, variants[domain]) for t in triples),
        stories=tuple(_varied(t, variants[f"{domain}-story"]) for t in stories),
        **{key: tuple(values[key]) for key in _LISTS},
    )


def _varied(triple: Triple, variants: Mapping[str, Sequence[str]]) -> Triple:
    """With the other clause of each act; a family without one is an error, so that none is forgotten."""
    clauses = zip(DECISIONS, variants[triple.id.rpartition("/")[2]], strict=True)
    return replace(triple, acts={d: replace(triple.acts[d], also=clause) for d, clause in clauses})
