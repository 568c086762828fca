"""A report as PDF, set by typst with a font from a package: no network, no font of the machine, no time of day."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from so8t.core.errors import PackageMissing
from so8t.core.packaged import packaged
from so8t.operate.compliance import view
from so8t.operate.compliance.figures import Figure
from so8t.operate.compliance.report import ComplianceReport
from so8t.report.figures import Words

COLUMNS = (Words("項目", "Item"), Words("数", "Figure"), Words("台帳の番号", "Ledger entries"))
CANNOT = Words("台帳では示せないこと: ", "Not shown by the ledger: ")


def pdf(report: ComplianceReport, lang: str = "ja") -> bytes:
    """In one language. Raises PackageMissing for typst or the font."""
    try:
        typst = import_module("typst")
    except ModuleNotFoundError:
        raise PackageMissing(detail='typst: pip install "so8t[serve]"') from None
    template = packaged("compliance", "report.typ")
    made: bytes = typst.compile(
        template, root=template.parent, font_paths=[font_folder()], ignore_system_fonts=True, format="pdf",
        sys_inputs={"report": json.dumps(_content(report, lang), ensure_ascii=False)},
    )  # fmt: skip
    return made


def font_folder() -> Path:
    """Where Noto Sans CJK JP (SIL Open Font Licence 1.1) lies. Raises PackageMissing."""
    try:
        return Path(str(resources.files("noto_cjk_sans_jp_regular")))
    except ModuleNotFoundError:
        raise PackageMissing(detail='noto-cjk-sans-jp-regular: pip install "so8t[serve]"') from None


def setter() -> str:
    """What the bytes of a PDF depend on besides the report."""
    try:
        return f"typst {import_module('typst').__version__}"
    except ModuleNotFoundError:
        return ""


def _content(report: ComplianceReport, lang: str) -> dict[str, Any]:
    """What the template sets, all of it text."""
    state, words = view.state(report)
    return {
        "lang": lang,
        "title": view.TITLE.only(lang),
        "law": report.law.name.only(lang),
        "number": report.law.number,
        "state": state,
        "state_words": words.only(lang),
        "problems": [f"seq {seq}: {problem.only(lang)}" for seq, problem in view.problems(report)],
        "notes": [words.only(lang) for words in (view.DISCLAIMER, view.NO_SCORE, view.PATTERNS)],
        "facts": [[words.only(lang), text] for words, text in view.facts(report)],
        "columns": [words.only(lang) for words in COLUMNS],
        "cannot": CANNOT.only(lang),
        "footer": f"{report.law.short} {report.period.first} – {report.period.until} · so8t {report.span.ledger_id}",
        "duties": [
            {
                "article": found.duty.article,
                "title": found.duty.title.only(lang),
                "text": found.duty.text.only(lang),
                "rows": _rows(found.figures, lang),
                "cannot": [words.only(lang) for words in found.duty.cannot],
            }
            for found in report.duties
        ],
        "sections": [
            {
                "title": section.title.only(lang),
                "about": section.about.only(lang),
                "rows": _rows(section.figures, lang),
            }
            for section in report.sections
        ],
    }


def _rows(figures: Sequence[Figure], lang: str) -> list[dict[str, str]]:
    return [
        {"label": row.label.only(lang), "value": row.value, "entries": row.entries, "note": row.note}
        for row in view.rows(figures)
    ]
