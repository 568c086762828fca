"""The figures of the READMEs, from what a finished run measured of itself. Standard library only.

python3 benchmarks/figures.py runs/tiny [--setup-seconds 29.4]                     print both blocks
python3 benchmarks/figures.py runs/tiny --write README.md README.en.md             replace the block in each file

A file whose name ends in .en.md gets the English block, any other the Japanese one. Set-up is not part of a run, so its
seconds are given by hand (start.py prints them); without them the row says so.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STAGES = ("collect", "synth", "multimodal", "validate", "base", "train", "burnin", "export", "prove", "bundle", "demo")
BLOCK = re.compile(r"(<!-- figures: tiny -->\n).*?(<!-- end figures -->)", re.DOTALL)
NONE = "—"
Row = tuple[str, str]

WORDS = {
    "ja": {
        "time": "時間とメモリ", "seconds": "秒", "setup": "準備(start.py)", "total": "段階の合計", "peak": "最大メモリ",
        "quality": "判定の成績({n} 件の試験用の依頼、{deployed}、括弧内は 95 % 区間、0 件なら上限 3/n)", "value": "値",
        "macro": "マクロ F1", "refuse_recall": "危険依頼の拒否率", "danger_allowed": "危険依頼の許可率",
        "over_refusal": "過剰拒否率", "over_escalation": "過剰エスカレーション率",
        "thresholds": "方針「{label}」の基準", "passed": "すべて満たす", "failed": "満たさない項目がある",
        "proof": "同値性", "logit": "焼きこみ前後の最大差(fp32、ロジット)", "kl": "同 KL",
        "greedy": "GGUF F16 と transformers の続きが一致した依頼", "strings": "トークン分割が一致した文字列",
        "unknown": "記録なし",
        "source": "測ったもの: {date}、{cpu} {cores} コア、{os}、Python {python}、torch {torch}、"
        "transformers {transformers}、llama.cpp(xllamacpp){llama}。この表は `benchmarks/figures.py` が書く。",
    },
    "en": {
        "time": "Time and memory", "seconds": "seconds", "setup": "set-up (start.py)", "total": "all stages",
        "peak": "peak memory",
        "quality": "Verdicts ({n} test requests, {deployed}, 95 % intervals in brackets, 3/n where none of n)",
        "value": "value",
        "macro": "macro F1", "refuse_recall": "refuse recall", "danger_allowed": "danger allowed",
        "over_refusal": "over-refusal", "over_escalation": "over-escalation",
        "thresholds": "thresholds of policy “{label}”", "passed": "all met", "failed": "not all met",
        "proof": "Equivalence", "logit": "largest difference by burn-in (fp32, logits)", "kl": "KL of the same",
        "greedy": "requests continued alike by GGUF F16 and transformers", "strings": "strings tokenized alike",
        "unknown": "not recorded",
        "source": "Measured {date} on {cpu}, {cores} cores, {os}, Python {python}, torch {torch}, "
        "transformers {transformers}, llama.cpp (xllamacpp) {llama}. `benchmarks/figures.py` writes this table.",
    },
}  # fmt: skip


def block(run: Path, lang: str, setup: float | None) -> str:
    """The Markdown between the two markers."""
    words = WORDS[lang]
    manifests = {name: read(run / "manifests" / f"{name}.json") for name in STAGES}
    card = read(run / "prove" / "card.json")
    test = card["results"][card["deployed"]]["splits"]["test"]
    tables = (
        (words["time"], words["seconds"], times(manifests, words, setup)),
        (words["quality"].format(n=test["n"], deployed=card["deployed"]), words["value"], quality(card, test, words)),
        (words["proof"], words["value"], proof(card, words)),
    )
    body = "\n\n".join("\n".join(table(head, unit, rows)) for head, unit, rows in tables)
    return f"{body}\n\n{source(card, words)}\n"


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def table(head: str, unit: str, rows: Iterator[Row]) -> Iterator[str]:
    yield f"| {head} | {unit} |"
    yield "|---|---:|"
    for name, value in rows:
        yield f"| {name} | {value} |"


def times(manifests: dict[str, dict[str, Any]], words: dict[str, str], setup: float | None) -> Iterator[Row]:
    yield words["setup"], words["unknown"] if setup is None else f"{setup:.1f}"
    for name, manifest in manifests.items():
        yield f"`{name}`", f"{manifest['seconds']:.1f}"
    yield words["total"], f"{sum(m['seconds'] for m in manifests.values()):.1f}"
    yield words["peak"], f"{max(m['peak_mb'] for m in manifests.values()):,.0f} MB"


def quality(card: dict[str, Any], test: dict[str, Any], words: dict[str, str]) -> Iterator[Row]:
    yield words["macro"], interval(test["f1"]["macro"])
    for name in ("refuse_recall", "danger_allowed", "over_refusal", "over_escalation"):
        yield words[name], interval(test[name], percent=True)
    passed = card["thresholds"]["passed"]
    yield words["thresholds"].format(label=card["policy"]["label"]), words["passed" if passed else "failed"]


def interval(figure: dict[str, Any], percent: bool = False) -> str:
    """0.620 (0.550-0.690), or 12.3 % (8.0-17.1); a share of none (or all) of n is bounded by 3 / n."""
    values = [figure[k] for k in ("value", "low", "high")]
    if any(v is None for v in values):
        return NONE
    if percent and values[0] in (0.0, 1.0) and figure.get("n"):  # resampling cannot see what never happened
        values[1 if values[0] else 2] = abs(values[0] - min(1.0, 3 / figure["n"]))
    value, low, high = (f"{v * 100:.1f}" if percent else f"{v:.3f}" for v in values)
    return f"{value}{' %' if percent else ''} ({low}–{high})"


def proof(card: dict[str, Any], words: dict[str, str]) -> Iterator[Row]:
    model = next(c for c in card["burnin"]["checks"] if c["name"] == "model" and c["precision"] == "fp32")
    parity = card["parity"]
    yield words["logit"], f"{model['max_logit_difference']:.1e}"
    yield words["kl"], f"{model['kl']:.1e}"
    yield words["greedy"], f"{parity['equal'] + parity['ties']} / {parity['prompts']}"
    yield words["strings"], f"{parity['strings_equal']} / {parity['strings']}"


def source(card: dict[str, Any], words: dict[str, str]) -> str:
    m = card["machine"]
    return words["source"].format(
        date=card["created"][:10], cpu=m["cpu"], cores=m["cores"], os=m["os"].split("-with-")[0], python=m["python"],
        torch=m["torch"], transformers=m["transformers"], llama=m["llama.cpp"],
    )  # fmt: skip


def write(path: Path, text: str) -> None:
    """Replace the block of a file; a file without exactly one block is an error, and is left as it is."""
    old = path.read_text(encoding="utf-8")
    new, count = BLOCK.subn(lambda found: f"{found[1]}{text}{found[2]}", old)
    if count != 1:
        raise SystemExit(f"{path}: {count} blocks <!-- figures: tiny -->, 1 expected")
    path.write_text(new, encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--setup-seconds", type=float)
    parser.add_argument("--write", type=Path, nargs="+", default=[])
    options = parser.parse_args(arguments)
    for path in options.write:
        write(path, block(options.run, "en" if path.name.endswith(".en.md") else "ja", options.setup_seconds))
    if not options.write:
        print(*(block(options.run, lang, options.setup_seconds) for lang in WORDS), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
