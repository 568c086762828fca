"""The measured figures as the tables that stand in the page between its markers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rotation_page.finished import Finished
from rotation_page.folding import Folding
from rotation_page.smoothing import WINDOW, Smoothing
from rotation_page.turning import Turning
from so8t.core.files import write_text
from so8t.report.figures import NONE, Words
from so8t.report.svg import clean

BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n)(.*?)(<!-- end -->)", re.S)
Row = tuple[Words, Words | str]
HEAD = (Words("測ったもの", "measured"), Words("値", "value"))
WAYS = {"none": Words("PET なし", "without PET"), "own": Words("この実行の設定", "as in this run"),
        "literal": Words("計画書の式", "the plan's sum")}  # fmt: skip


def tables(
    run: Finished, turning: Turning, smoothing: Smoothing, folding: Folding, machine: dict[str, Any]
) -> Callable[[str, str], str]:
    """(name of a block, language) -> its Markdown."""
    rows: dict[str, list[Row]] = {
        "rotation": list(_rotation(run, turning)), "pet": list(_pet(smoothing)), "fold": list(_fold(folding)),
    }  # fmt: skip

    def block(name: str, lang: str) -> str:
        if name == "source":
            return source(run, machine).only(lang) + "\n"
        return table(rows[name], lang)

    return block


NAMES = ("rotation", "pet", "fold", "source")


def table(rows: list[Row], lang: str) -> str:
    lines = [f"| {HEAD[0].only(lang)} | {HEAD[1].only(lang)} |", "|---|---:|"]
    for name, value in rows:
        told = value.only(lang) if isinstance(value, Words) else value
        lines.append(f"| {name.only(lang)} | {told} |")
    return "\n".join(lines) + "\n"


def _rotation(run: Finished, t: Turning) -> Iterator[Row]:
    layers, blocks, numbers = run.skew.shape
    facts = run.facts("train")
    yield (
        Words("ゲートの数(層 × ブロック × 28)", "numbers of the gates (layers × blocks × 28)"),
        f"{layers} × {blocks} × {numbers} = {run.skew.numel():,}",
    )
    yield Words("LoRA の数", "numbers of LoRA"), f"{facts['lora_parameters']:,}"
    yield Words("回転角の平均", "mean rotation angle"), f"{t.mean:.2f}°"
    yield Words("最も回ったブロックの回転角", "angle of the block that turned most"), f"{t.largest:.2f}°"
    yield Words("平面の角の最大", "largest angle in a plane"), f"{t.largest_plane:.2f}°"
    yield Words("RᵀR と単位行列の差(fp64)", "RᵀR minus identity (fp64)"), small(t.orthogonality)
    yield Words("det R と 1 の差(fp64)", "det R minus 1 (fp64)"), small(t.determinant)
    for name, value in t.stretch.items():
        yield Words(f"長さの変わる割合の最大({name})", f"largest change of a length ({name})"), small(value)
    yield Words("exp と Cayley の行列の差の最大", "exp against Cayley, largest entry"), small(t.cayley)
    yield (
        Words("SVD を通すと勾配が有限でないブロック", "blocks without finite gradient, with SVD"),
        percent(t.svd_broken),
    )
    yield Words("SVD なしで同じ数", "the same without SVD"), percent(t.exp_broken)
    words = Words("葉を通した勾配と、通さない勾配の相対差", "gradient through leaves against straight, relative")
    yield words, small(t.leaf_difference)


def _pet(s: Smoothing) -> Iterator[Row]:
    lambdas = " / ".join(f"{v:g}" for v in s.config.lambdas)
    yield Words("割り方、三つの相の λ", "normalisation, λ of the three phases"), f"{s.config.normalisation}, {lambdas}"
    yield Words("PET の中央値、はじめの 5 %", "PET, median of the first 5 %"), f"{s.first:.3f}"
    yield Words("PET の中央値、おわりの 5 %", "PET, median of the last 5 %"), f"{s.last:.3f}"
    yield Words("おわりの λ × PET は損失の", "λ × PET at the end, of the loss"), percent(s.share)
    name = f"波の長さ 4 トークン未満が PET に占める割合({s.texts} 文、先頭 {WINDOW} トークン)"
    english = f"waves below 4 tokens, share of PET ({s.texts} texts, first {WINDOW} tokens)"
    yield Words(name, english), percent(s.in_upper_half)
    for kind, pull in s.pulls.items():
        yield (
            Words(f"勾配の比 PET / 損失、λ 0.01、{kind}", f"gradient of PET over that of the loss, λ 0.01, {kind}"),
            ratio(pull),
        )
    for t in s.trials:
        way = WAYS[t.name]
        words = Words(
            f"{len(t.losses)} ステップ後の検証損失、{way.ja}", f"validation loss after {len(t.losses)} steps, {way.en}"
        )
        yield words, f"{t.validation:.3f}"
    for t in s.trials:
        way = WAYS[t.name]
        yield (
            Words(f"同、二つの位置の状態の余弦の平均、{way.ja}", f"same, mean cosine of two places, {way.en}"),
            f"{t.alike:.4f}",
        )


def _fold(f: Folding) -> Iterator[Row]:
    yield Words("くらべた依頼の数", "prompts compared on"), str(f.prompts)
    yield Words("一つの層の差の最大(fp64)", "largest difference of one layer (fp64)"), small(f.layer_error)
    for m in f.precisions:
        floor = NONE if m.floor is None else small(m.floor)
        words = Words(
            f"ロジットの差の最大 / 丸めの床({m.precision})", f"largest logit difference / floor ({m.precision})"
        )
        yield words, f"{small(m.difference)} / {floor}"
    yield Words("KL の最大(fp32)", "largest KL (fp32)"), small(f.kl)
    for name, share in f.agreement.items():
        yield Words(f"一位のトークンが同じ位置({name})", f"positions with the same top token ({name})"), percent(share)
    yield from _wrong(f)
    told = (
        Words(NONE)
        if f.same_tensors is None
        else Words("同じ", "the same")
        if f.same_tensors
        else Words("違う", "not the same")
    )
    yield Words("GGUF のテンソル数", "tensors of the GGUF"), NONE if f.tensors is None else str(f.tensors)
    yield Words("土台の GGUF と名前・形・型", "names, shapes, types against the base's GGUF"), told
    yield (
        Words("土台の GGUF より多いバイト数", "bytes more than the base's GGUF"),
        NONE if f.more_bytes is None else str(f.more_bytes),
    )


def _wrong(f: Folding) -> Iterator[Row]:
    refused = Words("正方でないので受け付けられない", "refused: o_proj is not square")
    name = Words("側を間違えた W @ R: 差の最大", "wrong side, W @ R: largest difference")
    yield name, refused if f.wrong is None else small(f.wrong.logit)
    if f.wrong is not None:
        yield Words("同、KL の最大", "same, largest KL"), small(f.wrong.kl)
        yield (
            Words("同、一位のトークンが同じ位置", "same, positions with the same top token"),
            percent(f.wrong.agreement),
        )
    yield Words("ゲートを捨てた: 差の最大", "gates thrown away: largest difference"), small(f.without.logit)
    yield Words("同、一位のトークンが同じ位置", "same, positions with the same top token"), percent(f.without.agreement)


def source(run: Finished, m: dict[str, Any]) -> Words:
    versions = "、".join(f"{name} {version}" for name, version in m["versions"].items())
    where = f"{clean(str(m['cpu']))}, {m['cores']} cores, Python {m['python']}"
    day, name = m["date"].split()[0], run.folder.name
    return Words(
        f"この頁の表と図は `benchmarks/pictures.py` が実行 `{name}` から {day} に作りました({where}、{versions})。",
        f"`benchmarks/pictures.py` made the tables and pictures of this page from the run `{name}` on {day} "
        f"({where}, {versions.replace('、', ', ')}).",
    )


def small(value: float) -> str:
    """1.5e-5; an exact zero is 0."""
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 1000:
        return f"{value:.3g}"
    digits, power = f"{value:.1e}".split("e")
    return f"{digits}e{int(power)}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3f}"


def rewritten(text: str, block: Callable[[str, str], str], lang: str, where: Path) -> str:
    """A page with its blocks made anew. SystemExit unless each of NAMES stands there exactly once."""
    found = [m[2] for m in BLOCK.finditer(text)]
    if sorted(found) != sorted(NAMES):
        raise SystemExit(f"{where}: blocks {found}, expected {list(NAMES)}")
    return BLOCK.sub(lambda m: m[1] + block(m[2], lang) + m[4], text)


def write(pages: list[Path], block: Callable[[str, str], str]) -> None:
    """All pages or none: *.en.md in English, others in Japanese."""
    new = [(p, rewritten(p.read_text(encoding="utf-8"), block, language(p), p)) for p in pages]
    for path, text in new:
        write_text(path, text)


def language(path: Path) -> str:
    return "en" if path.name.endswith(".en.md") else "ja"
