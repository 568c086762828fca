"""The figures of the task suite as text for a terminal: what section "tasks" of the card shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from so8t.report.card_tasks import tasks
from so8t.report.figures import NONE, Words
from so8t.report.summary import table

MET = {True: Words("達成", "met"), False: Words("未達", "not met"), None: Words("")}


def tasks_table(section: Mapping[str, Any], lang: str = "ja") -> str:
    """A row a task with its target, then the measures beside it, then what a careful reader must know."""
    view = tasks(section)
    if not view:
        return NONE
    rows = [
        [r["words"].only(lang), r["value"], r["interval"], r["n"], r["target"], MET[r["met"]].only(lang)]
        for r in view["rows"]
    ]
    ja, en = ["課題", "得点", "95 % 区間", "問", "計画", ""], ["task", "score", "95 %", "n", "plan", ""]
    lines = [table(rows, ja if lang == "ja" else en)]
    for words, figures in view["beside"]:
        lines.append(f"{words.only(lang)}: " + "  ".join(f"{name.only(lang)} {text}" for name, text in figures))
    return "\n".join([*lines, *(note.only(lang) for note in view["notes"])])
