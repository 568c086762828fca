"""A comparison in words: what each figure is, what the verdicts mean, and the table of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from so8t.report.data_panels import harmless
from so8t.report.figures import NONE, Words, number
from so8t.report.reading import mapping, mappings
from so8t.report.summary import table

FIGURE_WORDS: dict[str, Words] = {
    "train_loss": Words("学習の損失(終わりの 1/4)", "Training loss, last quarter"),
    "sigma": Words("損失の σ(終わりの 1/4)", "σ of the loss, last quarter"),
    "bleu": Words("長文の続きの BLEU(文字)", "BLEU of long continuations (characters)"),
    "validation_loss": Words("検証の交差エントロピー", "Validation cross entropy"),
    "long_loss": Words("長い文脈での損失", "Long-context loss"),
    "accuracy": Words("判定の正解率", "Accuracy of the decision"),
    "macro_f1": Words("判定のマクロ F1", "Macro F1 of the decision"),
    "roughness": Words("隠れ状態の粗さ", "Roughness of the hidden states"),
    "angle": Words("回転角 °", "Rotation angle, °"),
}
MEANINGS: dict[str, Words] = {
    "train_loss": Words(
        "PET の項を除いた損失の平均。差は対照に対する割合(計画書 9.3 の損失削減)",
        "Mean without the PET term; the difference is a share of the control (plan 9.3, loss reduction)",
    ),
    "sigma": Words("一歩ごとの損失の標準偏差(同 安定性)", "Standard deviation of the loss of a step (plan 9.3)"),
    "bleu": Words(
        "窓の前半を与え、後半を書かせて比べた点数(同 長文性能)。文字の 4-gram まで",
        "The first half of a window is given, the second written and scored (plan 9.3); characters, up to 4-grams",
    ),
    "validation_loss": Words(
        "採った重みで、検証用の依頼の応答の 1 トークンあたり", "Of the kept weights, a token of the answers"
    ),
    "long_loss": Words(
        "検証用の文章をつないだ窓の、学習した長さを超えた位置で", "At positions beyond the trained length"
    ),
    "accuracy": Words("ラベルの対数尤度がいちばん高いもの(規則も較正もなし)", "By label log-likelihood, model alone"),
    "macro_f1": Words("三つの判定の F1 の平均", "Mean F1 of the three decisions"),
    "roughness": Words(
        "二階差分の大きさ(|Δ²h|² / |h|²)。PET が直接に減らすもの", "|Δ²h|² / |h|², what PET itself presses down"
    ),
    "angle": Words("全層の回転の角度の平均", "Mean over all layers"),
}
VERDICTS: dict[str, Words] = {
    "effect": Words("差がある", "effect"),
    "good": Words("差がある(良くなった)", "effect, better"),
    "bad": Words("差がある(悪くなった)", "effect, WORSE"),
    "none": Words("効果は示されなかった", "no effect shown"),
    "undecided": Words("判定できない", "not judged"),
    "unmeasured": Words("測れない", "not measured"),
}
WHY: dict[str, Words] = {
    "seeds": Words("組が足りない", "too few pairs"),
    "spread": Words("シードの間に差がない", "no spread among the seeds"),
    "documents": Words("文書を引き直すと 0 をまたぐ", "documents drawn anew: contains zero"),
    "missing": Words("片方にない", "missing on one side"),
    "redefined": Words("この設定は損失の定義を変える", "this setting redefines the loss"),
}
COUNTED = ("accuracy", "macro_f1")  # shown x 100


def listed(value: Any) -> list[Any]:
    """A list, or nothing for whatever else a result may hold."""
    return list(value) if isinstance(value, list | tuple) else []


def verdict_name(row: Mapping[str, Any]) -> Words:
    """What a row comes to."""
    name = str(row.get("verdict"))
    if name == "effect" and "good" in row:
        name = "good" if row["good"] is True else "bad"
    return VERDICTS.get(name, Words(harmless(name)))


def verdict_words(row: Mapping[str, Any]) -> Words:
    """What a row comes to, with the reason where there is one."""
    words, why = verdict_name(row), WHY.get(str(row.get("why")))
    return words if why is None else Words(f"{words.ja}({why.ja})", f"{words.en} ({why.en})")


def written(name: str, value: Any) -> str:
    """A value of a figure."""
    v = number(value)
    if v is None:
        return NONE
    if name in COUNTED:
        return f"{100 * v:.1f} %"
    return f"{v:.{_digits(name)}f}"


def _digits(name: Any) -> int:
    return {"bleu": 2, "angle": 3}.get(str(name), 4)


def changed(row: Mapping[str, Any], value: Any) -> str:
    """A difference of a figure with its sign."""
    v = number(value)
    if v is None:
        return NONE
    if row.get("relative"):
        return f"{100 * v:+.2f} %"
    if row.get("name") in COUNTED:
        return f"{100 * v:+.1f} pt"
    return f"{v:+.{_digits(row.get('name'))}f}"


def interval(row: Mapping[str, Any], of: Mapping[str, Any] | None = None) -> str:
    """low … high of a row, or of its documents."""
    bounds = row if of is None else of
    low, high = changed(row, bounds.get("low")), changed(row, bounds.get("high"))
    return NONE if NONE in (low, high) else f"{low} … {high}"


def p_value(value: Any) -> str:
    v = number(value)
    return NONE if v is None else "<0.001" if v < 0.001 else f"{v:.3f}"


def method_words(result: Mapping[str, Any]) -> list[Words]:
    """How the verdicts come about, in sentences."""
    method = mapping(result.get("method"))
    facts = mapping(next((r.get("facts") for r in mappings(result.get("runs"))), {}))
    family, draws, least = (method.get(k, NONE) for k in ("family", "bootstrap", "minimum_seeds"))
    words = [
        Words(
            "測ったのは検証用の分割(validation)だけで、試験用は使っていません。"
            "重みの平均を採るかどうかも、その一部で選ばれています。",
            "Measured on the validation split alone, never on the test split. Part of it also chose between last and "
            "averaged weights.",
        ),
        Words(
            f"差は、同じシードの 処置 - 対照。区間は対のある t 検定の 95 % 区間(シードの間のばらつき)、"
            f"文書の区間は検証用の文書を {draws} 回引き直したもの(同じ組のまま)。",
            f"Differences are treatment minus control of one seed. Intervals: paired t, 95 %, over seeds; beside it "
            f"the validation documents drawn anew {draws} times for the same pairs.",
        ),
        Words(
            f"見た項目は {family} 個なので p は Holm の方法で直し、直した p が 0.05 未満で、"
            f"文書の区間も 0 をまたがないときだけ「差がある」とします。組が {least} つ未満なら判定しません。",
            f"{family} figures were looked at, so p is corrected by Holm's method; an effect is claimed only where "
            f"that is below 0.05 and the interval over documents does not contain zero either. "
            f"Fewer than {least} pairs are not judged.",
        ),
    ]  # fmt: skip
    return [*(words if method else words[:1]), *_window_words(facts)]


def _window_words(facts: Mapping[str, Any]) -> list[Words]:
    window, trained, context = (number(facts.get(k)) for k in ("window", "trained_tokens", "context"))
    if window is None or trained is None:
        return []
    words = [
        Words(
            f"長い窓は {window:,.0f} トークン、学習した行は {trained:,.0f} トークンまで。",
            f"Long windows have {window:,.0f} tokens, training rows at most {trained:,.0f}.",
        )
    ]
    if context and window > context:
        words.append(
            Words(
                f"窓はこのモデルの文脈長 {context:,.0f} より長く、その先は外挿です。",
                f"The windows are longer than the model's context of {context:,.0f}: beyond it, it extrapolates.",
            )
        )
    return words


def statement(result: Mapping[str, Any]) -> list[Words]:
    """What the comparison found, most important first."""
    said = [_found(part) for part in mappings(result.get("comparisons"))]
    if not said:
        said.append(
            Words("組にできないので、並べただけです。判定はありません。", "Not paired: side by side, no verdict.")
        )
    if gone := listed(result.get("diverged")):
        names = ", ".join(map(harmless, gone))
        said.append(Words(f"発散して終わった学習: {names}", f"Trainings that diverged: {names}"))
    return said


def _found(part: Mapping[str, Any]) -> Words:
    rows, level = mappings(part.get("figures")), harmless(part.get("level"))
    sure = [r for r in rows if r.get("verdict") == "effect"]
    judged = sum(r.get("verdict") in ("effect", "none") for r in rows)
    if not judged:
        return Words(f"{level}: 判定できる項目がありません。", f"{level}: no figure can be judged.")
    if not sure:
        return Words(f"{level}: 効果は示されなかった({judged} 項目)。", f"{level}: no effect shown ({judged} figures).")
    ja, en = (", ".join(f"{_name(r).only(lang)} {changed(r, r.get('mean'))}" for r in sure) for lang in ("ja", "en"))
    return Words(
        f"{level}: {judged} 項目のうち {len(sure)} 項目に差がある: {ja}。",
        f"{level}: {len(sure)} of {judged} figures differ: {en}.",
    )


def _name(row: Mapping[str, Any]) -> Words:
    name = str(row.get("name"))
    return FIGURE_WORDS.get(name, Words(harmless(name), harmless(name)))


def plan_words(row: Mapping[str, Any]) -> Words:
    """The plan's target of a figure and whether it was reached."""
    target = number(row.get("plan"))
    if target is None:
        return Words("")
    reached = row.get("reached") is True
    text = changed(row, target)
    return Words(f"{text}: {'届いた' if reached else '届かない'}", f"{text}: {'reached' if reached else 'not reached'}")


def comparison_text(result: Mapping[str, Any], lang: str) -> str:
    """The whole comparison for a terminal."""
    parts = [f"{harmless(result.get('factor') or NONE)}: {harmless(result.get('control') or NONE)}"]
    for part in mappings(result.get("comparisons")):
        seeds = ", ".join(map(harmless, listed(part.get("seeds"))))
        parts.append(
            f"■ {harmless(part.get('level'))} (seed {seeds})\n" + _pair_table(mappings(part.get("figures")), lang)
        )
    if not result.get("comparisons"):
        parts.append(_run_table(mappings(result.get("runs")), lang))
        parts += [
            f"{harmless(k)}: {harmless(' | '.join(map(str, listed(v))))}"
            for k, v in mapping(result.get("differing")).items()
        ]
    parts.append("\n".join(w.only(lang) for w in (*statement(result), *method_words(result))))
    return "\n\n".join(parts)


def _pair_table(rows: list[Mapping[str, Any]], lang: str) -> str:
    ja = ["項目", "対照", "処置", "差", "95 % 区間", "文書の区間", "p(Holm)", "計画", "判定"]
    en = ["figure", "control", "treatment", "difference", "95 % interval", "documents", "p (Holm)", "plan", "verdict"]
    return table([[w.only(lang) for w in pair_cells(row)] for row in rows], ja if lang == "ja" else en)


def pair_cells(row: Mapping[str, Any]) -> tuple[Words, ...]:
    """One row of the main table."""
    name, documents = str(row.get("name")), row.get("documents")
    return (
        _name(row), Words(written(name, row.get("control"))), Words(written(name, row.get("treatment"))),
        Words(changed(row, row.get("mean"))), Words(interval(row)),
        Words(interval(row, mapping(documents)) if documents else NONE), Words(p_value(row.get("p_holm"))),
        plan_words(row), verdict_words(row),
    )  # fmt: skip


def _run_table(runs: list[Mapping[str, Any]], lang: str) -> str:
    headers = ["項目" if lang == "ja" else "figure", *(harmless(r.get("name")) for r in runs)]
    rows = [
        [words.only(lang), *(written(name, mapping(r.get("values")).get(name)) for r in runs)]
        for name, words in FIGURE_WORDS.items()
    ]
    return table(rows, headers)
