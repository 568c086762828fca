"""card.json -> one self-contained HTML page in Japanese and English (plan 7.3, SPEC P8).

No script, no outside asset; a Content-Security-Policy of its own allows nothing but the page's one style sheet, by hash.
Everything a card holds is text to be escaped, whatever its type; what is missing is left out, never guessed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape

from so8t.core.errors import RecordInvalid
from so8t.report import plots
from so8t.report.figures import (
    ATTACK_WORDS,
    DECISION_WORDS,
    DOMAIN_WORDS,
    FIGURES,
    JUDGE_WORDS,
    NONE,
    STAGE_WORDS,
    Figure,
    Words,
    count,
    decimal,
    figure,
    measured,
    number,
    percent,
    sample_notes,
    scientific,
    seconds,
    size,
    unknown_figure,
)

REQUIRED = ("schema", "name", "profile", "created", "payload_digest", "policy")
SECTIONS: dict[str, Words] = {
    "thresholds": Words("合格基準", "Thresholds"),
    "decisions": Words("判定の成績", "Decisions"),
    "calibration": Words("確信度の信頼性", "Calibration"),
    "breakdown": Words("分野・攻撃・判定者ごと", "By domain, attack and judge"),
    "quantisations": Words("量子化の比較", "Quantisations side by side"),
    "burnin": Words("焼きこみの証明", "Burn-in proof"),
    "parity": Words("書き出しの一致", "Export parity"),
    "training": Words("学習", "Training"),
    "data": Words("データとライセンス", "Data and licences"),
    "budget": Words("所要時間", "Time budget"),
    "origin": Words("素性とダイジェスト", "Origin and digests"),
}
VERDICTS: dict[str, Words] = {
    "passed": Words("合格", "Passed"),
    "failed": Words("不合格", "Failed"),
    "unjudged": Words("未判定", "Not judged"),
}
MAIN_FIGURES = tuple(name for name in FIGURES if name not in {"ece", "brier", "nll"})
PLAN_LOGIT, PLAN_KL = 1e-5, 1e-6


def card_html(card: Mapping[str, Any], lang_first: str = "ja") -> str:
    """The page for one card. `lang_first` ("ja" or "en") comes first and larger; a switch on the page hides either.

    Raises RecordInvalid when a required key is missing.
    """
    for key in REQUIRED:
        if key not in card:
            raise RecordInvalid(where="card.json", detail=key)
    first = "en" if lang_first == "en" else "ja"
    style = _resource("card.css")
    view = _view(card, first)
    template = _environment(first).from_string(_resource("card.html.jinja"))
    return template.render(first=first, style=Markup(style), style_hash=_style_hash(style), **view)  # noqa: S704


def _environment(first: str) -> jinja2.Environment:
    env = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
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


def _resource(name: str) -> str:
    return (resources.files("so8t") / "resources" / "report" / name).read_text(encoding="utf-8")


def _style_hash(style: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def _view(card: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Everything the template shows, already in words and strings; charts are finished SVG."""
    deployed, result, split = deployed_result(card)
    verdict = verdict_of(card)
    view: dict[str, Any] = {
        "name": str(card["name"]),
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
        "thresholds": _threshold_rows(card, result),
        "decisions": _decisions(result, first),
        "calibration": _calibration(card, deployed, result, first),
        "breakdown": _breakdown(result, first),
        "quantisations": _quantisations(card, deployed),
        "burnin": _burnin(_mapping(card.get("burnin"))),
        "parity": _parity(_mapping(card.get("parity"))),
        "training": _training(_mapping(card.get("training")), first),
        "data": _data(card),
        "budget": _budget(card, first),
        "origin": _origin(card),
    }
    view["sections"] = {key: words for key, words in SECTIONS.items() if view[key]}
    return view


# What the page says first ---------------------------------------------------------------------------------------


def deployed_result(card: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], str]:
    """(quantisation, RESULT, split) of what operate will serve: the deployed one on test, else the first there is."""
    results = _mapping(card.get("results"))
    name = str(card.get("deployed", ""))
    if name not in results:
        name = next(iter(results), name)
    splits = _mapping(_mapping(results.get(name)).get("splits"))
    split = "test" if "test" in splits else next(iter(splits), "")
    return name, _mapping(splits.get(split)), split


def verdict_of(card: Mapping[str, Any]) -> str:
    """passed only if the card says so and no row says otherwise; unjudged without thresholds."""
    thresholds = _mapping(card.get("thresholds"))
    if "passed" not in thresholds:
        return "unjudged"
    rows = _mappings(thresholds.get("rows"))
    return "passed" if thresholds["passed"] is True and all(r.get("passed") is True for r in rows) else "failed"


def _policy_label(card: Mapping[str, Any]) -> str:
    policy = _mapping(card["policy"])
    label = _mapping(card.get("thresholds")).get("label") or policy.get("label") or policy.get("id") or NONE
    return str(label)


def _statement(card: Mapping[str, Any], verdict: str) -> Words:
    rows = _mappings(_mapping(card.get("thresholds")).get("rows"))
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
    matrix = _matrix(result)
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
    ja, en = _texts(card.get("limits_ja")), _texts(card.get("limits_en"))
    if len(ja) == len(en):
        return [Words(a, b) for a, b in zip(ja, en, strict=True)]
    return [Words(text) for text in (*ja, *en)]


def _facts(card: Mapping[str, Any], deployed: str) -> list[tuple[Words, str]]:
    file = next((f for f in _mappings(card.get("files")) if f.get("quantisation") == deployed), {})
    model = _mapping(card.get("model"))
    facts = [
        (Words("プロファイル", "Profile"), str(card["profile"])),
        (Words("パラメータ数", "Parameters"), count(model.get("parameters"))),
        (Words("運用形式", "Deployed as"), deployed or NONE),
        (Words("大きさ", "Size"), size(file.get("bytes"))),
        (Words("速度", "Speed"), _speed(file.get("tokens_per_second"))),
        (Words("測定日時", "Measured"), _moment(card["created"])[:16]),
    ]
    return [(words, text) for words, text in facts if text != NONE]


# Sections -------------------------------------------------------------------------------------------------------


def _threshold_rows(card: Mapping[str, Any], result: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for row in _mappings(_mapping(card.get("thresholds")).get("rows")):
        name, passed = str(row.get("name", "")), row.get("passed") is True
        value, bound = number(row.get("value")), number(row.get("bound"))
        f = figure(name) or unknown_figure(name, value, bound, passed)
        found = measured(result, f.path) if f.path else {}
        found = found if found.get("value") == value else {}
        notes = sample_notes(f.name, found)
        if bound is not None and found.get("low", bound) < bound < found.get("high", bound):
            notes.append(Words("区間が基準をまたぐ", "interval spans the bound"))
        rows.append(
            {
                "words": f.words,
                "meaning": f.meaning,
                "value": f.write(value),
                "interval": _interval(f, found),
                "bound": f.write_bound(bound),
                "plan": f.write_bound(f.plan, strict=True),
                "plan_met": None if f.plan is None or value is None else _meets(f, value),
                "passed": passed,
                "notes": notes,
            }
        )
    return rows


def _meets(f: Figure, value: float) -> bool:
    plan = f.plan or 0.0
    return value > plan if f.better == "higher" else value < plan


def _decisions(result: Mapping[str, Any], first: str) -> dict[str, Any]:
    rows = _figure_rows(result, MAIN_FIGURES)
    matrix = _matrix(result)
    svg = Markup(plots.confusion_matrix(matrix, first=first)) if matrix else ""
    return {"rows": rows, "matrix": svg, "n": count(result.get("n"))} if rows or svg else {}


def _figure_rows(result: Mapping[str, Any], names: Iterable[str]) -> list[dict[str, Any]]:
    rows = []
    for f in (FIGURES[name] for name in names):
        found = measured(result, f.path)
        if found:
            rows.append(
                {
                    "words": f.words,
                    "meaning": f.meaning,
                    "value": f.write(found["value"]),
                    "interval": _interval(f, found),
                    "n": count(found.get("n")),
                    "notes": sample_notes(f.name, found),
                }
            )
    return rows


def _calibration(card: Mapping[str, Any], deployed: str, result: Mapping[str, Any], first: str) -> dict[str, Any]:
    ece = _mapping(result.get("ece"))
    bins = _bins(ece.get("bins_before")), _bins(ece.get("bins_after"))
    of_file = _mapping(_mapping(card.get("results")).get(deployed))
    rows = [
        (Words("ECE 調整前", "ECE before"), decimal(ece.get("before"))),
        (Words("ECE 調整後", "ECE after"), decimal(ece.get("after"))),
        (Words("ECE 計画の目標", "ECE plan target"), "< 0.050" if number(ece.get("after")) is not None else NONE),
        (Words("温度 T(対数尤度)", "Temperature T (likelihood)"), decimal(of_file.get("temperature"), 2)),
        (Words("温度 T(計画の格子)", "Temperature T (plan's grid)"), decimal(of_file.get("temperature_plan_grid"), 2)),
        *((FIGURES[name].words, decimal(measured(result, (name,)).get("value"))) for name in ("brier", "nll")),
    ]
    rows = [(words, text) for words, text in rows if text != NONE]
    svg = Markup(plots.reliability(*bins, first=first)) if any(bins) else ""
    return {"rows": rows, "plot": svg} if rows or svg else {}


def _breakdown(result: Mapping[str, Any], first: str) -> list[dict[str, Any]]:
    overall = measured(result, ("accuracy",)).get("value")
    groups = (
        ("per_domain", Words("分野ごとの正解率", "Accuracy by domain"), DOMAIN_WORDS),
        ("per_attack", Words("攻撃・偽装ごとの正解率", "Accuracy by attack or disguise"), ATTACK_WORDS),
        ("per_judge", Words("判定者ごとの正解率", "Accuracy by judge"), JUDGE_WORDS),
    )
    found = []
    for key, title, names in groups:
        parts = _mapping(result.get(key))
        rows = [bar for name, part in parts.items() if (bar := _bar(names.get(name, Words(str(name))), _mapping(part)))]
        rows.sort(key=lambda b: -b.value)
        if rows:
            reference = None if overall is None or not 0 <= overall <= 1 else overall
            svg = plots.bars(rows, title=title, reference=reference, first=first)
            found.append({"title": title, "plot": Markup(svg), "notes": _group_notes(key, rows, parts)})
    return found


def _bar(words: Words, part: Mapping[str, Any]) -> plots.Bar | None:
    found = measured(part, ("accuracy",))
    if not found:
        return None
    n = number(part.get("n")) if number(part.get("n")) is not None else found.get("n")
    return plots.Bar(words, found["value"], found.get("low"), found.get("high"), None if n is None else round(n))


def _group_notes(key: str, rows: Sequence[plots.Bar], parts: Mapping[str, Any]) -> list[Words]:
    small = [b for b in rows if b.n is not None and b.n < plots.SMALL_SAMPLE]
    notes = []
    if small:
        notes.append(
            Words(
                f"破線の枠 {len(small)} 本は 30 件未満です。目安にとどめ、比べないでください。",
                f"{len(small)} dashed bars have fewer than 30 requests: hints only, do not compare them.",
            )
        )
    if key == "per_judge":
        silent = [(JUDGE_WORDS.get(k, Words(str(k))), number(_mapping(p).get("abstained"))) for k, p in parts.items()]
        said = [(name, n) for name, n in silent if n is not None]
        if said:
            ja = "、".join(f"{name.ja} {_abstained(n)}" for name, n in said)
            en = ", ".join(f"{name.only('en')} {_abstained(n)}" for name, n in said)
            notes.append(Words(f"意見を述べなかった数: {ja}", f"Abstained: {en}"))
    return notes


def _abstained(n: float) -> str:
    """A count, or a share if it is a broken number below one."""
    return percent(n) if 0 < n < 1 else count(n)


def _quantisations(card: Mapping[str, Any], deployed: str) -> dict[str, Any]:
    results = _mapping(card.get("results"))
    files = {str(f.get("quantisation", f.get("name", ""))): f for f in _mappings(card.get("files"))}
    names = list(dict.fromkeys([*files, *map(str, results)]))
    tests = {q: _test_of(_mapping(results.get(q))) for q in names}
    rows: list[tuple[Words, list[str]]] = [
        (Words("大きさ", "Size"), [size(_mapping(files.get(q)).get("bytes")) for q in names]),
        (
            Words("速度 (tokens/s)", "Speed (tokens/s)"),
            [count(_mapping(files.get(q)).get("tokens_per_second")) for q in names],
        ),
        (Words("困惑度", "Perplexity"), [decimal(_mapping(files.get(q)).get("perplexity"), 2) for q in names]),
        (Words("温度 T", "Temperature T"), [decimal(_mapping(results.get(q)).get("temperature"), 2) for q in names]),
    ]
    for f in FIGURES.values():
        rows.append((f.words, [f.write(measured(tests[q], f.path).get("value")) for q in names]))
    rows = [row for row in rows if any(text != NONE for text in row[1])]
    marked = [(q, q == deployed) for q in names]
    return {"names": marked, "rows": rows} if rows else {}


def _test_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    splits = _mapping(result.get("splits"))
    return _mapping(splits.get("test", next(iter(splits.values()), {})))


def _burnin(burnin: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for check in _mappings(burnin.get("checks")):
        logit, kl = number(check.get("max_logit_difference")), number(check.get("kl"))
        met = check.get("plan_target_met")
        if not isinstance(met, bool):
            met = None if logit is None or kl is None else logit < PLAN_LOGIT and kl < PLAN_KL
        rows.append(
            {
                "name": str(check.get("name", "")),
                "precision": str(check.get("precision", "")),
                "logit": scientific(logit),
                "floor": scientific(check.get("floor")),
                "kl": scientific(kl),
                "plan_met": met,
                "passed": check.get("passed") is True,
            }
        )
    facts = [
        (Words("焼きこんだ層", "Layers folded"), count(burnin.get("layers"))),
        (Words("層ごとの最大誤差(fp64)", "Largest layer error (fp64)"), scientific(burnin.get("max_layer_error"))),
    ]
    facts = [(words, text) for words, text in facts if text != NONE]
    return {"rows": rows, "facts": facts} if rows or facts else {}


def _parity(parity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Same answers and same tokens in transformers and llama.cpp."""
    prompts, equal, ties = (number(parity.get(k)) for k in ("prompts", "equal", "ties"))
    rows = []
    if prompts is not None and equal is not None:
        tokens = count(parity.get("tokens"))
        rows.append(
            {
                "words": Words(f"先頭 {tokens} トークンが同じ応答", f"Same first {tokens} tokens of the answer"),
                "value": f"{count(equal)} / {count(prompts)}",
                "passed": equal + (ties or 0.0) >= prompts,
                "note": Words(f"同点による違い {count(ties)}", f"{count(ties)} differ by a tie") if ties else None,
            }
        )
    strings, same = number(parity.get("strings")), number(parity.get("strings_equal"))
    if strings is not None and same is not None:
        words = Words("同じトークン列になる文字列", "Strings with the same tokens")
        rows.append(
            {"words": words, "value": f"{count(same)} / {count(strings)}", "passed": same >= strings, "note": None}
        )
    return rows


def _training(training: Mapping[str, Any], first: str) -> dict[str, Any]:
    weights = {"average": Words("平均(SWA)", "average (SWA)"), "last": Words("最後の値", "last step")}
    chosen = str(training.get("weights", NONE))
    rows: list[tuple[Words, Words]] = [
        (Words("ステップ", "Steps"), Words(count(training.get("steps")))),
        (Words("時間", "Time"), Words(seconds(training.get("seconds")))),
        (Words("最初の損失", "First loss"), Words(decimal(training.get("first_loss")))),
        (Words("最後の損失", "Last loss"), Words(decimal(training.get("last_loss")))),
        (Words("検証損失", "Validation loss"), Words(decimal(training.get("validation_loss")))),
        (
            Words("検証損失(平均の重み)", "Validation loss (averaged)"),
            Words(decimal(training.get("validation_loss_average"))),
        ),
        (Words("採用した重み", "Weights kept"), weights.get(chosen, Words(chosen))),
        (Words("直交性の誤差", "Orthogonality error"), Words(scientific(training.get("orthogonality_error")))),
        (Words("行列式の誤差", "Determinant error"), Words(scientific(training.get("determinant_error")))),
    ]
    rows = [row for row in rows if row[1].ja != NONE]
    svg = _training_plot(_mappings(training.get("history")), first)
    return {"rows": rows, "plot": svg} if rows or svg else {}


def _training_plot(history: Sequence[Mapping[str, Any]], first: str) -> Markup | str:
    series = [
        plots.Series(Words("課題の損失", "Task loss"), _points(history, "loss"), 0),
        plots.Series(Words("PET 損失(重み λ の前)", "PET loss before its weight λ"), _points(history, "pet"), 1),
    ]
    series = [s for s in series if s.points and any(y != 0 for _, y in s.points)]
    return Markup(plots.curve(series, _phases(history), first=first)) if series else ""


def _points(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    pairs = ((number(h.get("step")), number(h.get(key))) for h in history)
    return sorted((x, y) for x, y in pairs if x is not None and y is not None and max(abs(x), abs(y)) <= plots.LARGEST)


def _phases(history: Sequence[Mapping[str, Any]]) -> list[plots.Mark]:
    """Steps at which the PET weight changes: the borders of the plan's three phases (plan 2.1)."""
    weights = _points(history, "pet_weight")
    changes = [(x, new) for (_, old), (x, new) in zip(weights, weights[1:], strict=False) if new != old]
    return [plots.Mark(x, f"λ {new:g}") for x, new in changes] if len(changes) <= 6 else []


def _data(card: Mapping[str, Any]) -> dict[str, Any]:
    data = _mapping(card.get("data"))
    splits = {
        "train": Words("学習", "train"),
        "validation": Words("検証", "validation"),
        "calibration": Words("校正", "calibration"),
        "test": Words("試験", "test"),
    }
    rows = [
        (Words("文章", "Texts"), count(data.get("texts"))),
        (Words("文字", "Characters"), count(data.get("characters"))),
        *(
            (_join(Words("依頼: ", "Requests: "), splits.get(str(k), Words(str(k)))), count(v))
            for k, v in _mapping(data.get("requests")).items()
        ),
        (Words("うち生成した依頼", "of which synthetic"), count(data.get("synthetic"))),
    ]
    rows = [(words, text) for words, text in rows if text != NONE]
    licenses = [(str(k), _plain(v)) for k, v in _mapping(data.get("licenses")).items()]
    warnings = _warnings(card.get("data_warnings"))
    return {"rows": rows, "licenses": licenses, "warnings": warnings} if rows or licenses or warnings else {}


def _join(a: Words, b: Words) -> Words:
    return Words(a.ja + b.ja, a.only("en") + b.only("en"))


def _warnings(value: Any) -> list[Words]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    pairs = (w if isinstance(w, Mapping) else {"ja": w} for w in value)
    return [Words(_plain(p.get("ja", p.get("en", dict(p)))), _plain(p.get("en", ""))) for p in pairs]


def _budget(card: Mapping[str, Any], first: str) -> dict[str, Any]:
    stages, rows = [], []
    for row in _mappings(card.get("budget")):
        spent, limit = number(row.get("seconds")), number(row.get("budget"))
        if spent is None:
            continue
        name = str(row.get("stage", ""))
        words = STAGE_WORDS.get(name, Words(name))
        stages.append(plots.Stage(words, spent, limit))
        over = limit is not None and spent > limit
        rows.append({"words": words, "seconds": seconds(spent), "budget": seconds(limit), "over": over})
    return {"rows": rows, "plot": Markup(plots.budget(stages, first=first))} if rows else {}


def _origin(card: Mapping[str, Any]) -> dict[str, Any]:
    policy = _mapping(card["policy"])
    digests = [
        (Words("バンドルの中身", "Bundle payload"), str(card["payload_digest"])),
        (Words("方針", "Policy"), _plain(policy.get("digest", NONE))),
    ]
    facts = [
        (
            Words("方針", "Policy"),
            " ".join(_plain(policy[k]) for k in ("label", "id", "version") if policy.get(k)) or NONE,
        ),
        (Words("測定日時", "Measured"), _moment(card["created"])),
        (Words("カードの版", "Card schema"), _plain(card["schema"])),
        *_listed(_mapping(card.get("model")), MODEL_WORDS),
        *_listed(_mapping(card.get("machine")), MACHINE_WORDS),
    ]
    return {"digests": digests, "facts": facts}


MODEL_WORDS = {
    "base": Words("土台", "Base"),
    "parameters": Words("パラメータ数", "Parameters"),
    "lora_parameters": Words("LoRA パラメータ", "LoRA parameters"),
    "gate_parameters": Words("回転ゲートのパラメータ", "Gate parameters"),
    "layers": Words("層", "Layers"),
    "hidden_size": Words("隠れ次元", "Hidden size"),
    "vocab_size": Words("語彙", "Vocabulary"),
}
MACHINE_WORDS = {
    "cpu": Words("CPU"),
    "cores": Words("コア", "Cores"),
    "memory_gb": Words("メモリ (GB)", "Memory (GB)"),
    "os": Words("OS"),
    "python": Words("Python"),
}


def _listed(values: Mapping[str, Any], words: Mapping[str, Words]) -> list[tuple[Words, str]]:
    """Named facts in the order of `words`, unknown keys after them."""
    keys = [k for k in words if k in values] + [k for k in values if k not in words]
    return [(words.get(k, Words(str(k))), _plain(values[k])) for k in keys if values[k] is not None]


# Reading what a card may hold -----------------------------------------------------------------------------------


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [v for v in value if isinstance(v, Mapping)]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [_plain(v) for v in value] if isinstance(value, Sequence) else []


def _plain(value: Any) -> str:
    """Any JSON value as text; whole numbers with separators."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}" if number(value) is not None else NONE
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_plain(v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_plain(v) for v in value)
    return NONE if value is None else str(value)


def _matrix(result: Mapping[str, Any]) -> list[list[int]]:
    """The 3 x 3 counts, or [] for anything else."""
    rows = result.get("confusion")
    if not isinstance(rows, Sequence) or len(rows) != len(DECISION_WORDS):
        return []
    values = [[number(v) for v in row] if isinstance(row, Sequence) else [] for row in rows]
    if any(len(row) != len(DECISION_WORDS) or any(v is None or v < 0 for v in row) for row in values):
        return []
    return [[round(v or 0) for v in row] for row in values]


def _bins(value: Any) -> list[plots.Bin]:
    """Bins that hold something; an empty bin has no confidence and no accuracy."""
    found = []
    for b in _mappings(value):
        low, high, n, confidence, accuracy = (number(b.get(k)) for k in ("low", "high", "n", "confidence", "accuracy"))
        if low is None or high is None or not n or confidence is None or accuracy is None:
            continue
        if all(0 <= v <= 1 for v in (low, high, confidence, accuracy)):
            found.append(plots.Bin(low, high, round(n), confidence, accuracy))
    return found


def _interval(f: Figure, found: Mapping[str, float]) -> str:
    if "low" not in found or "high" not in found:
        return ""
    if f.unit == "percent":
        return f"{100 * found['low']:.1f}–{100 * found['high']:.1f}"
    return f"{found['low']:.3f}–{found['high']:.3f}"


def _speed(value: Any) -> str:
    v = number(value)
    return NONE if v is None else f"{v:,.0f} tokens/s"


def _moment(value: Any) -> str:
    """2026-11-23 22:36 UTC+09:00; text that is no date is shown as it is."""
    try:
        return datetime.fromisoformat(str(value)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return str(value)
