"""The parts of an evaluation as tables: by domain, register and attack, and the harmless look-alikes (SPEC P2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from so8t.report.figures import ATTACK_WORDS, DOMAIN_WORDS, FIGURES, Figure, Words, count, number
from so8t.report.reading import cell, mapping

COLUMNS = tuple(FIGURES[n] for n in ("accuracy", "danger_allowed", "false_allow", "over_refusal", "over_escalation"))
REGISTER_WORDS: dict[str, Words] = {
    "敬体": Words("敬体", "Polite"),
    "常体": Words("常体", "Plain"),
    "くだけた": Words("くだけた文", "Casual"),
    "メール": Words("メール", "E-mail"),
    "箇条書き": Words("箇条書き", "Bullet points"),
    "電報調": Words("電報調", "Telegraphic"),
    "誤字": Words("誤字まじり", "With typing errors"),
}
LOOK_ALIKE_WORDS: dict[str, Words] = {
    "all": Words("紛らわしいもの(下の二つ)", "Look-alikes (either below)"),
    "paired": Words("危険な依頼と一語違い", "A word away from a dangerous one"),
    "disguised": Words("攻撃と同じ書き方", "Written like an attack"),
    "plain": Words("その他の無害な依頼", "Other harmless requests"),
}
ALLOWED = Figure(
    "accuracy", Words("許可した割合", "Allowed"), ("accuracy",), "higher", "percent", True
)  # fmt: skip
HARMLESS = (ALLOWED, FIGURES["over_refusal"], FIGURES["over_escalation"])
GROUPS = (
    ("per_domain", Words("分野ごと", "By domain"), DOMAIN_WORDS),
    ("per_register", Words("文体ごと", "By register"), REGISTER_WORDS),
    ("per_attack", Words("攻撃・偽装ごと", "By attack or disguise"), ATTACK_WORDS),
)


def slice_tables(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One table a grouping that holds more than accuracy, rows as in the card."""
    found = []
    for key, title, words in GROUPS:
        parts = {str(k): mapping(v) for k, v in mapping(result.get(key)).items()}
        parts = {k: v for k, v in parts.items() if any(isinstance(v.get(f.name), Mapping) for f in COLUMNS[1:])}
        if parts:
            found.append({"title": title, "columns": [f.words for f in COLUMNS], "rows": _rows(parts, words, COLUMNS)})
    return found


def look_alikes(result: Mapping[str, Any]) -> dict[str, Any]:
    """Harmless requests that look forbidden beside those that do not: refused for their looks?"""
    parts = {str(k): mapping(v) for k, v in mapping(result.get("look_alikes")).items()}
    order = [k for k in LOOK_ALIKE_WORDS if k in parts] + [k for k in parts if k not in LOOK_ALIKE_WORDS]
    rows = _rows({k: parts[k] for k in order}, LOOK_ALIKE_WORDS, HARMLESS)
    return {"columns": [f.words for f in HARMLESS], "rows": rows} if rows else {}


def _rows(
    parts: Mapping[str, Mapping[str, Any]], words: Mapping[str, Words], columns: Sequence[Figure]
) -> list[dict[str, Any]]:
    rows = []
    for name, part in parts.items():
        if number(part.get("n")) is not None:
            cells = [cell(f, mapping(part.get(f.name))) for f in columns]
            rows.append({"words": words.get(name, Words(name)), "n": count(part.get("n")), "cells": cells})
    return rows
