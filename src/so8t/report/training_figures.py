"""The figures of a finished or a broken-off training, each in words that need no knowledge of the code."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from so8t.report.data_panels import Cell, harmless
from so8t.report.figures import NONE, Words, count, decimal, number, scientific, seconds
from so8t.report.training_log import Point, Record, angle_rows, happened, points
from so8t.report.training_series import window_of
from so8t.report.training_words import WEIGHT_WORDS, is_pause, pause_seconds

ORTHOGONAL = 1e-6  # largest error that rounding explains, in fp32 too
HEADERS = (Words("項目", "item"), Words("値", "value"), Words("意味", "meaning"))


@dataclass(frozen=True, slots=True)
class Training:
    """What is known: `rows` one record a step in order, `events` as they were written, `facts` of the trainer."""

    rows: Sequence[Record]
    events: Sequence[Record]
    facts: Record

    @property
    def loss(self) -> list[Point]:
        return points(self.rows, "loss")

    @property
    def done(self) -> int:
        """Optimizer steps that are recorded, counted from the first of the run."""
        return round(number(self.rows[-1].get("step")) or 0) + 1 if self.rows else 0

    @property
    def finished(self) -> bool:
        """The trainer has reported, and not of more steps than there are records of."""
        steps = number(self.facts.get("steps"))
        return steps is not None and (not self.rows or self.done >= steps)

    @property
    def window(self) -> int:
        return window_of(len(self.rows))

    @property
    def last_median(self) -> float | None:
        values = [y for _, y in self.loss[-self.window :]]
        return statistics.median(values) if values else None

    @property
    def tokens(self) -> float:
        return sum(y for _, y in points(self.rows, "tokens"))

    @property
    def tokens_per_second(self) -> float | None:
        """As the trainer says, else tokens over its wall time; unknown where a resume leaves open what that covers."""
        told, wall = number(self.facts.get("tokens_per_second")), number(self.facts.get("seconds"))
        if told is not None:
            return told
        if not wall or wall < 0 or not self.tokens or happened(self.events, "resume"):
            return None
        return self.tokens / wall


def statements(found: Training) -> list[Words]:
    """The training in a few sentences, most important first."""
    return [words for words in (_course(found), _weights(found), _events(found), _rotation(found)) if words.ja]


def _course(found: Training) -> Words:
    median = found.last_median
    if median is None:
        return Words("記録されたステップはまだありません。", "No step is recorded yet.")
    first, total = found.loss[0][1], number(found.facts.get("steps"))
    of = f" / {total:,.0f}" if total is not None and not found.finished else ""
    return Words(
        f"{found.done:,}{of} ステップ学習し、損失は {first:.3f} から {median:.3f} になりました"
        f"(最後の {min(found.window, len(found.loss)):,} ステップの中央値)。",
        f"{found.done:,}{of} steps were trained; the loss went from {first:.3f} to {median:.3f} "
        f"(median of the last {min(found.window, len(found.loss)):,} steps).",
    )


def _weights(found: Training) -> Words:
    last, average = number(found.facts.get("validation_loss")), number(found.facts.get("validation_loss_average"))
    if last is None:
        return Words("")
    if average is None:
        return Words(f"検証損失は {last:.4f} です。", f"The validation loss is {last:.4f}.")
    ja = f"検証損失は最後の重みで {last:.4f}、平均の重みで {average:.4f}"
    en = f"The validation loss is {last:.4f} with the last weights and {average:.4f} with their average"
    chosen = WEIGHT_WORDS.get(str(found.facts.get("weights")))
    if chosen is None:
        return Words(f"{ja} です。", f"{en}.")
    return Words(f"{ja}。{chosen.ja}を採りました。", f"{en}; the {chosen.en} were taken.")


def _events(found: Training) -> Words:
    if not found.events:
        return Words("")
    n = {name: len(happened(found.events, name)) for name in ("checkpoint", "resume", "rollback", "split")}
    pauses, hot = sum(is_pause(e) for e in found.events), pause_seconds(found.events)
    waited = (f"({hot / 60:.0f} 分)", f" ({hot / 60:.0f} min)") if hot >= 30 else ("", "")
    return Words(
        f"チェックポイント {n['checkpoint']:,}、再開 {n['resume']:,}、巻き戻し {n['rollback']:,}、"
        f"バッチの分割 {n['split']:,}、温度による休止 {pauses:,}{waited[0]}。",
        f"Checkpoints {n['checkpoint']:,}, resumed {n['resume']:,}, rolled back {n['rollback']:,}, "
        f"batch split {n['split']:,}, paused for heat {pauses:,}{waited[1]}.",
    )


def _rotation(found: Training) -> Words:
    error, angles = number(found.facts.get("orthogonality_error")), angle_rows(found.rows)
    parts = []
    if angles:
        most = math.degrees(max(angles[-1][1]))
        parts.append(Words(f"最も回った層で {most:.2f}°。", f"The layer that turned most: {most:.2f}°."))
    if error is not None:
        ja, en = ("は直交行列のまま", "are") if error < ORTHOGONAL else ("が直交行列からずれています", "are NOT")
        e = scientific(error)
        parts.append(Words(f"回転ゲート{ja}(ずれ {e})。", f"The gates {en} orthogonal (error {e})."))
    return Words("".join(p.ja for p in parts), " ".join(p.en for p in parts))


def summary_rows(found: Training) -> list[tuple[Cell, ...]]:
    """(item, value, meaning); what is not known is left out."""
    rows = [*_amounts(found), *_losses(found), *_model(found.facts)]
    return [row for row in rows if row[1].ja not in (NONE, "")]


def _row(name: tuple[str, str], value: Words | str, ja: str, en: str) -> tuple[Words, Words, Words]:
    return Words(*name), value if isinstance(value, Words) else Words(value), Words(ja, en)


def _amounts(found: Training) -> list[tuple[Words, Words, Words]]:
    facts, total, rate = found.facts, number(found.facts.get("steps")), found.tokens_per_second
    steps = f"{found.done:,}" + (f" / {total:,.0f}" if total is not None else "")
    speed, device = NONE if rate is None else f"{rate:,.0f} tokens/s", harmless(facts.get("device"))
    tokens = count(found.tokens or None)
    return [
        _row(("ステップ", "steps"), steps, "重みを更新した回数 / 予定", "updates of the weights / planned"),
        _row(("学習標本", "training samples"), count(facts.get("samples")), "一巡で見る数", "seen in one epoch"),
        _row(
            ("トークン", "tokens"), tokens,
            "損失を計算したトークン(応答の部分)", "tokens that counted in the loss (the answers)",
        ),
        _row(("所要時間", "wall time"), seconds(facts.get("seconds")), "学習にかかった時間", "what the training took"),
        _row(
            ("速さ", "speed"), speed,
            "損失を計算したトークンを時間で割ったもの", "tokens that counted in the loss, over the time",
        ),
        _row(("装置", "device"), device, "計算した場所", "what computed it"),
    ]  # fmt: skip


def _losses(found: Training) -> list[tuple[Words, Words, Words]]:
    facts, loss = found.facts, found.loss
    last, average = decimal(facts.get("validation_loss"), 4), decimal(facts.get("validation_loss_average"), 4)
    chosen = WEIGHT_WORDS.get(str(facts.get("weights"))) or harmless(facts.get("weights"))
    window = min(found.window, len(loss))
    return [
        _row(
            ("最初の損失", "first loss"), decimal(loss[0][1] if loss else None),
            "最初のステップの学習損失(一つの値)", "training loss of the first step alone",
        ),
        _row(
            ("最後の損失", "last loss"), decimal(loss[-1][1] if loss else None),
            "最後のステップの学習損失(一つの値)", "training loss of the last step alone",
        ),
        _row(
            ("最後の損失の中央値", "median of the last losses"), decimal(found.last_median),
            f"最後の {window:,} ステップ", f"of the last {window:,} steps",
        ),
        _row(
            ("検証損失(最後の重み)", "validation loss (last weights)"), last,
            "学習に使わない標本での損失。低いほどよい", "on samples that are not trained on; lower is better",
        ),
        _row(
            ("検証損失(平均の重み)", "validation loss (averaged)"), average,
            "終わりのほうの重みを平均したもの(SWA)で", "with the average of the later weights (SWA)",
        ),
        _row(
            ("採用した重み", "weights taken"), chosen,
            "検証損失が低いほう", "the ones with the lower validation loss",
        ),
    ]  # fmt: skip


def _model(facts: Record) -> list[tuple[Words, Words, Words]]:
    angle = number(facts.get("mean_angle"))
    return [
        _row(
            ("LoRA のパラメータ", "LoRA parameters"), count(facts.get("lora_parameters")),
            "学習した低ランク行列の要素", "entries of the trained low-rank matrices",
        ),
        _row(
            ("回転ゲートのパラメータ", "gate parameters"), count(facts.get("gate_parameters")),
            "8 次元の塊ごとに 28", "28 for each block of 8 dimensions",
        ),
        _row(
            ("直交性のずれ", "orthogonality error"), scientific(facts.get("orthogonality_error")),
            "RᵀR と単位行列の差の最大。0 に近いほどよい", "largest entry of RᵀR minus identity; 0 is best",
        ),
        _row(
            ("行列式のずれ", "determinant error"), scientific(facts.get("determinant_error")),
            "det R と 1 の差。鏡映が混じると 2 になる", "det R minus 1; a reflection would make it 2",
        ),
        _row(
            ("回転角の平均", "mean rotation angle"), NONE if angle is None else f"{math.degrees(angle):.3f}°",
            "塊ごとの回転角の平均。0° なら回っていない", "mean over the blocks; 0° = no rotation",
        ),
        _row(
            ("回転の生成元の平均", "mean skew"), decimal(facts.get("mean_skew"), 4),
            "反対称行列の要素の絶対値の平均", "mean absolute entry of the skew matrices",
        ),
    ]  # fmt: skip
