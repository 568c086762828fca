"""Section "quantisations" of a card: a column a file, what it costs and what it changed as rows (SPEC P6, O11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from so8t.report.figures import FIGURES, NONE, Words, count, decimal, measured, number, percent, scientific, size
from so8t.report.reading import mapping, mappings

# Plan 5.4: perplexity may rise by less than this; Q4_K_M by 2 to 3 %.
PLAN_CHANGE = {"Q8_0": 0.01, "Q4_K_M": 0.03}
PLAN_WORDS = {"Q8_0": "< 1 %", "Q4_K_M": "2–3 %"}
PLAN_SECONDS = 3.0
Row = tuple[Words, list[dict[str, Any]]]


def quantisations(card: Mapping[str, Any], deployed: str) -> dict[str, Any]:
    """Columns F16, Q8_0, Q4_K_M ...; a row that no file has anything for is left out."""
    results = mapping(card.get("results"))
    files = {str(f.get("quantisation", f.get("name", ""))): f for f in mappings(card.get("files"))}
    names = list(dict.fromkeys([*files, *map(str, results)]))
    compared = mapping(card.get("quantisation"))
    rows = [
        *_file_rows(names, [mapping(files.get(q)) for q in names]),
        *_change_rows(names, mapping(compared.get("rows")), str(compared.get("reference", ""))),
        (
            Words("温度 T", "Temperature T"),
            _plain(decimal(mapping(results.get(q)).get("temperature"), 2) for q in names),
        ),
    ]
    tests = [_test_of(mapping(results.get(q))) for q in names]
    rows += [(f.words, _plain(f.write(measured(t, f.path).get("value")) for t in tests)) for f in FIGURES.values()]
    rows = [row for row in rows if any(cell["text"] != NONE for cell in row[1])]
    marked = [(q, q == deployed) for q in names]
    return {"names": marked, "rows": rows, "notes": _notes(compared)} if rows else {}


def _file_rows(names: Sequence[str], files: Sequence[Mapping[str, Any]]) -> list[Row]:
    verdicts = [mapping(f.get("verdicts")) for f in files]
    return [
        (Words("大きさ", "Size"), _plain(size(f.get("bytes")) for f in files)),
        (Words("書く速さ (tokens/s)", "Writing (tokens/s)"), _plain(count(f.get("tokens_per_second")) for f in files)),
        (
            Words("読む速さ (tokens/s)", "Reading (tokens/s)"),
            _plain(count(f.get("prompt_tokens_per_second")) for f in files),
        ),
        (
            Words("判定の速さ (件/s)", "Verdicts a second"),
            _plain(decimal(v.get("requests_per_second"), 1) for v in verdicts),
        ),
        (
            Words("判定まで 中央値(計画 < 3 s)", "To a verdict, median (plan < 3 s)"),
            [_seconds(v.get("p50")) for v in verdicts],
        ),
        (
            Words("判定まで 95 %(計画 < 3 s)", "To a verdict, 95 % (plan < 3 s)"),
            [_seconds(v.get("p95")) for v in verdicts],
        ),
        (Words("困惑度", "Perplexity"), _plain(decimal(f.get("perplexity"), 2) for f in files)),
        (
            Words("困惑度の変化", "Change of perplexity"),
            [_change(q, mapping(f.get("perplexity_change"))) for q, f in zip(names, files, strict=True)],
        ),
    ]


def _seconds(value: Any) -> dict[str, Any]:
    v = number(value)
    if v is None:
        return _cell(NONE)
    text = f"{1000 * v:,.0f} ms" if v < 1 else f"{v:.2f} s"
    return _cell(text, met=v < PLAN_SECONDS)


def _change(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """Signed, with the plan's figure for this quantisation beside; a fall is within any plan."""
    value, low, high = (number(part.get(k)) for k in ("value", "low", "high"))
    if value is None:
        return _cell(NONE)
    interval = f"{_signed(low)}–{_signed(high)}" if low is not None and high is not None else ""
    plan = PLAN_CHANGE.get(name)
    small = Words(f"計画 {PLAN_WORDS[name]}", f"plan {PLAN_WORDS[name]}") if plan is not None else None
    return _cell(f"{_signed(value)} %", interval, None if plan is None else value < plan, small)


def _signed(share: float) -> str:
    """Per cent with two significant places at least: quantising at 8 bits moves hundredths of a per cent."""
    return f"{100 * share:+.3f}" if abs(share) < 0.001 else f"{100 * share:+.2f}"


def _change_rows(names: Sequence[str], rows: Mapping[str, Any], reference: str) -> list[Row]:
    if not rows:
        return []
    parts = [mapping(rows.get(q)) for q in names]
    base = _cell("", "", None, Words("基準", "reference"))

    def row(ja: str, en: str, cells: list[dict[str, Any]]) -> Row:
        return Words(ja, en), [base if q == reference else c for q, c in zip(names, cells, strict=True)]

    agreement = []
    for part in parts:
        a = mapping(part.get("agreement"))
        low, high = number(a.get("low")), number(a.get("high"))
        agreement.append(
            _cell(
                percent(a.get("value")),
                f"{100 * low:.1f}–{100 * high:.1f}" if low is not None and high is not None else "",
            )
        )
    return [
        row("判定の一致", "Same verdicts", agreement),
        row("新たに許可へ変わった数", "Became ALLOW", _plain(count(p.get("newly_allowed")) for p in parts)),
        row("確率のずれ KL (nat)", "Label probabilities, KL (nats)", _plain(scientific(p.get("kl")) for p in parts)),
    ]  # fmt: skip


def _notes(compared: Mapping[str, Any]) -> list[Words]:
    notes = []
    texts, tokens = number(compared.get("texts")), number(compared.get("tokens"))
    if texts and tokens:
        notes.append(
            Words(
                f"困惑度は、学習に使っていない文章 {texts:,.0f} 本({tokens:,.0f} トークン)で測りました(llama.cpp)。"
                "判定のために調整したモデルなので、値そのものは大きくなります。形式どうしの差を見てください。",
                f"Perplexity through llama.cpp on {texts:,.0f} texts ({tokens:,.0f} tokens) that training never saw. "
                "The model is tuned to judge, so the value itself is high: look at the difference between the files.",
            )
        )
    missing = compared.get("perplexity_missing")
    if isinstance(missing, str):
        notes.append(
            Words(f"困惑度は測れませんでした({missing} がありません)。", f"Perplexity not measured (no {missing}).")
        )
    reference = compared.get("reference")
    if isinstance(reference, str) and mapping(compared.get("rows")):
        notes.append(
            Words(
                f"一致・KL は {reference} との比較です。KL は温度調整の前の確率で比べています。",
                f"Same verdicts and KL are against {reference}; KL compares the probabilities before temperature.",
            )
        )
    return notes


def _test_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    splits = mapping(result.get("splits"))
    return mapping(splits.get("test", next(iter(splits.values()), {})))


def _plain(texts: Any) -> list[dict[str, Any]]:
    return [_cell(text) for text in texts]


def _cell(text: str, small: str = "", met: bool | None = None, note: Words | None = None) -> dict[str, Any]:
    return {"text": text, "small": small, "met": met, "note": note}
