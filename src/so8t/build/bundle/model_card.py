"""MODEL_CARD.md: the facts of card.json and of the licences as a model card, Japanese first, English beside it.

Front matter as the Hugging Face hub reads it (Mitchell et al. 2019, "Model Cards for Model Reporting"). Nothing is
measured or rounded anew: every figure is one of card.json. card.html shows the same and more, with its plots.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from so8t.build.bundle.licences import LIST, cell, shown
from so8t.core.bundle import LICENCES, SBOM
from so8t.report.card import deployed_result, verdict_of
from so8t.report.figures import FIGURES, NONE, Words, count, measured, scientific, size
from so8t.report.reading import interval, mapping, mappings, texts

TAGS = ("so8t", "japanese", "gguf", "closed-network", "text-generation")
Card = Mapping[str, Any]
VERDICTS = {
    "passed": Words("合格", "passed"),
    "failed": Words("**不合格**", "**FAILED**"),
    "unjudged": Words("未判定", "not judged"),
}
HEADINGS = {
    "use": Words("用途", "Intended use"),
    "data": Words("データ", "Data"),
    "training": Words("学習", "Training"),
    "burnin": Words("焼きこみ(回転を重みに折りこむ)", "Burn-in (the rotation folded into the weights)"),
    "figures": Words("成績", "Figures"),
    "limits": Words("限界", "Limits"),
    "licences": Words("ライセンス", "Licences"),
    "check": Words("確かめ方", "How to check"),
}


def model_card(card: Card, licences: Mapping[str, Any]) -> str:
    """The whole page from card.json and licences.json."""
    parts = [front_matter(card, licences), f"# {cell(card['name'])}\n"]
    for lang in ("ja", "en"):
        sections = {
            "use": _use(card, lang),
            "data": _data(card, lang),
            "training": _training(card, lang),
            "burnin": _burnin(card, lang),
            "figures": _figures(card, lang),
            "limits": _limits(card, lang),
            "licences": _licences(licences, lang),
            "check": _check(lang),
        }
        parts.append(_summary(card, lang) if lang == "ja" else f"---\n\n{_summary(card, lang)}")
        parts += [f"## {HEADINGS[key].only(lang)}\n\n{body}\n" for key, body in sections.items()]
    return "\n".join(parts)


def front_matter(card: Card, licences: Mapping[str, Any]) -> str:
    """YAML whose strings are JSON strings, which no name can break out of.

    The model's own licence is its owner's to choose, so it is "other"; a base made in this run has no name to give.
    """
    base = licences["base"]
    lines = ["---", "language:", "- ja", "license: other", 'license_name: "see licences/README.md"']
    lines += [f"license_link: {LICENCES}/README.md", "library_name: gguf", "pipeline_tag: text-generation"]
    if not base["made_here"]:
        lines += [f"base_model: {_quoted(base['name'])}", "base_model_relation: finetune"]
    lines += ["tags:", *(f"- {tag}" for tag in TAGS), f"- {_quoted(card['profile'])}"]
    return "\n".join([*lines, "---", ""])


def _quoted(value: Any) -> str:
    return json.dumps(" ".join(str(value).split()), ensure_ascii=True)


def _rows(rows: list[tuple[Words, str]], lang: str) -> str:
    return "\n".join(f"- {words.only(lang)}: {text}" for words, text in rows if text not in ("", NONE))


def _summary(card: Card, lang: str) -> str:
    name, _, split = deployed_result(card)
    policy, verdict = mapping(card["policy"]), VERDICTS[verdict_of(card)].only(lang)
    ja = f"方針「{cell(policy.get('label') or policy.get('id'))}」の基準に照らして{verdict}(`{name}`、{split})。"
    en = f"Against the thresholds of policy “{cell(policy.get('id'))}”: {verdict} (`{name}`, {split})."
    demo = Words("**見本です。実務には使えません。**\n\n", "**A sample. Not for real work.**\n\n").only(lang)
    model = mapping(card.get("model"))
    rows = [
        (Words("土台", "Base"), cell(model.get("base", ""))),
        (Words("パラメータ数", "Parameters"), count(model.get("parameters"))),
        (Words("作成日時", "Made"), cell(card["created"])),
        (Words("payload のダイジェスト", "Payload digest"), f"`{card['payload_digest']}`"),
        (Words("方針のダイジェスト", "Policy digest"), f"`{policy.get('digest')}`"),
    ]
    files = [f"`gguf/{f['name']}` ({size(f.get('bytes'))})" for f in mappings(card.get("files"))]
    rows.append((Words("ファイル", "Files"), ", ".join(files)))
    return (demo if card.get("demo") else "") + (ja if lang == "ja" else en) + "\n\n" + _rows(rows, lang) + "\n"


def _use(card: Card, lang: str) -> str:
    """From the verdict alone: what may be done with it, and what never."""
    verdict = verdict_of(card)
    if card.get("demo"):
        may = Words("仕組みの確認、教育、試験", "trying out the system, teaching, testing")
    elif verdict == "passed":
        may = Words(
            "社内の依頼を ALLOW、ESCALATE、DENY に振り分け、許可したものに日本語で答えること",
            "sorting requests within the company into ALLOW, ESCALATE and DENY, and answering the allowed in Japanese",
        )
    else:
        may = Words("原因の調査と改善だけ", "nothing but finding the cause and improving")
    never = Words(
        "診断、投資、法務、人事、安全などの最終判断を人に代わって行うこと。測っていない分野、言語、攻撃で頼ること",
        "taking final decisions in place of a person (diagnosis, investment, law, personnel, safety); relying on it "
        "for domains, languages or attacks that were not measured",
    )
    return _rows([(Words("使ってよいこと", "May be used for"), may.only(lang)),
                  (Words("使ってはいけないこと", "Not for"), never.only(lang))], lang)  # fmt: skip


def _data(card: Card, lang: str) -> str:
    data = mapping(card.get("data"))
    requests = mapping(data.get("requests"))
    rows = [
        (Words("文章", "Texts"), count(data.get("texts"))),
        (Words("文字数", "Characters"), count(data.get("characters"))),
        (Words("組み立てた依頼", "Synthetic requests"), count(data.get("synthetic"))),
        (Words("依頼(用途別)", "Requests by split"), ", ".join(f"{k} {count(v)}" for k, v in requests.items())),
    ]
    return _rows(rows, lang)


def _training(card: Card, lang: str) -> str:
    training, model = mapping(card.get("training")), mapping(card.get("model"))
    rows = [
        (Words("LoRA のパラメータ", "LoRA parameters"), count(model.get("lora_parameters"))),
        (Words("回転ゲートのパラメータ", "Rotation gate parameters"), count(model.get("gate_parameters"))),
        (Words("標本", "Samples"), count(training.get("samples"))),
        (Words("ステップ", "Steps"), count(training.get("steps"))),
        (Words("検証の損失", "Validation loss"), _short(training.get("validation_loss"))),
        (Words("装置", "Device"), cell(training.get("device", ""))),
    ]
    return _rows(rows, lang)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else NONE


def _burnin(card: Card, lang: str) -> str:
    rows = mappings(mapping(card.get("burnin")).get("checks"))
    head = Words("| 検査 | 精度 | 最大の差 | KL | 合否 |", "| Check | Precision | Largest difference | KL | Passed |")
    lines = [head.only(lang), "|---|---|---:|---:|---|"]
    for row in rows:
        passed = Words("合格", "yes") if row.get("passed") is True else Words("不合格", "NO")
        figures = [scientific(row.get("max_logit_difference")), scientific(row.get("kl"))]
        named = [cell(row.get("name")), cell(row.get("precision"))]
        lines.append("| " + " | ".join([*named, *figures, passed.only(lang)]) + " |")
    return "\n".join(lines)


def _figures(card: Card, lang: str) -> str:
    """One row a figure with its 95 % interval and the policy's bound."""
    _, result, _ = deployed_result(card)
    bounds = {str(r.get("name")): r for r in mappings(mapping(card.get("thresholds")).get("rows"))}
    head = Words("| 指標 | 値 | 95 % 区間 | n | 方針の基準 |", "| Figure | Value | 95 % interval | n | Bound |")
    lines = [head.only(lang), "|---|---:|---:|---:|---:|"]
    for name, figure in FIGURES.items():
        found = measured(result, figure.path)
        if found:
            bound = figure.write_bound(bounds[name].get("bound")) if name in bounds else NONE
            cells = [figure.words.only(lang), figure.write(found["value"]), interval(figure, found) or NONE]
            lines.append("| " + " | ".join([*cells, count(found.get("n")), bound]) + " |")
    return "\n".join(lines)


def _limits(card: Card, lang: str) -> str:
    listed = [cell(text) for text in texts(card.get(f"limits_{lang}"))]
    general = Words(
        "成績は作った側が測ったものです。自社の事例で測り直してください。詳しくは card.html",
        "These figures are the maker's own. Measure again on cases of your own. More in card.html",
    )
    return "\n".join(f"- {text}" for text in [*listed, general.only(lang)])


def _licences(licences: Mapping[str, Any], lang: str) -> str:
    base = licences["base"]
    made = Words("この実行で作ったので、ほかの条件はない", "made in this run, no terms of others").only(lang)
    counts: dict[str, int] = {}
    for row in licences["data"]:
        counts[shown(row)] = counts.get(shown(row), 0) + int(row["samples"])
    rows = [
        (Words("土台", "Base"), made if base["made_here"] else cell(shown(base))),
        (Words("データ", "Data"), ", ".join(f"{cell(name)} ({n:,})" for name, n in sorted(counts.items()))),
        (Words("一覧", "Full list"), f"[{LICENCES}/README.md]({LICENCES}/README.md), `{LICENCES}/{LIST}`, `{SBOM}`"),
    ]
    told = [f"- **{Words('注意', 'Note').only(lang)}**: {cell(row[lang])}" for row in licences["warnings"]]
    return "\n".join([_rows(rows, lang), *told])


def _check(lang: str) -> str:
    text = Words(
        "公開鍵は、このフォルダとは別の経路で受け取ってください。中に鍵があっても、何の証明にもなりません。",
        "Get the public key by another way than this folder. A key inside it would prove nothing.",
    )
    return f"{text.only(lang)}\n\n```sh\nso8t bundle verify . --key bundle.key.pub\n```"
