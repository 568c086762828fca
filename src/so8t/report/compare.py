"""A comparison as one self-contained page: the verdicts in plain words, the differences drawn, every figure in a table.

No script, nothing from outside; its Content-Security-Policy allows nothing but the page's one style sheet, by hash. The
result may hold anything: what is no finite number is left out, every text is escaped. The same input gives the same
bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from so8t.report.card import environment, resource, spans, style_hash
from so8t.report.compare_plots import differences
from so8t.report.compare_words import FIGURE_WORDS, MEANINGS, listed, method_words, pair_cells, statement, written
from so8t.report.data_panels import NOTHING, Cell, Panel, Section, harmless, section, shown, table
from so8t.report.data_report import numeric
from so8t.report.figures import NONE, Words, number
from so8t.report.plots import Mark, Series, curve
from so8t.report.reading import mapping, mappings

TITLE = Words("工夫は効いたか", "Does the idea help?")
STATES = {
    "effect": Words("差がある", "Effect"), "none": Words("効果は示されなかった", "No effect shown"),
    "undecided": Words("判定なし", "Not judged"),
}  # fmt: skip
HEADERS = (
    Words("項目", "figure"), Words("対照", "control"), Words("処置", "treatment"), Words("差", "difference"),
    Words("95 % 区間(シード)", "95 % interval, seeds"), Words("95 % 区間(文書)", "95 % interval, documents"),
    Words("p(Holm)", "p (Holm)"), Words("計画書の目標", "the plan's target"), Words("判定", "verdict"),
)  # fmt: skip
STROKES = (Words("一つめ(実線)", "first, solid"), Words("二つめ(破線)", "second, dashed"))
POSITION = Words("窓の中の位置(トークン)", "position in the window (tokens)")


def comparison_report(result: Mapping[str, Any], lang: str = "ja") -> str:
    """The page in Japanese and English, `lang` first and larger; a switch on the page hides either.

    `result`: what prove.ablation.compare returns, or {differing, runs} of runs that make no pairs.
    """
    first = "en" if lang == "en" else "ja"
    style = "".join(resource(name) for name in ("card.css", "data.css", "compare.css"))
    env = environment(first)
    env.globals["cell"] = lambda cell: Markup("<bdi>{}</bdi>").format(shown(cell, lambda w: spans(w, first)))
    env.globals["numeric"] = numeric
    state, sections = _state(result), _sections(result, first)
    return env.from_string(resource("compare.html.jinja")).render(
        first=first, style=Markup(style), style_hash=style_hash(style), title=TITLE, name=_name(result), kind=state,
        state=STATES[state], statements=statement(result), method=method_words(result), sections=sections,
    )  # fmt: skip


def _name(result: Mapping[str, Any]) -> str:
    if not result.get("factor"):
        return ", ".join(harmless(r.get("name")) for r in mappings(result.get("runs")))
    levels = [harmless(p.get("level")) for p in mappings(result.get("comparisons"))]
    return f"{harmless(result['factor'])}: {harmless(result.get('control'))} → {', '.join(levels)}"


def _state(result: Mapping[str, Any]) -> str:
    found = {str(r.get("verdict")) for p in mappings(result.get("comparisons")) for r in mappings(p.get("figures"))}
    return next((name for name in ("effect", "none") if name in found), "undecided")


def _sections(result: Mapping[str, Any], first: str) -> list[Section]:
    made: Iterable[Section | None] = (
        *(_comparison(i, p, first) for i, p in enumerate(mappings(result.get("comparisons")))),
        _positions(result, first), _runs(result), _differing(result), _meanings(),
    )  # fmt: skip
    return [s for s in made if s is not None]


def _comparison(number_: int, part: Mapping[str, Any], first: str) -> Section | None:
    rows = mappings(part.get("figures"))
    level, seeds = harmless(part.get("level")), ", ".join(map(harmless, listed(part.get("seeds"))))
    cells = table(HEADERS, [pair_cells(row) for row in rows])
    drawn = Markup(differences(rows, first=first))
    about = Words(f"処置 = {level}、シード {seeds}", f"treatment = {level}, seeds {seeds}")
    note = Words(
        "● 差がある ○ 示されなかった 小さい点は組ごと。実線はシード、破線は文書の 95 % 区間。目盛は項目ごと。",
        "● effect, ○ none shown, small dots: the pairs. Solid: interval over seeds, dashed: over documents. "
        "Each row has a scale of its own.",
    )
    panels = (
        Panel(Words("差と区間", "Differences"), None, drawn, note),
        Panel(Words("すべての数", "All figures"), cells, layout="wide"),
    )
    return section(f"level-{number_}", Words(f"比べた結果: {level}", f"Comparison: {level}"), about, panels)


def _positions(result: Mapping[str, Any], first: str) -> Section | None:
    """Cross entropy by position, one line a training; a vertical where training rows ended."""
    runs = mappings(result.get("runs"))
    lines = [(harmless(r.get("name")), _points(r)) for r in runs]
    series = [Series(w, points) for w, (_, points) in zip(STROKES, [x for x in lines if x[1]], strict=False)]
    if not series:
        return None
    trained = number(mapping(runs[0].get("facts")).get("trained_tokens"))
    marks = [] if trained is None else [Mark(trained, Words("学習した長さ", "trained length"))]
    title = Words("位置ごとの交差エントロピー", "Cross entropy by position")
    plot = Markup(curve(series, marks, title=title, x_label=POSITION, first=first))
    headers = (Words("学習", "training"), *(Words(f"{x:,.0f}") for x, _ in series[0].points))
    rows = [(Words(name), *(Words(f"{y:.4f}") for _, y in points)) for name, points in lines if points]
    panel = Panel(
        title,
        table(headers, rows),
        plot,
        Words("図は表の始めの二つ。", "The plot shows the first two of the table."),
        "wide",
    )
    return section("positions", Words("長い窓", "Long windows"), NOTHING, (panel,))


def _points(run: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(middle, mean cross entropy) of every stretch."""
    found = []
    for row in map(listed, listed(run.get("positions"))):
        low, high, loss = (number(v) for v in row) if len(row) == 3 else (None, None, None)
        if low is not None and high is not None and loss is not None:
            found.append(((low + high) / 2, loss))
    return found


def _runs(result: Mapping[str, Any]) -> Section | None:
    runs = mappings(result.get("runs"))
    headers = (Words("学習", "training"), *FIGURE_WORDS.values())
    rows: list[tuple[Cell, ...]] = [
        (Words(harmless(r.get("name"))), *(Words(written(n, mapping(r.get("values")).get(n))) for n in FIGURE_WORDS))
        for r in runs
    ]
    if not rows:
        return None
    panel = Panel(Words("学習ごと", "Each training"), table(headers, rows), layout="wide")
    alone = ", ".join(map(harmless, listed(result.get("alone"))))
    about = Words(f"組にならなかったもの: {alone}", f"without a partner: {alone}") if alone else NOTHING
    return section("runs", Words("学習ごとの数", "Figures of each training"), about, (panel,))


def _differing(result: Mapping[str, Any]) -> Section | None:
    rows = [
        (Words(harmless(k)), Words(harmless(" | ".join(map(str, listed(v))))))
        for k, v in mapping(result.get("differing")).items()
    ]
    panel = (
        Panel(TITLE, table((Words("設定", "setting"), Words("値", "values")), rows), layout="wide") if rows else None
    )
    return section("differing", Words("違っている設定", "Settings that differ"), NOTHING, (panel,))


def _meanings() -> Section | None:
    rows = [(words, MEANINGS.get(name, Words(NONE))) for name, words in FIGURE_WORDS.items()]
    panel = Panel(
        Words("項目の意味", "What the figures are"), table((HEADERS[0], Words("意味", "meaning")), rows), layout="wide"
    )
    return section("meanings", Words("項目の意味", "What the figures are"), NOTHING, (panel,))
