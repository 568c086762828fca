"""The sections of a card as rows of words and strings, with their plots; the template only sets them.

Each function takes its part of card.json and returns something empty when there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from so8t.report import plots
from so8t.report.card_slices import REGISTER_WORDS, look_alikes, slice_tables
from so8t.report.figures import (
    ATTACK_WORDS,
    DOMAIN_WORDS,
    FIGURES,
    JUDGE_WORDS,
    NONE,
    SMALL_SAMPLE,
    STAGE_WORDS,
    Figure,
    Words,
    bounds,
    count,
    decimal,
    figure,
    measured,
    number,
    percent,
    sample_notes,
    scientific,
    seconds,
    unknown_figure,
)
from so8t.report.reading import confusion_counts, interval, mapping, mappings, moment, plain, reliability_bins

MAIN_FIGURES = tuple(name for name in FIGURES if name not in {"ece", "brier", "nll"})
PLAN_LOGIT, PLAN_KL = 1e-5, 1e-6
MODEL_WORDS = {
    "base": Words("土台", "Base"),
    "parameters": Words("パラメータ数", "Parameters"),
    "lora_parameters": Words("LoRA パラメータ", "LoRA parameters"),
    "gate_parameters": Words("回転ゲートのパラメータ", "Gate parameters"),
    "layers": Words("層", "Layers"),
    "hidden_size": Words("隠れ次元", "Hidden size"),
    "vocab_size": Words("語彙", "Vocabulary"),
}
CHECK_WORDS = {
    "model": Words("モデル全体", "whole model"),
    "layers": Words("層ごと", "layer by layer"),
    "norm": Words("長さの保存", "norm preserved"),
}
OVERFLOWS = Words(
    "比べられない: 焼きこむ前のモデルが、この精度の範囲を超える",
    "nothing to compare: before anything is folded the model leaves the range of this precision",
)
WEIGHT_CHECKS = frozenset({"layers", "norm"})
MACHINE_WORDS = {
    "cpu": Words("CPU"),
    "cores": Words("コア", "Cores"),
    "memory_gb": Words("メモリ (GB)", "Memory (GB)"),
    "os": Words("OS"),
    "python": Words("Python"),
}


def threshold_rows(card: Mapping[str, Any], result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the policy demands, as judged by prove; the interval is shown only if it belongs to the judged value."""
    rows = []
    for row in mappings(mapping(card.get("thresholds")).get("rows")):
        name, passed = plain(row.get("name", "")), row.get("passed") is True
        value, bound = number(row.get("value")), number(row.get("bound"))
        f = figure(name) or unknown_figure(name, value, bound, passed)
        found = measured(result, f.path) if f.path else {}
        found = found if found.get("value") == value else {}
        notes = sample_notes(f.name, found)
        span = bounds(f, found)
        if bound is not None and span is not None and span[0] < bound < span[1]:
            notes.append(Words("区間が基準をまたぐ", "interval spans the bound"))
        rows.append(
            {
                "words": f.words,
                "meaning": f.meaning,
                "value": f.write(value),
                "interval": interval(f, found),
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


def decisions(result: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Confusion matrix and every figure of the deployed file with interval and n (plan 7.3, 9.2)."""
    rows = _figure_rows(result, MAIN_FIGURES)
    matrix = confusion_counts(result)
    svg = Markup(plots.confusion_matrix(matrix, first=first)) if matrix else ""
    found = {"rows": rows, "matrix": svg, "n": count(result.get("n")), "notes": _failed_notes(result)}
    return found if rows or svg else {}


def _failed_notes(result: Mapping[str, Any]) -> list[Words]:
    """Requests that the model left unanswered or late: a person gets them, here as in operation."""
    failed = number(result.get("model_failed"))
    if not failed:
        return []
    return [
        Words(
            f"{failed:.0f} 件では、モデルの答えがないか間に合わず、人へ回しました。上の数にも入っています。",
            f"For {failed:.0f} requests the model gave no answer in time and a person gets them; they count above.",
        )
    ]


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
                    "interval": interval(f, found),
                    "n": count(found.get("n")),
                    "notes": sample_notes(f.name, found),
                }
            )
    return rows


def calibration(card: Mapping[str, Any], deployed: str, result: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Temperature, errors and reliability before and after (SPEC P3)."""
    ece = mapping(result.get("ece"))
    bins = reliability_bins(ece.get("bins_before")), reliability_bins(ece.get("bins_after"))
    of_file = mapping(mapping(card.get("results")).get(deployed))
    rows = [
        (Words("ECE 調整前", "ECE before"), decimal(ece.get("before"))),
        (Words("ECE 調整後", "ECE after"), decimal(ece.get("after"))),
        (Words("ECE 計画の目標", "ECE plan target"), "< 0.050" if number(ece.get("after")) is not None else NONE),
        (Words("温度 T(対数尤度)", "Temperature T (likelihood)"), decimal(of_file.get("temperature"), 2)),
        (Words("温度 T(言い回しの判定)", "Temperature T (wording)"), decimal(of_file.get("wording_temperature"), 2)),
        (Words("温度 T(計画の格子)", "Temperature T (plan's grid)"), decimal(of_file.get("temperature_plan_grid"), 2)),
        *((FIGURES[name].words, decimal(measured(result, (name,)).get("value"))) for name in ("brier", "nll")),
        *_allow_limit(mapping(of_file.get("allow"))),
    ]
    rows = [(words, text) for words, text in rows if text != NONE]
    svg = Markup(plots.reliability(*bins, first=first)) if any(bins) else ""
    return {"rows": rows, "plot": svg} if rows or svg else {}


def _allow_limit(allow: Mapping[str, Any]) -> list[tuple[Words, str]]:
    """Where the policy bounds the dangerous requests that may be allowed (decide/allow_limit.py)."""
    bound, at_most = number(allow.get("bound")), number(allow.get("at_most"))
    if bound is None or at_most is None:
        return []
    mark = "✓" if at_most <= bound else "✗"
    shown = f"{allow.get('allowed')} / {allow.get('dangerous')} ≤ {at_most:.1%} {mark} {bound:.1%}"
    return [
        (Words("許可してよい危険の見込み 上限", "Limit of P(DENY) for ALLOW"), decimal(allow.get("below"), 3)),
        (
            Words("校正での危険の許可(95 % 上限)と方針の上限", "Danger allowed in calibration (95 % bound), policy's"),
            shown,
        ),
    ]


def breakdown(result: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Bar charts of accuracy, tables of the figures that matter, and the harmless look-alikes."""
    found = {"plots": _bars(result, first), "tables": slice_tables(result), "look_alikes": look_alikes(result)}
    return found if any(found.values()) else {}


def _bars(result: Mapping[str, Any], first: str) -> list[dict[str, Any]]:
    """One bar chart a grouping, best group first."""
    overall = measured(result, ("accuracy",)).get("value")
    groups = (
        ("per_domain", Words("分野ごとの正解率", "Accuracy by domain"), DOMAIN_WORDS),
        ("per_register", Words("文体ごとの正解率", "Accuracy by register"), REGISTER_WORDS),
        ("per_attack", Words("攻撃・偽装ごとの正解率", "Accuracy by attack or disguise"), ATTACK_WORDS),
        ("per_judge", Words("判定者ごとの正解率", "Accuracy by judge"), JUDGE_WORDS),
    )
    found = []
    for key, title, names in groups:
        parts = mapping(result.get(key))
        rows = [bar for name, part in parts.items() if (bar := _bar(names.get(name, Words(str(name))), mapping(part)))]
        rows.sort(key=lambda b: -b.value)
        if rows:
            reference = None if overall is None or not 0 <= overall <= 1 else overall
            svg = plots.bars(rows, title=title, reference=reference, first=first)
            found.append({"title": title, "plot": Markup(svg), "notes": _group_notes(key, rows, parts)})
    return found


def _bar(words: Words, part: Mapping[str, Any]) -> plots.Bar | None:
    """A bar without any failure (or success) gets the rule of three for its interval: drawing families finds none."""
    found = measured(part, ("accuracy",))
    if not found:
        return None
    n = number(part.get("n")) if number(part.get("n")) is not None else found.get("n")
    value, low, high = found["value"], found.get("low"), found.get("high")
    if n and value in (0.0, 1.0) and low == high == value:
        low, high = (0.0, min(1.0, 3 / n)) if value == 0 else (max(0.0, 1 - 3 / n), 1.0)
    return plots.Bar(words, value, low, high, None if n is None else round(n))


def _group_notes(key: str, rows: Sequence[plots.Bar], parts: Mapping[str, Any]) -> list[Words]:
    small = [b for b in rows if b.n is not None and b.n < SMALL_SAMPLE]
    notes = []
    if small:
        notes.append(
            Words(
                f"破線の枠 {len(small)} 本は 30 件未満です。目安にとどめ、比べないでください。",
                f"{len(small)} dashed bars have fewer than 30 requests: hints only, do not compare them.",
            )
        )
    if key == "per_judge":
        silent = [(JUDGE_WORDS.get(k, Words(str(k))), number(mapping(p).get("abstained"))) for k, p in parts.items()]
        said = [(name, n) for name, n in silent if n is not None]
        if said:
            ja = "、".join(f"{name.ja} {_abstained(n)}" for name, n in said)
            en = ", ".join(f"{name.only('en')} {_abstained(n)}" for name, n in said)
            notes.append(Words(f"意見を述べなかった数: {ja}", f"Abstained: {en}"))
    return notes


def _abstained(n: float) -> str:
    """A count, or a share if it is a broken number below one."""
    return percent(n) if 0 < n < 1 else count(n)


def burnin(burnin: Mapping[str, Any]) -> dict[str, Any]:
    """The checks of the fold with the plan's 1e-5 and 1e-6 beside them (SPEC P1).

    The plan's two figures are about logits, so they do not apply to the checks of weights ("layers", "norm").
    """
    rows = []
    for check in mappings(burnin.get("checks")):
        logit, kl = number(check.get("max_logit_difference")), number(check.get("kl"))
        name = plain(check.get("name", ""))
        overflows = check.get("overflows") is True
        logit, kl = (None, None) if overflows else (logit, kl)
        whole = name not in WEIGHT_CHECKS and logit is not None and kl is not None
        rows.append(
            {
                "name": OVERFLOWS if overflows else CHECK_WORDS.get(name, Words(name)),
                "precision": plain(check.get("precision", "")),
                "logit": scientific(logit),
                "floor": NONE if overflows else scientific(check.get("floor")),
                "kl": scientific(kl) if whole else NONE,
                "plan_met": (logit or 0.0) < PLAN_LOGIT and (kl or 0.0) < PLAN_KL if whole else None,
                "passed": check.get("passed") is True,
            }
        )
    facts = [
        (Words("焼きこんだ層", "Layers folded"), count(burnin.get("layers"))),
        (Words("層ごとの最大誤差(fp64)", "Largest layer error (fp64)"), scientific(burnin.get("max_layer_error"))),
    ]
    facts = [(words, text) for words, text in facts if text != NONE]
    return {"rows": rows, "facts": facts} if rows or facts else {}


def parity(parity: Mapping[str, Any]) -> list[dict[str, Any]]:
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
        composed = number(parity.get("strings_composed")) or 0.0
        note = Words(f"合成後に同じ {count(composed)}", f"{count(composed)} the same once composed (NFC)")
        value, passed = f"{count(same)} / {count(strings)}", same + composed >= strings
        rows.append({"words": words, "value": value, "passed": passed, "note": note if composed else None})
    return rows + _turns(parity)


def _turns(parity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Whole conversations, and the tokens that end an answer (SPEC O2)."""
    kinds = (
        ("conversations", "conversations_equal", Words(
            "学習、transformers、llama.cpp、Modelfile で同じトークンになる会話",
            "Conversations with the same tokens in training, transformers, llama.cpp and Modelfile",
        )),
        ("stops", "stops_working", Words("答えを本当に止める終わりの印", "End marks that really stop an answer")),
    )  # fmt: skip
    found = [(words, number(parity.get(whole)), number(parity.get(part))) for whole, part, words in kinds]
    return [
        {"words": words, "value": f"{count(part)} / {count(n)}", "passed": part >= n > 0, "note": None}
        for words, n, part in found
        if n is not None and part is not None
    ]


def training(training: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Facts and curves of training (plan chapter 4)."""
    weights = {"average": Words("平均(SWA)", "average (SWA)"), "last": Words("最後の値", "last step")}
    chosen = plain(training.get("weights"))
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
    svg = _training_plot(mappings(training.get("history")), first)
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
    return sorted((x, y) for x, y in pairs if x is not None and y is not None)


def _phases(history: Sequence[Mapping[str, Any]]) -> list[plots.Mark]:
    """Steps at which the PET weight changes: the borders of the plan's three phases (plan 2.1)."""
    weights = _points(history, "pet_weight")
    changes = [(x, new) for (_, old), (x, new) in pairwise(weights) if new != old]
    return [plots.Mark(x, f"λ {new:g}") for x, new in changes] if len(changes) <= 6 else []


def data(card: Mapping[str, Any]) -> dict[str, Any]:
    """What it was trained and measured on, under which licences, and what validation warned of."""
    data = mapping(card.get("data"))
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
            for k, v in mapping(data.get("requests")).items()
        ),
        (Words("うち生成した依頼", "of which synthetic"), count(data.get("synthetic"))),
    ]
    rows = [(words, text) for words, text in rows if text != NONE]
    licenses = [(str(k), plain(v)) for k, v in mapping(data.get("licenses")).items()]
    warnings = _warnings(card.get("data_warnings"))
    return {"rows": rows, "licenses": licenses, "warnings": warnings} if rows or licenses or warnings else {}


def _join(a: Words, b: Words) -> Words:
    return Words(a.ja + b.ja, a.only("en") + b.only("en"))


def _warnings(value: Any) -> list[Words]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    pairs = (w if isinstance(w, Mapping) else {"ja": w} for w in value)
    return [Words(plain(p.get("ja", p.get("en", dict(p)))), plain(p.get("en", ""))) for p in pairs]


def budget(card: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Seconds of every stage against its budget."""
    stages, rows = [], []
    for row in mappings(card.get("budget")):
        spent, limit = number(row.get("seconds")), number(row.get("budget"))
        if spent is None:
            continue
        name = plain(row.get("stage", ""))
        words = STAGE_WORDS.get(name, Words(name))
        stages.append(plots.Stage(words, spent, limit))
        over = limit is not None and spent > limit
        rows.append({"words": words, "seconds": seconds(spent), "budget": seconds(limit), "over": over})
    return {"rows": rows, "plot": Markup(plots.budget(stages, first=first))} if rows else {}


def origin(card: Mapping[str, Any]) -> dict[str, Any]:
    """Exactly which bundle and policy this card is about, and on what machine it was measured."""
    policy, measured_on = mapping(card["policy"]), mapping(card.get("evaluation"))
    digests = [
        (Words("バンドルの中身", "Bundle payload"), plain(card["payload_digest"])),
        (Words("方針", "Policy"), plain(policy.get("digest", NONE))),
        *(
            [(Words("測った依頼のファイル", "File of requests"), plain(measured_on["sha256"]))]
            if "sha256" in measured_on
            else []
        ),
    ]
    facts = [
        (
            Words("方針", "Policy"),
            " ".join(plain(policy[k]) for k in ("label", "id", "version") if policy.get(k)) or NONE,
        ),
        (Words("測定日時", "Measured"), moment(card["created"])),
        *([(Words("測った依頼", "Requests measured"), plain(measured_on["file"]))] if "file" in measured_on else []),
        (Words("カードの版", "Card schema"), plain(card["schema"])),
        *_listed(mapping(card.get("model")), MODEL_WORDS),
        *_listed(mapping(card.get("machine")), MACHINE_WORDS),
    ]
    return {"digests": digests, "facts": facts}


def _listed(values: Mapping[str, Any], words: Mapping[str, Words]) -> list[tuple[Words, str]]:
    """Named facts in the order of `words`, unknown keys after them."""
    keys = [k for k in words if k in values] + [k for k in values if k not in words]
    return [(words.get(k, Words(str(k))), plain(values[k])) for k in keys if values[k] is not None]
