"""A report as one HTML page in both languages: printable, no script, nothing from outside."""

from __future__ import annotations

from functools import cache

import jinja2
from markupsafe import Markup

from so8t.core.packaged import packaged
from so8t.operate.compliance import view
from so8t.operate.compliance.report import ComplianceReport
from so8t.report.card import resource, spans, style_hash
from so8t.report.figures import Words


def html(report: ComplianceReport, lang: str = "ja") -> str:
    """`lang` comes first and larger; a switch on the page hides either. Everything is escaped."""
    first = "en" if lang == "en" else "ja"
    style = resource("card.css") + _text("report.css")
    env = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.globals["w"] = lambda words: spans(words, first)
    env.globals["t"] = lambda ja, en: spans(Words(ja, en), first)
    state, words = view.state(report)
    return env.from_string(_text("report.html.jinja")).render(
        first=first, style=Markup(style), style_hash=style_hash(style), title=view.TITLE, law=report.law, state=state,
        state_words=words, problems=view.problems(report), disclaimer=view.DISCLAIMER, no_score=view.NO_SCORE,
        patterns=view.PATTERNS, facts=view.facts(report), duties=report.duties, sections=report.sections,
        rows=view.rows,
    )  # fmt: skip


@cache
def _text(name: str) -> str:
    return packaged("compliance", name).read_text(encoding="utf-8")
