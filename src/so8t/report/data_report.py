"""The figures of the data stages as a self-contained page, as Markdown and in short (plan 5.1 step 3, SPEC D8).

`facts`, all keys optional: run {name, profile, date}; checks [{name_ja, name_en, passed, value, limit, rows [{id,
place, why, text}], rows_total}]; splits, kinds, licenses, pii, registers, attacks, skipped_total {name: n}; decisions
{split: {decision: n}}; domains {domain: {text, request, multimodal, quota, unfilled}}; sources [{name, license, read,
kept, dropped {reason: n}, quota, unfilled, characters}]; quality {kept_histogram, dropped_histogram [[lower, n]],
reasons [[ja, en, n]]}; lengths [[lower, n]]; duplicates {exact, near, clusters, compared, largest [{size, kept,
examples}]} with texts {place, jaccard, text}; levels [[clearance, classification, decision, n]]; skipped [{place,
reason, detail}]; synthesis, multimodal {name: figure or {part: figure}}. What is missing is left out.

Whatever the data says is text: no script, nothing from outside, and no character that turns or hides what is beside it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from so8t.report.card import VERDICTS, environment, resource, spans, style_hash
from so8t.report.data_panels import Cell, Facts, Table, harmless, is_number, named, shown, table, whole
from so8t.report.data_sections import sections
from so8t.report.figures import NONE, Words
from so8t.report.reading import mapping, mappings

MOST_FAILING = 50  # rows of a check that are shown
TITLE = Words("データ検証報告", "Data validation report")
CHECKS = Words("検査", "Checks")
CHECK_HEADERS = (Words("検査", "check"), Words("値", "value"), Words("許される値", "allowed"), Words("判定", "result"))
ROW_HEADERS = (Words("行", "row"), Words("理由", "why"), Words("本文", "text"), Words("出どころ", "source"))
_MARKDOWN = re.compile(r"[\\`*_~|\[\]#]")


def data_report_html(facts: Facts, lang_first: str = "ja") -> str:
    """One page in Japanese and English, sibling of the card. `lang_first` ("ja" or "en") comes first and larger."""
    first = "en" if lang_first == "en" else "ja"
    style = resource("card.css") + resource("data.css")
    env = environment(first)
    env.globals["cell"] = lambda cell: _cell(cell, first)
    env.globals["numeric"] = numeric
    verdict = verdict_of(facts)
    found = sections(facts, first)
    return env.from_string(resource("data.html.jinja")).render(
        first=first, style=Markup(style), style_hash=style_hash(style), title=TITLE, name=_name(facts),
        verdict=verdict, verdict_words=VERDICTS[verdict], statement=_statement(facts, verdict),
        facts_list=_facts(facts), checks=_checks(facts), check_headers=CHECK_HEADERS, sections=found,
        headings={"checks": CHECKS} | {s.key: s.title for s in found},
    )  # fmt: skip


def data_report_markdown(facts: Facts, lang: str) -> str:
    """The tables of the page in one language ("ja" or "en"), without its plots; inert as Markdown and as HTML."""
    verdict = verdict_of(facts)
    lines = [f"# {TITLE.only(lang)} {escaped(_name(facts))}".rstrip(), ""]
    lines += [f"**{VERDICTS[verdict].only(lang)}** {escaped(_statement(facts, verdict).only(lang))}", ""]
    lines += [f"- {words.only(lang)}: {escaped(text)}" for words, text in _facts(facts)]
    checks = _checks(facts)
    if checks:
        lines += ["", f"## {CHECKS.only(lang)}", ""]
        rows = [(c["words"], c["value"], c["limit"], VERDICTS["passed" if c["passed"] else "failed"]) for c in checks]
        lines += _lines(table(CHECK_HEADERS, rows), lang)
    for check in checks:
        if check["table"]:
            lines += ["", f"### {escaped(check['words'].only(lang))}", "", *_lines(check["table"], lang)]
    for section in sections(facts, lang):
        lines += ["", f"## {section.title.only(lang)}"]
        lines += ["", escaped(section.about.only(lang))] if section.about.ja else []
        for panel in section.panels:
            if panel.table:
                lines += ["", f"### {panel.title.only(lang)}", "", *_lines(panel.table, lang)]
    return "\n".join(lines).rstrip() + "\n"


def data_report_rows(facts: Facts, lang: str) -> list[list[str]]:
    """The page in a dozen lines for a terminal: name and value."""

    def listed(counts: Any) -> str:
        return ", ".join(f"{name} {whole(n):,}" for name, n in mapping(counts).items() if whole(n))

    checks = mappings(facts.get("checks"))
    failed = [str(c.get("name_ja" if lang == "ja" else "name_en")) for c in checks if c.get("passed") is not True]
    unfilled = {name: mapping(d).get("unfilled", 0) for name, d in mapping(facts.get("domains")).items()}
    dropped: dict[str, int] = {}
    for source in mappings(facts.get("sources")):
        for reason, n in mapping(source.get("dropped")).items():
            dropped[reason] = dropped.get(reason, 0) + whole(n)
    same = {k: n for k, n in mapping(facts.get("duplicates")).items() if isinstance(n, int) and k != "compared"}
    rows = [
        (Words("検査", "checks"), f"{len(checks) - len(failed)} / {len(checks)}  {' '.join(failed)}"),
        (Words("用途", "splits"), listed(facts.get("splits"))),
        (Words("種類", "kinds"), listed(facts.get("kinds"))),
        (Words("判定(学習)", "decisions (train)"), listed(mapping(facts.get("decisions")).get("train"))),
        (Words("足りない文章", "texts missing"), listed(unfilled)),
        (Words("外した文章", "texts dropped"), listed(dropped)),
        (Words("重複", "duplicates"), listed(same)),
        (Words("伏せたもの", "masked"), listed(facts.get("pii"))),
        (Words("読めなかったもの", "skipped"), listed(facts.get("skipped_total"))),
        (Words("ライセンス", "licences"), listed(facts.get("licenses"))),
    ]
    return [[words.only(lang), value.strip()] for words, value in rows if value.strip()]


def verdict_of(facts: Facts) -> str:
    """passed only if there are checks and each says so; unjudged without any."""
    checks = mappings(facts.get("checks"))
    if not checks:
        return "unjudged"
    return "passed" if all(check.get("passed") is True for check in checks) else "failed"


def _name(facts: Facts) -> str:
    run = mapping(facts.get("run"))
    return harmless(run.get("name") or run.get("profile") or "")


def _facts(facts: Facts) -> list[tuple[Words, str]]:
    run, kinds = mapping(facts.get("run")), mapping(facts.get("kinds"))
    found = [
        (Words("プロファイル", "Profile"), harmless(run.get("profile"))),
        (Words("日付", "Date"), harmless(run.get("date"))),
        (Words("標本", "Samples"), _sum(facts.get("splits"))),
        (Words("文章", "Texts"), f"{whole(kinds['text']):,}" if "text" in kinds else NONE),
        (Words("依頼", "Requests"), f"{whole(kinds['request']):,}" if "request" in kinds else NONE),
        (Words("画像つき", "With image"), f"{whole(kinds['multimodal']):,}" if "multimodal" in kinds else NONE),
        (Words("伏せた個人情報", "Personal data masked"), _sum(facts.get("pii"))),
    ]
    return [(words, text) for words, text in found if text != NONE]


def _sum(counts: Any) -> str:
    return f"{sum(whole(n) for n in counts.values()):,}" if isinstance(counts, Mapping) else NONE


def _statement(facts: Facts, verdict: str) -> Words:
    checks = mappings(facts.get("checks"))
    failed = sum(check.get("passed") is not True for check in checks)
    if verdict == "unjudged":
        return Words("検査の結果がありません。", "There are no results of checks.")
    if verdict == "passed":
        return Words(f"検査 {len(checks)} 項目のすべてに合格しました。", f"All {len(checks)} checks passed.")
    return Words(
        f"検査 {len(checks)} 項目のうち {failed} 項目が不合格です。ここで止まり、学習には進みません。",
        f"{failed} of {len(checks)} checks failed. The run stops here; nothing is trained.",
    )


def _checks(facts: Facts) -> list[dict[str, Any]]:
    """Every check in words, with the table of its failing rows or None."""
    return [
        {
            "words": Words(harmless(check.get("name_ja", check.get("name_en"))), harmless(check.get("name_en", ""))),
            "passed": check.get("passed") is True,
            "value": named(check.get("value")),
            "limit": named(check.get("limit")),
            "table": _failing(check),
        }
        for check in mappings(facts.get("checks"))
    ]


def _failing(check: Facts) -> Table | None:
    rows = mappings(check.get("rows"))
    if not rows:
        return None
    cells = tuple(tuple(named(row.get(key)) for key in ("id", "why", "text", "place")) for row in rows[:MOST_FAILING])
    return Table(ROW_HEADERS, cells, max(len(rows), whole(check.get("rows_total"))) - len(cells))


def _cell(cell: Cell, first: str) -> Markup:
    """What comes from the data keeps its writing direction to itself."""
    if isinstance(cell, Words) and cell.en:
        return spans(cell, first)
    return Markup("<bdi>{}</bdi>").format(shown(cell, lambda words: words.ja))


def _lines(found: Table, lang: str) -> list[str]:
    """A table of GitHub-flavoured Markdown."""
    cells = [[escaped(shown(cell, lambda words: words.only(lang))) for cell in row] for row in found.rows]
    align = ["---:" if i and numeric(found, i) else "---" for i in range(len(found.headers))]
    lines = [[escaped(words.only(lang)) for words in found.headers], align, *cells]
    more = Words(f"ほかに {found.more:,} 行", f"and {found.more:,} more rows").only(lang)
    return ["| " + " | ".join(line) + " |" for line in lines] + (["", more] if found.more else [])


def escaped(text: str) -> str:
    """Text that Markdown, and the HTML it becomes, show as it stands."""
    return _MARKDOWN.sub(lambda match: f"\\{match[0]}", html.escape(text, quote=False))


def numeric(found: Table, column: int) -> bool:
    """A column of numbers is set to the right."""
    return bool(found.rows) and all(is_number(row[column]) for row in found.rows)
