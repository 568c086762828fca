"""The figures of the data stages as a self-contained page and as Markdown (plan 5.1 step 3, SPEC D8).

`facts`, all keys optional: run {profile, date}; checks [{name_ja, name_en, passed, value, limit, rows [{id, place, why,
text}], rows_total}]; splits, kinds, licenses, pii, registers, attacks {name: n}; decisions {split: {decision: n}};
domains {domain: {text, request, multimodal, quota, unfilled}}; sources [{name, license, read, kept, dropped {reason:
n}, quota, unfilled, characters}]; quality {kept_histogram, dropped_histogram [[lower, n]], reasons [[ja, en, n]]};
lengths [[lower, n]]; duplicates {exact, near, clusters, largest [{size, kept, examples}]}; levels [[clearance,
classification, decision, n]]; skipped [{place, reason, detail}]; synthesis, multimodal {name: figure}. What is missing
is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from so8t.report.card import environment, resource, style_hash
from so8t.report.count_plots import CountBar, count_bars, histogram
from so8t.report.figures import DECISION_WORDS, Words
from so8t.report.reading import mapping, mappings

PARTS = (Words("文章", "texts"), Words("依頼", "requests"), Words("画像つき", "with image"))
KINDS = ("text", "request", "multimodal")
LONGEST = 400  # characters of a text that is shown
Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """headers and rows of plain values; the first column names the row."""

    headers: tuple[Words, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """What one chapter shows."""

    key: str
    title: Words
    about: Words
    plots: tuple[Markup, ...] = ()
    tables: tuple[Table, ...] = ()


def data_report_html(facts: Facts, lang_first: str = "ja") -> str:
    """One page in Japanese and English; no script, nothing from outside, every text of the data escaped."""
    first = "en" if lang_first == "en" else "ja"
    style = resource("card.css")
    checks = mappings(facts.get("checks"))
    template = environment(first).from_string(resource("data.html.jinja"))
    return template.render(
        first=first, style=Markup(style), style_hash=style_hash(style), run=mapping(facts.get("run")), checks=checks,
        passed=all(check.get("passed") for check in checks), sections=_sections(facts, first), longest=LONGEST,
        total=sum(int(n) for n in mapping(facts.get("splits")).values()), shown=shown, numeric=numeric,
    )  # fmt: skip


def data_report_markdown(facts: Facts, lang: str) -> str:
    """The tables of the page, without its plots."""
    lines = [f"# {Words('データ検証報告', 'Data validation report').only(lang)}", ""]
    for check in mappings(facts.get("checks")):
        name = check.get("name_ja") if lang == "ja" else check.get("name_en")
        lines.append(f"- {'✓' if check.get('passed') else '✕'} {name}: {check.get('value')} ({check.get('limit')})")
        lines += [f"    - {_cell(row.get('id'))}: {_cell(row.get('why'))}" for row in mappings(check.get("rows"))]
    for section in _sections(facts, lang):
        lines += ["", f"## {section.title.only(lang)}", ""]
        for table in section.tables:
            lines += ["| " + " | ".join(h.only(lang) for h in table.headers) + " |"]
            lines += ["|" + "---|" + "---:|" * (len(table.headers) - 1)]
            lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in table.rows] + [""]
    return "\n".join(lines).rstrip() + "\n"


def data_report_rows(facts: Facts, lang: str) -> list[list[str]]:
    """The page in a dozen lines for a terminal: name and value."""

    def listed(counts: Any) -> str:
        return ", ".join(f"{name} {n:,}" for name, n in mapping(counts).items() if n)

    checks = mappings(facts.get("checks"))
    failed = [str(c.get("name_ja" if lang == "ja" else "name_en")) for c in checks if not c.get("passed")]
    unfilled = {name: mapping(d).get("unfilled", 0) for name, d in mapping(facts.get("domains")).items()}
    dropped: dict[str, int] = {}
    for source in mappings(facts.get("sources")):
        for reason, n in mapping(source.get("dropped")).items():
            dropped[reason] = dropped.get(reason, 0) + n
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


def _cell(value: Any) -> str:
    return " ".join(shown(value).split()).replace("|", "\\|")


def _sections(facts: Facts, first: str) -> list[Section]:
    makers: tuple[Callable[[Facts, str], Section | None], ...] = (
        _domains, _sources, _quality, _duplicates, _requests, _levels, _synthesis, _multimodal, _privacy, _skipped,
    )  # fmt: skip
    return [section for maker in makers if (section := maker(facts, first)) is not None]


def _domains(facts: Facts, first: str) -> Section | None:
    domains = mapping(facts.get("domains"))
    if not domains:
        return None
    bars = [
        CountBar(name, tuple(int(mapping(d).get(k, 0)) for k in KINDS), int(mapping(d).get("quota", 0)))
        for name, d in domains.items()
    ]
    rows = [
        (bar.label, *bar.parts, bar.quota or "—", mapping(domains[str(bar.label)]).get("unfilled", "—")) for bar in bars
    ]
    title = Words("分野と割当て", "Domains and quotas")
    return Section(
        "domains", title,
        Words("破線は文章の割当て。不足は右端の列。", "Dashed: the quota of texts; last column: what is missing."),
        (Markup(count_bars(bars, PARTS, title=title, first=first)),),
        (
            Table((Words("分野", "domain"), *PARTS, Words("割当て", "quota"), Words("不足", "unfilled")), tuple(rows)),
            _counts(Words("用途", "split"), mapping(facts.get("splits"))),
        ),
    )  # fmt: skip


def _sources(facts: Facts, first: str) -> Section | None:
    sources = mappings(facts.get("sources"))
    if not sources:
        return None
    bars = [CountBar(str(s["name"]), (int(s["kept"]),), int(s.get("quota", 0))) for s in sources]
    title = Words("出どころ", "Sources")
    headers = (
        Words("出どころ", "source"), Words("読んだ文書", "read"), Words("残した文章", "kept"),
        Words("割当て", "quota"), Words("不足", "unfilled"), Words("字数", "characters"),
    )  # fmt: skip
    rows = [
        (s["name"], s["read"], s["kept"], s.get("quota", 0), s.get("unfilled", 0), s["characters"]) for s in sources
    ]
    dropped = [(s["name"], reason, n) for s in sources for reason, n in sorted(mapping(s.get("dropped")).items())]
    tables = [Table(headers, tuple(rows))]
    if dropped:
        tables.append(
            Table(
                (Words("出どころ", "source"), Words("外した理由", "dropped for"), Words("件数", "count")),
                tuple(dropped),
            )
        )
    tables.append(_counts(Words("ライセンス", "licence"), mapping(facts.get("licenses"))))
    about = Words("一つの文書は、長ければいくつかの文章に分かれる。", "A long document becomes several texts.")
    plot = Markup(count_bars(bars, (Words("残した文章", "kept"),), title=title, first=first))
    return Section("sources", title, about, (plot,), tuple(tables))


def _quality(facts: Facts, first: str) -> Section | None:
    quality = mapping(facts.get("quality"))
    if not quality:
        return None
    title = Words("品質と長さ", "Quality and length")
    kept, dropped = (_bins(quality.get(f"{name}_histogram")) for name in ("kept", "dropped"))
    series = [(Words("残した", "kept"), kept), (Words("外した", "dropped"), dropped)]
    plots = [histogram(series, title=title, unit=Words("品質(0 から 1)", "quality (0 to 1)"), step=0.05, first=first)]
    if lengths := _bins(facts.get("lengths")):
        series, words = [(Words("残した文章", "kept texts"), lengths)], Words("文章の長さ", "Length of texts")
        plots.append(histogram(series, title=words, unit=Words("字", "characters"), step=100, first=first))
    rows = tuple((ja if first == "ja" else en, n) for ja, en, n in quality.get("reasons", []))
    table = Table((Words("品質で外した理由", "reason"), Words("件数", "count")), rows)
    about = Words("一つの文章に理由が二つ以上あることもある。", "A text may have more than one reason.")
    return Section("quality", title, about, tuple(map(Markup, plots)), (table,) if rows else ())


def _bins(value: Any) -> list[tuple[float, int]]:
    return [(float(low), int(n)) for low, n in value or []]


def _duplicates(facts: Facts, first: str) -> Section | None:
    found = mapping(facts.get("duplicates"))
    if not found:
        return None
    rows = []
    for cluster in mappings(found.get("largest")):
        kept, examples = mapping(cluster.get("kept")), mappings(cluster.get("examples"))
        other = examples[0] if examples else {}
        rows.append(
            (
                kept.get("place"),
                cluster.get("size"),
                other.get("place", "—"),
                other.get("jaccard", "—"),
                kept.get("text"),
            )
        )
    headers = (
        Words("残したもの", "kept"), Words("まとまりの大きさ", "size"), Words("外したものの一つ", "one that went"),
        Words("重なり", "Jaccard"), Words("はじめの字", "beginning"),
    )  # fmt: skip
    figures = {k: found[k] for k in ("exact", "near", "clusters") if k in found}
    names = {"exact": "完全な重複", "near": "似た重複", "clusters": "まとまり"}
    counts = Table(
        (Words("重複", "duplicates"), Words("件数", "count")),
        tuple((names[k] if first == "ja" else k, n) for k, n in figures.items()),
    )
    about = Words(
        "大きいものから十まで。全部は duplicates.jsonl にある。", "The ten largest; all are in duplicates.jsonl."
    )
    return Section(
        "duplicates", Words("重複", "Duplicates"), about, (), (counts, *([Table(headers, tuple(rows))] if rows else []))
    )


def _requests(facts: Facts, first: str) -> Section | None:
    decisions = mapping(facts.get("decisions"))
    if not any(sum(mapping(d).values()) for d in decisions.values()):
        return None
    title = Words("判定つきの依頼", "Judged requests")
    bars = [CountBar(split, tuple(mapping(d).values())) for split, d in decisions.items()]
    headers = (Words("用途", "split"), *DECISION_WORDS.values())
    rows = tuple((split, *mapping(d).values()) for split, d in decisions.items())
    tables = [Table(headers, rows)]
    tables += [
        _counts(words, mapping(facts.get(key)))
        for key, words in (("registers", Words("文体", "register")), ("attacks", Words("変装や注入", "disguise")))
        if facts.get(key)
    ]
    plot = Markup(count_bars(bars, tuple(DECISION_WORDS.values()), title=title, first=first))
    return Section(
        "requests",
        title,
        Words("左から ALLOW、ESCALATE、DENY。", "From the left: ALLOW, ESCALATE, DENY."),
        (plot,),
        tuple(tables),
    )


def _levels(facts: Facts, first: str) -> Section | None:
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for clearance, classification, decision, n in facts.get("levels", []):
        counts.setdefault((str(clearance), str(classification)), {})[str(decision)] = int(n)
    if not counts:
        return None
    rows = tuple((f"{a} → {b}", *(d.get(name, 0) for name in DECISION_WORDS)) for (a, b), d in sorted(counts.items()))
    headers = (Words("権限 → 区分", "clearance → classification"), *DECISION_WORDS.values())
    about = Words("二つの区分だけで正解が決まらないこと。", "The two levels alone should not tell the label.")
    return Section("levels", Words("権限と区分", "Clearance and classification"), about, (), (Table(headers, rows),))


def _synthesis(facts: Facts, first: str) -> Section | None:
    return _figures(facts, "synthesis", Words("依頼の生成", "Synthesis"))


def _multimodal(facts: Facts, first: str) -> Section | None:
    return _figures(facts, "multimodal", Words("画像と OCR", "Images and OCR"))


def _figures(facts: Facts, key: str, title: Words) -> Section | None:
    """Every plain number of a stage's own report; of a table of numbers, each with its name."""
    rows: list[tuple[str, Any]] = []
    for name, value in mapping(facts.get(key)).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            rows.append((name, value))
        elif isinstance(value, Mapping):
            rows += [(f"{name}: {k}", v) for k, v in value.items() if isinstance(v, int | float)]
    if not rows:
        return None
    return Section(
        key, title, Words("", ""), (), (Table((Words("項目", "figure"), Words("値", "value")), tuple(rows)),)
    )


def _privacy(facts: Facts, first: str) -> Section | None:
    if "pii" not in facts:
        return None
    about = Words("見つけて伏せた数。見落としはある。", "Found and masked; some will have been missed.")
    table = _counts(Words("種類", "kind"), mapping(facts["pii"]))
    return Section("privacy", Words("個人情報と秘密", "Personal data and secrets"), about, (), (table,))


def _skipped(facts: Facts, first: str) -> Section | None:
    rows = tuple((s.get("place"), s.get("reason"), s.get("detail", "")) for s in mappings(facts.get("skipped")))
    if not rows:
        return None
    headers = (Words("場所", "place"), Words("理由", "reason"), Words("詳細", "detail"))
    about = Words("読めなかったもの(先頭の一部)。", "What could not be read (the first of them).")
    return Section("skipped", Words("読めなかったもの", "Skipped"), about, (), (Table(headers, rows),))


def _counts(words: Words, counts: Facts) -> Table:
    return Table((words, Words("件数", "count")), tuple(sorted(counts.items(), key=lambda p: (-p[1], str(p[0])))))


def shown(value: Any) -> str:
    """A cell of the page."""
    text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text[:LONGEST]


def numeric(rows: Sequence[Sequence[Any]], column: int) -> bool:
    """A column of numbers is set to the right."""
    return all(isinstance(row[column], int | float) or row[column] == "—" for row in rows)
