"""The minutes of one meeting, and how they are read: JSON, and Markdown for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from so8t.operate.minutes.items import Item

# Of an item's lines in Markdown, so many; more say nothing to a reader.
SHOWN_LINES = 4
HEADINGS = {"overview": "概要", "decision": "決まったこと", "todo": "やること", "open": "残ったこと"}
NOTE = "各項目の [L数字] は、元の記録の行です。「発言」と付いたものは、話された言葉のままです。"


@dataclass(frozen=True, slots=True)
class Minutes:
    """`items` of kind overview, decision, todo and open. asked, kept: how often a model was asked for words, and how
    often they held; 0 = it was not used. lines: of the source. withheld: items that may not leave (answer_check.py)."""

    title: str
    date: str
    classification: str
    speakers: tuple[str, ...]
    lines: int
    items: tuple[Item, ...]
    asked: int = 0
    kept: int = 0
    withheld: int = 0

    def of(self, kind: str) -> list[Item]:
        return [item for item in self.items if item.kind == kind]

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title, "date": self.date, "classification": self.classification,
            "speakers": list(self.speakers), "lines": self.lines,
            "overview": [item.to_json() for item in self.of("overview")],
            "decisions": [item.to_json() for item in self.of("decision")],
            "todos": [item.to_json() for item in self.of("todo")],
            "open": [item.to_json() for item in self.of("open")],
            "model": {"asked": self.asked, "kept": self.kept}, "withheld": self.withheld,
        }  # fmt: skip


def markdown(minutes: Minutes) -> str:
    """As it is handed to the asker; texts from outside cannot make headings or links of it."""
    head = [f"# 議事録: {_plain(minutes.title) or '(題名なし)'}", ""]
    head += [f"- {name}: {_plain(value)}" for name, value in _facts(minutes) if value]
    body = [line for kind, heading in HEADINGS.items() for line in _section(kind, heading, minutes.of(kind))]
    more = [f"確認のため差し止めた項目が {minutes.withheld} 件あります。"] if minutes.withheld else []
    return "\n".join([*head, *body, "", *more, NOTE])


def _facts(minutes: Minutes) -> list[tuple[str, str]]:
    return [
        ("日付", minutes.date), ("区分", minutes.classification), ("発言者", "、".join(minutes.speakers)),
    ]  # fmt: skip


def _section(kind: str, heading: str, items: Sequence[Item]) -> list[str]:
    if not items and kind == "overview":
        return []
    lines = ["", f"## {heading}", ""]
    return lines + ([_line(item) for item in items] or ["- (見つかりません)"])


def _line(item: Item) -> str:
    words = _plain(item.text)
    said = words if item.written == "model" else f"発言「{words}」"
    who = f"**{_plain(item.owner or '担当不明')}**({_plain(item.due or '期限なし')}): " if item.kind == "todo" else ""
    lines = " ".join(f"L{line}" for line in item.lines[:SHOWN_LINES])
    return f"- {who}{said} [{lines}]"


def _plain(text: str) -> str:
    """One line, with Markdown's marks made harmless."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|!" else c for c in " ".join(text.split()))
