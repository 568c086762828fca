"""The sections of the data report, from the facts of the data stages. Each is None when there is nothing to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from so8t.report import count_plots
from so8t.report.count_plots import CountBar
from so8t.report.data_levels import levels_section
from so8t.report.data_panels import (
    COUNT,
    MOST_BARS,
    NOTHING,
    Cell,
    Facts,
    Panel,
    Section,
    bins,
    coarser,
    counted,
    harmless,
    named,
    optional,
    section,
    table,
    whole,
)
from so8t.report.data_words import (
    DUPLICATE_WORDS,
    FIGURE_WORDS,
    KIND_WORDS,
    LICENSE_WORDS,
    PART_WORDS,
    PII_WORDS,
    REASON_WORDS,
    REGISTER_WORDS,
    SHARES,
    SPLIT_WORDS,
    TABLE_WORDS,
)
from so8t.report.figures import ATTACK_WORDS, DECISION_WORDS, DOMAIN_WORDS, NONE, Words, number, percent
from so8t.report.reading import mapping, mappings

KINDS = tuple(KIND_WORDS.values())
DECISIONS = tuple(DECISION_WORDS.values())
SOURCE, KEPT, QUOTA = Words("出どころ", "source"), Words("残した文章", "kept"), Words("割当て", "quota")
UNFILLED, REASON, PLACE = Words("不足", "unfilled"), Words("理由", "reason"), Words("場所", "place")


def sections(facts: Facts, first: str) -> list[Section]:
    makers: tuple[Callable[[Facts, str], Section | None], ...] = (
        _amounts, _domains, _sources, _quality, _duplicates, _requests, levels_section, _synthesis, _multimodal,
        _privacy, _licenses, _skipped,
    )  # fmt: skip
    return [found for maker in makers if (found := maker(facts, first)) is not None]


def _amounts(facts: Facts, first: str) -> Section | None:
    split, kind = Words("用途", "split"), Words("種類", "kind")
    return section(
        "amounts", Words("量と用途", "Amounts and splits"),
        Words(
            "同じ系列の依頼は一つの用途だけに入る。試験用と校正用は学習に使わない。",
            "A family of requests lies in one split only. Nothing is trained on test or calibration.",
        ),
        (
            counted(Words("用途ごとの標本", "Samples by split"), split, facts.get("splits"), SPLIT_WORDS, first),
            counted(Words("種類ごとの標本", "Samples by kind"), kind, facts.get("kinds"), KIND_WORDS, first),
        ),
    )  # fmt: skip


def _domains(facts: Facts, first: str) -> Section | None:
    domains = [(named(key, DOMAIN_WORDS), mapping(d)) for key, d in mapping(facts.get("domains")).items()]
    if not domains:
        return None
    counts = [tuple(whole(d.get(kind)) for kind in KIND_WORDS) for _, d in domains]
    bars = [CountBar(name, n, whole(d.get("quota"))) for (name, d), n in zip(domains, counts, strict=True)]
    rows: list[tuple[Cell, ...]] = [
        (name, *n, optional(d, "quota"), optional(d, "unfilled")) for (name, d), n in zip(domains, counts, strict=True)
    ]
    title = Words("分野ごとの標本と割当て", "Samples by domain against their quota")
    headers = (Words("分野", "domain"), *KINDS, QUOTA, UNFILLED)
    plot = Markup(count_plots.count_bars(bars[:MOST_BARS], KINDS, title=title, first=first))
    quoted = any(bar.quota for bar in bars)
    note = Words("破線は文章の割当て、右の数字は文章 / 割当て。", "Dashed: the quota of texts; right: texts / quota.")
    panel = Panel(title, table(headers, rows), plot, note if quoted else NOTHING, "pair")
    about = Words("割当ては文章だけにある。", "Only texts have a quota.") if quoted else NOTHING
    return section("domains", Words("分野", "Domains"), about, (panel,))


def _sources(facts: Facts, first: str) -> Section | None:
    sources = [(named(s.get("name")), s) for s in mappings(facts.get("sources"))]
    if not sources:
        return None
    title = Words("残した文章と割当て", "Texts kept against their quota")
    bars = [CountBar(name, (whole(s.get("kept")),), whole(s.get("quota"))) for name, s in sources[:MOST_BARS]]
    note = Words(f"初めの {MOST_BARS}。", f"The first {MOST_BARS}.") if len(sources) > MOST_BARS else NOTHING
    plot = Markup(count_plots.count_bars(bars, (KEPT,), title=title, first=first))
    dropped = Counter[str]()
    for _, s in sources:
        dropped.update({str(reason): whole(n) for reason, n in mapping(s.get("dropped")).items()})
    about = Words(
        "長い文書はいくつかの文章に分かれる。一つの文章が外れる理由は一つ。",
        "A long document becomes several texts. A text is dropped for one reason.",
    )
    return section(
        "sources", Words("出どころ", "Sources"), about,
        (
            Panel(title, None, plot, note),
            counted(
                Words("外した理由", "Dropped for"), REASON, {k: n for k, n in dropped.items() if n}, REASON_WORDS, first
            ),
            _source_table(sources),
            _dropped_table(sources, [reason for reason, n in dropped.most_common() if n]),
        ),
    )  # fmt: skip


def _source_table(sources: Sequence[tuple[Words, Facts]]) -> Panel:
    headers = (
        SOURCE, Words("ライセンス", "licence"), Words("読んだ文書", "documents read"), KEPT, QUOTA, UNFILLED,
        Words("字数", "characters"),
    )  # fmt: skip
    keys = ("read", "kept", "quota", "unfilled", "characters")
    rows = [(name, named(s.get("license"), LICENSE_WORDS), *(optional(s, key) for key in keys)) for name, s in sources]
    return Panel(Words("出どころごと", "By source"), table(headers, rows), layout="wide")


def _dropped_table(sources: Sequence[tuple[Words, Facts]], reasons: Sequence[str]) -> Panel | None:
    """Reasons by source; with one source the bars have said it."""
    if len(sources) < 2 or not reasons:
        return None
    headers = (SOURCE, *(named(reason, REASON_WORDS) for reason in reasons))
    rows: list[tuple[Cell, ...]] = [
        (name, *(whole(mapping(s.get("dropped")).get(reason)) for reason in reasons)) for name, s in sources
    ]
    return Panel(Words("出どころごとの外した理由", "Dropped by source"), table(headers, rows), layout="wide")


def _quality(facts: Facts, first: str) -> Section | None:
    quality = mapping(facts.get("quality"))
    series = [
        (KEPT, bins(quality.get("kept_histogram"))),
        (Words("外した文章", "dropped"), bins(quality.get("dropped_histogram"))),
    ]
    lengths, step = coarser(bins(facts.get("lengths")), 100)
    listed = quality.get("reasons")
    rows = [tuple(row) for row in listed or () if isinstance(row, Sequence) and len(row) == 3]
    reasons = {str(ja): Words(harmless(ja), harmless(en)) for ja, en, _ in rows}
    return section(
        "quality", Words("品質と長さ", "Quality and length"),
        Words("品質は 0 から 1。大きいほどよい文章。", "Quality runs from 0 to 1, higher is better."),
        (
            _distribution(Words("品質の分布", "Quality"), series, Words("品質", "quality"), 0.05, first),
            _distribution(Words("文章の長さ", "Length of texts"), [(KEPT, lengths)], Words("字", "characters"),
                          step, first),
            counted(
                Words("品質で外した理由", "Dropped for quality because"), REASON, {str(ja): n for ja, _, n in rows},
                reasons, first, Words("理由が二つ以上の文章もある。", "A text may have more than one."),
            ),
        ),
    )  # fmt: skip


def _distribution(
    title: Words, series: Sequence[tuple[Words, list[tuple[float, int]]]], unit: Words, step: float, first: str
) -> Panel | None:
    """Histograms of one quantity, with the counts by the lower edge of their bins."""
    if not any(found for _, found in series):
        return None
    plot = count_plots.histogram(series, title=title, unit=unit, step=step, first=first)
    edges = sorted({low for _, found in series for low, _ in found})
    counts = [dict(found) for _, found in series]
    headers = (Words(f"{unit.ja}の下端", f"{unit.en} from"), *(words for words, _ in series))
    rows: list[tuple[Cell, ...]] = [(Words(f"{low:g}"), *(found.get(low, 0) for found in counts)) for low in edges]
    return Panel(title, table(headers, rows), Markup(plot))


def _duplicates(facts: Facts, first: str) -> Section | None:
    found = mapping(facts.get("duplicates"))
    largest = mappings(found.get("largest"))
    return section(
        "duplicates", Words("重複", "Duplicates"),
        Words(
            "同じまとまりからは初めの一つだけを残した。まとまりの一覧は collect の duplicates.jsonl にある。",
            "Of a cluster only the first was kept. The clusters are listed in duplicates.jsonl of collect.",
        ),
        (
            _amount_of_duplicates(found),
            counted(
                Words("まとまりの大きさ", "Sizes of clusters"), Words("残したもの", "kept"),
                {f"{i} {_member(c.get('kept'))[0].ja}": c.get("size") for i, c in enumerate(largest, 1)}, {}, first,
                Words("大きいものから。", "The largest."),
            ),
            _clusters(largest),
        ),
    )  # fmt: skip


def _amount_of_duplicates(found: Facts) -> Panel | None:
    rows = [(w, whole(found[key])) for key, w in DUPLICATE_WORDS.items() if number(found.get(key)) is not None]
    return Panel(Words("重複の数", "How many"), table((Words("重複", "duplicates"), COUNT), rows)) if rows else None


def _clusters(largest: Sequence[Facts]) -> Panel | None:
    if not largest:
        return None
    headers = (
        Words("まとまり", "cluster"), Words("扱い", "what became of it"), PLACE, Words("重なり", "Jaccard"),
        Words("はじめの字", "beginning"),
    )  # fmt: skip
    rows = [row for number_, cluster in enumerate(largest, 1) for row in _cluster_rows(number_, cluster)]
    return Panel(
        Words("大きなまとまりの中身", "What the largest clusters hold"), table(headers, rows), layout="wide",
        note=Words("外したものは一つのまとまりにつき五つまで。", "At most five that went are shown of a cluster."),
    )  # fmt: skip


def _cluster_rows(position: int, cluster: Facts) -> Iterator[tuple[Cell, ...]]:
    label = f"{position} (n={whole(cluster.get('size')):,})"
    place, _, text = _member(cluster.get("kept"))
    yield Words(label), Words("残した", "kept"), place, Words(NONE), text
    examples = cluster.get("examples")
    for example in examples if isinstance(examples, Sequence) and not isinstance(examples, str) else ():
        place, likeness, text = _member(example)
        yield Words(f"{position}"), Words("外した", "dropped"), place, likeness, text


def _member(value: Any) -> tuple[Words, Words, Words]:
    """Place, likeness to the kept one, and beginning of a text of a cluster."""
    if not isinstance(value, Mapping):
        return Words(NONE), Words(NONE), named(value)
    likeness = number(value.get("jaccard"))
    return named(value.get("place")), Words(NONE if likeness is None else f"{likeness:.3f}"), named(value.get("text"))


def _requests(facts: Facts, first: str) -> Section | None:
    decisions = {k: _decisions(d) for k, d in mapping(facts.get("decisions")).items()}
    rows = [(named(split, SPLIT_WORDS), *counts) for split, counts in decisions.items() if sum(counts)]
    register, disguise = Words("文体", "register"), Words("変装・注入", "disguise or injection")
    return section(
        "requests", Words("判定つきの依頼", "Judged requests"), NOTHING,
        (
            _shares(Words("用途ごとの判定の割合", "Shares of the decisions by split"), rows, first),
            counted(Words("文体ごとの依頼", "Requests by register"), register, facts.get("registers"),
                    REGISTER_WORDS, first),
            counted(Words("変装・注入のある依頼", "Disguised and injected requests"), disguise,
                    facts.get("attacks"), ATTACK_WORDS, first),
        ),
    )  # fmt: skip


def _decisions(counts: Any) -> tuple[int, ...]:
    """In the order of DECISION_WORDS, whatever order the facts have after a round through JSON."""
    return tuple(whole(mapping(counts).get(name)) for name in DECISION_WORDS)


def _shares(title: Words, rows: Sequence[tuple[Any, ...]], first: str) -> Panel | None:
    if not rows:
        return None
    bars = [CountBar(name, tuple(counts)) for name, *counts in rows[:MOST_BARS]]
    plot = Markup(count_plots.share_bars(bars, DECISIONS, title=title, first=first))
    return Panel(title, table((Words("用途", "split"), *DECISIONS), rows), plot, layout="pair")


def _synthesis(facts: Facts, first: str) -> Section | None:
    found = mapping(facts.get("synthesis"))
    about = Words(
        "文面だけ、または区分だけで当てられる割合が高いほど、依頼は易しい。",
        "The better the words alone or the levels alone predict the label, the easier the requests.",
    )
    tables = ("kinds", "families", "pair_ngram_accuracy_by_kind")
    return section(
        "synthesis", Words("依頼の生成", "Synthesis"), about,
        (_figures(Words("生成の指標", "Figures of the synthesis"), found), *_parts(found, tables, first)),
    )  # fmt: skip


def _multimodal(facts: Facts, first: str) -> Section | None:
    found = mapping(facts.get("multimodal"))
    if not (whole(found.get("pages")) or found.get("left_out")):
        return None
    missing = found.get("left_out")
    texts = [harmless(text) for text in missing] if isinstance(missing, list) else []
    about = Words(f"作らなかったもの: {'、'.join(texts)}", f"Left out: {', '.join(texts)}") if texts else NOTHING
    return section(
        "multimodal", Words("画像と OCR", "Images and OCR"), about,
        (
            _figures(Words("画像の指標", "Figures of the images"), found),
            *_parts(found, ("by_layout", "decisions", "kinds", "scenes"), first),
        ),
    )  # fmt: skip


def _figures(title: Words, found: Facts) -> Panel | None:
    """Every plain number, known ones first and with what they mean."""
    keys = [k for k in FIGURE_WORDS if k in found] + [k for k in found if k not in FIGURE_WORDS]
    rows: list[tuple[Cell, ...]] = []
    for key in keys:
        if (value := number(found[key])) is not None:
            words, meaning = FIGURE_WORDS.get(key, (named(key), NOTHING))
            rows.append((words, _figure(key, value), meaning))
    headers = (Words("指標", "figure"), Words("値", "value"), Words("意味", "meaning"))
    return Panel(title, table(headers, rows), layout="wide") if rows else None


def _figure(key: str, value: float) -> Cell:
    if key in SHARES:
        return Words(percent(value))
    return round(value) if value == round(value) else value


def _parts(found: Facts, keys: Sequence[str], first: str) -> Iterator[Panel | None]:
    """Counts as bars, shares as a table of per cents."""
    for key in keys:
        words = {**PART_WORDS, **DECISION_WORDS}
        column = Words("種類", "kind")
        if key not in SHARES:
            yield counted(TABLE_WORDS[key], column, found.get(key), words, first)
        elif shares := mapping(found.get(key)):
            rows = [(named(name, words), Words(percent(value))) for name, value in shares.items()]
            yield Panel(TABLE_WORDS[key], table((column, Words("割合", "share")), rows))


def _privacy(facts: Facts, first: str) -> Section | None:
    if not isinstance(facts.get("pii"), Mapping):
        return None
    found, kind = facts["pii"], Words("種類", "kind")
    title = Words("伏せたもの", "What was masked")
    about = Words(
        "文中の個人情報と秘密は、学習の前に種類の名前に置きかえた。見つけられないものもある。",
        "Personal data and secrets in the texts became the name of their kind before training. Some will be missed.",
    )
    none = Panel(title, table((kind, COUNT), [(Words("見つからなかった", "none found"), 0)]))
    return section(
        "privacy", Words("個人情報と秘密", "Personal data and secrets"), about,
        (counted(title, kind, found, PII_WORDS, first) or none,),
    )  # fmt: skip


def _licenses(facts: Facts, first: str) -> Section | None:
    license_ = Words("ライセンス", "licence")
    title = Words("ライセンスごとの標本", "Samples by licence")
    panel = counted(title, license_, facts.get("licenses"), {}, first)
    return section("licenses", Words("ライセンス", "Licences"), NOTHING, (panel,))


def _skipped(facts: Facts, first: str) -> Section | None:
    listed = mappings(facts.get("skipped"))
    totals = {k: n for k, n in mapping(facts.get("skipped_total")).items() if whole(n)}
    rows = [(named(s.get("place")), named(s.get("reason"), REASON_WORDS), named(s.get("detail") or "")) for s in listed]
    headers = (PLACE, REASON, Words("詳細", "detail"))
    names = Panel(Words("読めなかった場所", "Places"), table(headers, rows), layout="wide") if rows else None
    about = Words(
        "読めないものがあっても段階は止まらない。場所は 200 まで示す。数は「外した理由」にも入る。",
        "What cannot be read does not stop the run. At most 200 places are shown; “Dropped for” counts them as well.",
    )
    return section(
        "skipped", Words("読めなかったもの", "Skipped"), about,
        (counted(Words("理由ごと", "By reason"), REASON, totals, REASON_WORDS, first), names),
    )  # fmt: skip
