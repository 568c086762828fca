"""Minutes as a Word file (OOXML), with the lines that each item stands on at the end."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from so8t.core.errors import PackageMissing

SECTIONS = (("decisions", "決まったこと"), ("open", "残ったこと"))
NO_TODOS = "(見つかりません)"


def word(made: dict[str, Any], source: Sequence[str]) -> bytes:
    """`made`: Minutes.to_json(); source: the transcript's lines. Raises PackageMissing where python-docx is not."""
    document = _document()
    document.add_heading(f"議事録: {_legal(made['title']) or '(題名なし)'}", 1)
    facts = {"日付": made["date"], "区分": made["classification"], "発言者": "、".join(made["speakers"])}
    for name, value in facts.items():
        if value:
            document.add_paragraph(f"{name}: {_legal(value)}")
    if made["overview"]:
        document.add_heading("概要", 2)
        for item in made["overview"]:
            document.add_paragraph(_line(item), style="List Bullet")
    _todos(document, made["todos"])
    for key, heading in SECTIONS:
        document.add_heading(heading, 2)
        for item in made[key]:
            document.add_paragraph(_line(item), style="List Bullet")
        if not made[key]:
            document.add_paragraph(NO_TODOS)
    _sources(document, made, source)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def _document() -> Any:
    try:
        import docx
    except ModuleNotFoundError:
        raise PackageMissing(detail='python-docx: pip install "so8t[data]"') from None
    return docx.Document()


def _todos(document: Any, todos: Sequence[dict[str, Any]]) -> None:
    document.add_heading("やること", 2)
    if not todos:
        document.add_paragraph(NO_TODOS)
        return
    table = document.add_table(rows=1, cols=4, style="Table Grid")
    for cell, text in zip(table.rows[0].cells, ("担当", "期限", "内容", "根拠"), strict=True):
        cell.text = text
    for item in todos:
        cells = table.add_row().cells
        values = (item["owner"] or "不明", item["due"] or "なし", _words(item), _lines(item))
        for cell, text in zip(cells, values, strict=True):
            cell.text = _legal(text)


def _sources(document: Any, made: dict[str, Any], source: Sequence[str]) -> None:
    document.add_heading("根拠の行", 2)
    kinds = ("overview", "decisions", "todos", "open")
    cited = {line for kind in kinds for item in made[kind] for line in item["lines"]}
    for line in sorted(cited):
        if 1 <= line <= len(source):
            document.add_paragraph(f"L{line}  {_legal(source[line - 1])}")


def _line(item: dict[str, Any]) -> str:
    return _legal(f"{_words(item)} [{_lines(item)}]")


def _words(item: dict[str, Any]) -> str:
    return str(item["text"]) if item["written"] == "model" else f"発言「{item['text']}」"


def _lines(item: dict[str, Any]) -> str:
    return " ".join(f"L{line}" for line in item["lines"])


def _legal(text: str) -> str:
    """Without what XML 1.0 cannot hold."""
    return "".join(c for c in text if c >= " " or c in "\t\n")
