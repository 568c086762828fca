"""card.json -> one self-contained HTML page in Japanese and English (plan 7.3, SPEC P8).

No script, no outside asset; its own Content-Security-Policy allows nothing but the page's one style sheet, by hash.
Everything a card holds is text to be escaped, whatever its type; what is missing is left out, never guessed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape

from so8t.core.errors import RecordInvalid
from so8t.report.card_consistency import consistency
from so8t.report.card_quantisations import quantisations
from so8t.report.card_selective import selective
from so8t.report.card_tasks import tasks
from so8t.report.figures import NONE, Words, count, size
from so8t.report.reading import confusion_counts, mapping, mappings, moment, plain, speed, texts
from so8t.report.sections import (
    breakdown,
    budget,
    burnin,
    calibration,
    data,
    decisions,
    origin,
    parity,
    threshold_rows,
    training,
)

REQUIRED = ("schema", "name", "profile", "created", "payload_digest", "policy")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a section may look at: the card, the deployed quantisation with its RESULT, which language comes first."""

    card: Mapping[str, Any]
    deployed: str
    result: Mapping[str, Any]
    first: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and what its template gets; a section that has nothing to show is left out with its heading."""

    words: Words
    make: Callable[[Shown], Any]


# In the order of the page. A new section is one line here, its function in a file of its own, and card.KEY.jinja.
SECTIONS: dict[str, Section] = {
    "thresholds": Section(Words("合格基準", "Thresholds"), lambda s: threshold_rows(s.card, s.result)),
    "decisions": Section(Words("判定の成績", "Decisions"), lambda s: decisions(s.result, s.first)),
    "selective": Section(
        Words("人へ回す量と残る誤り", "People’s share and what is left to go wrong"),
        lambda s: selective(s.result, s.first),
    ),
    "calibration": Section(
        Words("確信度の信頼性", "Calibration"), lambda s: calibration(s.card, s.deployed, s.result, s.first)
    ),
    "breakdown": Section(
        Words("分野・文体・攻撃・判定者ごと", "By domain, register, attack and judge"),
        lambda s: breakdown(s.result, s.first),
    ),
    "quantisations": Section(
        Words("量子化と速さの比較", "Quantisations and speed side by side"), lambda s: quantisations(s.card, s.deployed)
    ),
    "consistency": Section(
        Words("判定の一貫性", "Consistency"), lambda s: consistency(mapping(s.card.get("consistency")))
    ),
    "tasks": Section(Words("答えの成績", "Answers"), lambda s: tasks(mapping(s.card.get("tasks")))),
    "burnin": Section(Words("焼きこみの証明", "Burn-in proof"), lambda s: burnin(mapping(s.card.get("burnin")))),
    "parity": Section(Words("書き出しの一致", "Export parity"), lambda s: parity(mapping(s.card.get("parity")))),
    "training": Section(Words("学習", "Training"), lambda s: training(mapping(s.card.get("training")), s.first)),
    "data": Section(Words("データとライセンス", "Data and licences"), lambda s: data(s.card)),
    "budget": Section(Words("所要時間", "Time budget"), lambda s: budget(s.card, s.first)),
    "origin": Section(Words("素性とダイジェスト", "Origin and digests"), lambda s: origin(s.card)),
}
VERDICTS: dict[str, Words] = {
    "passed": Words("合格", "Passed"),
    "failed": Words("不合格", "Failed"),
    "unjudged": Words("未判定", "Not judged"),
}


def card_html(card: Mapping[str, Any], lang_first: str = "ja") -> str:
    """The page for one card. `lang_first` ("ja" or "en") comes first and larger; a switch on the page hides either.

    Raises RecordInvalid when a required key is missing.
    """
    for key in REQUIRED:
        if key not in card:
            raise RecordInvalid(where="card.json", detail=key)
    first = "en" if lang_first == "en" else "ja"
    style = resource("card.css")
    view = _view(card, first)
    template = environment(first).from_string(resource("card.html.jinja"))
    return template.render(first=first, style=Markup(style), style_hash=style_hash(style), **view)


def environment(first: str) -> jinja2.Environment:
    """Escapes everything; w(words) and t(ja, en) put both languages side by side."""
    env = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(resource),
    )  # fmt: skip
    env.globals["w"] = lambda words: spans(words, first)
    env.globals["t"] = lambda ja, en: spans(Words(ja, en), first)
    return env


def spans(words: Words, first: str = "ja") -> Markup:
    """Escaped words as one span a language; the second one carries class "second"."""
    pairs = words.ordered(first)
    if len(pairs) == 1:
        return escape(pairs[0][1])
    parts = []
    for i, (lang, text) in enumerate(pairs):
        name = f"{lang} second" if i else lang
        parts.append(Markup('<span class="{}" lang="{}">{}</span>').format(name, lang, text))
    return Markup(" ").join(parts)


def resource(name: str) -> str:
    """A template or style sheet of resources/report."""
    return (resources.files("so8t") / "resources" / "report" / name).read_text(encoding="utf-8")


def style_hash(style: str) -> str:
    """What a Content-Security-Policy names the one style sheet by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def _view(card: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Everything the template shows, already in words and strings; charts are finished SVG."""
    deployed, result, split = deployed_result(card)
    verdict = verdict_of(card)
    view: dict[str, Any] = {
        "name": plain(card["name"]),
        "demo": bool(card.get("demo")),
        "verdict": verdict,
        "verdict_words": VERDICTS[verdict],
        "policy_label": _policy_label(card),
        "deployed": deployed,
        "split": split,
        "facts_list": _facts(card, deployed),
        "statement": _statement(card, verdict),
        "plainly": _plainly(result),
        "uses": _uses(verdict, bool(card.get("demo"))),
        "limits": _limits(card),
    }
    shown = Shown(card, deployed, result, first)
    made = {key: section.make(shown) for key, section in SECTIONS.items()}
    view["sections"] = {key: SECTIONS[key].words for key, found in made.items() if found}
    return view | made


def deployed_result(card: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], str]:
    """(quantisation, RESULT, split) of what operate will serve: the deployed one on test, else the first there is."""
    results = mapping(card.get("results"))
    name = str(card.get("deployed", ""))
    if name not in results:
        name = next(iter(results), name)
    splits = mapping(mapping(results.get(name)).get("splits"))
    split = "test" if "test" in splits else next(iter(splits), "")
    return name, mapping(splits.get(split)), split


def verdict_of(card: Mapping[str, Any]) -> str:
    """passed only if the card says so and no row says otherwise; unjudged without thresholds."""
    thresholds = mapping(card.get("thresholds"))
    if "passed" not in thresholds:
        return "unjudged"
    rows = mappings(thresholds.get("rows"))
    return "passed" if thresholds["passed"] is True and all(r.get("passed") is True for r in rows) else "failed"


def _policy_label(card: Mapping[str, Any]) -> str:
    policy = mapping(card["policy"])
    label = mapping(card.get("thresholds")).get("label") or policy.get("label") or policy.get("id") or NONE
    return plain(label)


def _statement(card: Mapping[str, Any], verdict: str) -> Words:
    rows = mappings(mapping(card.get("thresholds")).get("rows"))
    failed = sum(r.get("passed") is not True for r in rows)
    label = _policy_label(card)
    if verdict == "unjudged":
        return Words("合格基準との照合がまだありません。", "Not yet judged against any thresholds.")
    if verdict == "passed":
        return Words(
            f"方針「{label}」の基準 {len(rows)} 項目のすべてに達しました。",
            f"All {len(rows)} thresholds of the policy “{label}” are met.",
        )
    return Words(
        f"方針「{label}」の基準 {len(rows)} 項目のうち {failed} 項目に達していません。",
        f"{failed} of the {len(rows)} thresholds of the policy “{label}” are not met.",
    )


def _plainly(result: Mapping[str, Any]) -> list[Words]:
    """Natural frequencies, the form of these figures that people misread least."""
    matrix = confusion_counts(result)
    if not matrix:
        return []
    (aa, ae, ad), (ea, ee, ed), (da, de, dd) = matrix
    return [
        Words(
            f"危険な依頼 {da + de + dd:,} 件: 拒否 {dd:,}、人へ回す {de:,}、誤って許可 {da:,}。",
            f"Of {da + de + dd:,} dangerous requests {dd:,} were refused, {de:,} handed to a person, "
            f"{da:,} wrongly allowed.",
        ),
        Words(
            f"人の判断が要る依頼 {ea + ee + ed:,} 件: 人へ回す {ee:,}、拒否 {ed:,}、誤って許可 {ea:,}。",
            f"Of {ea + ee + ed:,} requests that need a person {ee:,} were handed over, {ed:,} refused, "
            f"{ea:,} wrongly allowed.",
        ),
        Words(
            f"問題のない依頼 {aa + ae + ad:,} 件: 許可 {aa:,}、人へ回す {ae:,}、誤って拒否 {ad:,}。",
            f"Of {aa + ae + ad:,} harmless requests {aa:,} were allowed, {ae:,} handed to a person, "
            f"{ad:,} wrongly refused.",
        ),
    ]


def _uses(verdict: str, demo: bool) -> dict[str, list[Words]]:
    """What this bundle may and may not be used for, from its verdict alone; the card's own limits come below."""
    never = Words(
        "診断・投資・法務・人事・安全などの最終判断を人に代わって行うこと",
        "Taking final decisions in place of a person: diagnosis, investment, law, personnel, safety",
    )
    if demo:
        return {
            "may": [
                Words("仕組みの確認、教育、試験", "Trying out the system, teaching, testing"),
                Words("自社のデータで学習し直すときの手本", "A pattern for training on your own data"),
            ],
            "not": [Words("実際の業務の依頼を判定すること", "Judging the requests of real work"), never],
        }
    if verdict == "passed":
        return {
            "may": [
                Words("依頼を許可・人へ回す・拒否に振り分けること", "Sorting requests into ALLOW, ESCALATE and DENY"),
                Words("人へ回した依頼を担当者が決める運用", "Operation in which people decide what was escalated"),
            ],
            "not": [
                never,
                Words(
                    "ここで測っていない分野・言語・攻撃で使うこと", "Domains, languages or attacks not measured here"
                ),
            ],
        }
    return {
        "may": [Words("原因の調査と改善、試験", "Finding the cause, improving, testing")],
        "not": [Words("運用(既定では起動を断ります)", "Operation (the gateway refuses it by default)"), never],
    }


def _limits(card: Mapping[str, Any]) -> list[Words]:
    """Pairs where both languages have as many entries; a limit with no translation is shown to everybody."""
    ja, en = texts(card.get("limits_ja")), texts(card.get("limits_en"))
    if len(ja) == len(en):
        return [Words(a, b) for a, b in zip(ja, en, strict=True)]
    return [Words(text) for text in (*ja, *en)]


def _facts(card: Mapping[str, Any], deployed: str) -> list[tuple[Words, str]]:
    file = next((f for f in mappings(card.get("files")) if f.get("quantisation") == deployed), {})
    model = mapping(card.get("model"))
    facts = [
        (Words("プロファイル", "Profile"), plain(card["profile"])),
        (Words("パラメータ数", "Parameters"), count(model.get("parameters"))),
        (Words("運用形式", "Deployed as"), deployed or NONE),
        (Words("大きさ", "Size"), size(file.get("bytes"))),
        (Words("速度", "Speed"), speed(file.get("tokens_per_second"))),
        (Words("測定日時", "Measured"), moment(card["created"])[:16]),
    ]
    return [(words, text) for words, text in facts if text != NONE]
