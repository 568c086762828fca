"""The words the generator composes from, read once from resources/synth and checked (issue 3.7)."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from so8t.core.errors import RecordInvalid
from so8t.core.types import DECISIONS, Decision, Domain

SLOTS = frozenset({
    "doc", "topic", "partner", "rival", "boss", "colleague", "unit", "other", "subject", "date", "past", "hour", "n",
    "request", "encoded", "te", "order", "noun", "answer", "need", "target", "why", "instead",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Act:
    """What is asked, as a te-form clause and as a noun phrase, with what an answer to it needs (acts.toml)."""

    te: str
    noun: str = ""
    answer: str = ""
    need: str = ""
    target: str = ""
    why: str = ""
    instead: str = ""
    kana: str = ""
    mixed: str = ""


@dataclass(frozen=True, slots=True)
class Triple:
    """Three acts on the same thing, one for each decision. public = no company material is touched."""

    id: str
    acts: Mapping[Decision, Act]
    public: bool = False
    tags: str = ""


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
    """Everything that belongs to one domain."""

    documents: tuple[Document, ...]
    subjects: tuple[str, ...]
    units: tuple[str, ...]
    partners: tuple[str, ...]
    rivals: tuple[str, ...]
    bosses: tuple[str, ...]
    targets: tuple[str, ...]
    policy_ref: Mapping[Decision, str]
    triples: tuple[Triple, ...]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All words: domains, acts for any document, level acts, orders in pasted documents, frames and wrappers."""

    domains: Mapping[Domain, DomainWords]
    triples: tuple[Triple, ...]
    access: tuple[Triple, ...]
    orders: tuple[Triple, ...]
    frames: Mapping[str, Any]
    attacks: Mapping[str, Any]

    @property
    def names(self) -> set[str]:
        """Words that are exchanged freely within a sentence: masked when skeletons are counted."""
        names: set[str] = set(self.frames["common"]["colleagues"])
        for words in self.domains.values():
            lists = (words.subjects, words.units, words.partners, words.rivals, words.bosses, words.targets)
            names.update(name for values in lists for name in values)
            names.update(name for document in words.documents for name in (document.name, document.kana))
        return names


@cache
def load_lexicon() -> Lexicon:
    """Raises RecordInvalid naming the file and the entry when a word list is broken."""
    acts, attacks = _read("acts.toml"), _read("attacks.toml")
    return Lexicon(
        domains={domain: _domain(domain) for domain in Domain},
        triples=tuple(_triple(t, "acts.toml") for t in acts["triple"]),
        access=tuple(_access(t) for t in acts["access"]),
        orders=tuple(_triple(t, "attacks.toml") for t in attacks["order"]),
        frames=_read("frames.toml"),
        attacks=attacks,
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


def _triple(entry: Mapping[str, Any], where: str, prefix: str = "") -> Triple:
    try:
        acts = {decision: Act(**entry[decision.lower()]) for decision in DECISIONS}
        prefix = prefix or ("order" if where == "attacks.toml" else "act")
        return Triple(f"{prefix}/{entry['id']}", acts, bool(entry.get("public")), str(entry.get("tags", "")))
    except (KeyError, TypeError) as error:
        raise RecordInvalid(where=where, detail=f"{entry.get('id')}: {error}") from error


def _access(entry: Mapping[str, Any]) -> Triple:
    """The same act three times: its label follows from the levels."""
    act = Act(**entry["act"])
    return Triple(f"level/{entry['id']}", dict.fromkeys(DECISIONS, act))


def _domain(domain: Domain) -> DomainWords:
    where = f"domains/{domain}.toml"
    values = _read(where)
    try:
        return DomainWords(
            documents=tuple(Document(*row) for row in values["documents"]),
            policy_ref={decision: values["policy_ref"][decision] for decision in DECISIONS},
            triples=tuple(_triple(t, where, domain) for t in values["triple"]),
            **{key: tuple(values[key]) for key in ("subjects", "units", "partners", "rivals", "bosses", "targets")},
        )
    except (KeyError, TypeError) as error:
        raise RecordInvalid(where=where, detail=str(error)) from error
