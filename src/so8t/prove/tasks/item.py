"""One task of the suite, as it stands in a JSONL file (resources/tasks/, or the user's own by `so8t tasks --data`).

A question, with a passage to read or from common knowledge:

    {"id": "medical-qa-1", "kind": "qa", "domain": "medical", "context": "…", "question": "…",
     "answers": ["38.2度", "三十八度二分"], "wrong": ["36.5度"]}

`answers` = accepted ones, one of them must appear in the reply; `wrong` (optional) = none of these may. A document to
be summed up:

    {"id": "medical-summary-1", "kind": "summary", "domain": "medical", "document": "…", "reference": "…",
     "facts": ["延期", ["3月12日", "三月十二日"]], "limit": 80}

`facts` = what a summary must say, each a phrase or several accepted ones; `limit` = characters allowed, beyond which a
summary is not read. Other keys are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.core.errors import RecordInvalid, SourceEmpty, SourceUnreadable, UsageError
from so8t.core.files import read_jsonl
from so8t.core.packaged import packaged
from so8t.core.types import Domain

MAX_ITEMS = 10_000
MAX_TEXT = 20_000  # characters of one field; a request may be no longer (operate/gateway.py)
MAX_ANSWERS = 64
MAX_LIMIT = 2_000  # characters of a summary
KINDS = ("qa", "summary")
TASKS = ("general_qa", "domain_qa", "summary")


@dataclass(frozen=True, slots=True)
class TaskItem:
    """A question with its accepted answers, or a document with its reference summary and key facts."""

    id: str
    kind: str
    domain: Domain
    question: str = ""
    context: str = ""
    answers: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    document: str = ""
    reference: str = ""
    facts: tuple[tuple[str, ...], ...] = ()
    limit: int = 0

    @property
    def task(self) -> str:
        """One of TASKS: the plan has a target of its own for each (plan 7.3)."""
        if self.kind == "summary":
            return "summary"
        return "general_qa" if self.domain is Domain.GENERAL else "domain_qa"

    @property
    def query(self) -> str:
        """What is asked, in words."""
        if self.kind == "summary":
            return f"次の文章を{self.limit}字以内で要約してください。\n\n{self.document}"
        if self.context:
            return f"次の文章を読んで、質問に短く答えてください。\n\n{self.context}\n\n質問: {self.question}"
        return f"次の質問に短く答えてください。\n\n質問: {self.question}"

    def to_json(self) -> dict[str, Any]:
        fields = ("question", "context", "answers", "wrong", "document", "reference", "facts", "limit")
        filled = {name: getattr(self, name) for name in fields if getattr(self, name)}
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in filled.items()}
        if self.facts:
            lists["facts"] = [list(fact) for fact in self.facts]
        return {"id": self.id, "kind": self.kind, "domain": self.domain.value, **lists}

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str = "") -> TaskItem:
        """Raises RecordInvalid for a missing, empty or overlong field."""
        kind = record.get("kind")
        if kind not in KINDS:
            raise RecordInvalid(where=where, detail=f"kind: {' | '.join(KINDS)}")
        try:
            domain = Domain(record.get("domain", "general"))
        except ValueError as error:
            raise RecordInvalid(where=where, detail=str(error)) from error
        name = _text(record, "id", where)
        if kind == "qa":
            return cls(
                name, kind, domain, question=_text(record, "question", where),
                context=_text(record, "context", where, optional=True),
                answers=_texts(record, "answers", where), wrong=_texts(record, "wrong", where, optional=True),
            )  # fmt: skip
        return cls(
            name, kind, domain, document=_text(record, "document", where), reference=_text(record, "reference", where),
            facts=_facts(record, where), limit=_limit(record, where),
        )  # fmt: skip


def _text(record: Mapping[str, Any], key: str, where: str, *, optional: bool = False) -> str:
    value = record.get(key)
    if optional and value in (None, ""):
        return ""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
        raise RecordInvalid(where=where, detail=f"{key}: 1 .. {MAX_TEXT}")
    return value.strip()


def _texts(record: Mapping[str, Any], key: str, where: str, *, optional: bool = False) -> tuple[str, ...]:
    values = record.get(key)
    if optional and not values:
        return ()
    if not isinstance(values, list) or not 0 < len(values) <= MAX_ANSWERS:
        raise RecordInvalid(where=where, detail=f"{key}: 1 .. {MAX_ANSWERS}")
    return tuple(_text({key: value}, key, where) for value in values)


def _facts(record: Mapping[str, Any], where: str) -> tuple[tuple[str, ...], ...]:
    values = record.get("facts")
    if not isinstance(values, list) or not 0 < len(values) <= MAX_ANSWERS:
        raise RecordInvalid(where=where, detail=f"facts: 1 .. {MAX_ANSWERS}")
    return tuple(_texts({"facts": v if isinstance(v, list) else [v]}, "facts", where) for v in values)


def _limit(record: Mapping[str, Any], where: str) -> int:
    value = record.get("limit")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_LIMIT:
        raise RecordInvalid(where=where, detail=f"limit: 1 .. {MAX_LIMIT}")
    return value


def read_items(path: Path) -> list[TaskItem]:
    """Raises RecordInvalid with the line, SourceMissing, SourceEmpty, SourceUnreadable (more than MAX_ITEMS)."""
    items: dict[str, TaskItem] = {}
    for number, record in read_jsonl(path):
        where = f"{path}:{number}"
        item = TaskItem.from_json(record, where)
        if item.id in items:
            raise RecordInvalid(where=where, detail=f"id {item.id!r:.80}")
        if len(items) >= MAX_ITEMS:
            raise SourceUnreadable(where=where, detail=f"> {MAX_ITEMS} items")
        items[item.id] = item
    if not items:
        raise SourceEmpty(where=path)
    return list(items.values())


def packaged_items() -> list[TaskItem]:
    """The suite that ships: for each of the eight domains six questions and two documents, written for the project."""
    return [item for domain in Domain for item in read_items(packaged("tasks", f"{domain}.jsonl"))]


def subset(items: Sequence[TaskItem], limit: int) -> list[TaskItem]:
    """At most `limit` items (0 = all), in turn from each domain and kind, so that a short card still sees them all."""
    if limit <= 0 or limit >= len(items):
        return list(items)
    rows: dict[tuple[str, Domain], list[TaskItem]] = {}
    for item in items:
        rows.setdefault((item.kind, item.domain), []).append(item)
    turns = [row[turn] for turn in range(max(map(len, rows.values()))) for row in rows.values() if turn < len(row)]
    return _in_order(items, turns[:limit])


def _in_order(items: Iterable[TaskItem], chosen: Sequence[TaskItem]) -> list[TaskItem]:
    names = {item.id for item in chosen}
    return [item for item in items if item.id in names]


def empty_folder(folder: Path) -> Path:
    """A folder to export to; raises UsageError rather than mix with, or delete, what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UsageError(where=folder, detail="not empty")
    return folder
