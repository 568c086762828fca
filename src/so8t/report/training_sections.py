"""The sections of the training report: the loss with what happened on it, the other curves, rotation, GPU, events."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup

from so8t.report.data_panels import NOTHING, Cell, Panel, Section, Table, harmless, section, table
from so8t.report.figures import NONE, Words, number
from so8t.report.reading import moment
from so8t.report.training_figures import HEADERS, Training, summary_rows
from so8t.report.training_log import Point, angle_rows, happened, points
from so8t.report.training_plots import Line, Mark, angle_strip, trace
from so8t.report.training_series import ceiling, running_median, window_of
from so8t.report.training_words import (
    SIGN_WORDS,
    SIGNS,
    checkpoints_words,
    event_facts,
    event_words,
    is_pause,
    told,
)

PLACES, ROWS, PHASES = 300, 12, 6
STEP = Words("ステップ", "step")
LOSS, MEDIAN = Words("損失", "loss"), Words("移動中央値", "running median")
RAW = Words("各回の値", "each")


def training_sections(found: Training, first: str) -> list[Section]:
    makers: tuple[Callable[[Training, str], Section | None], ...] = (
        _summary, _loss, _course, _rotation, _machine, _events,
    )  # fmt: skip
    return [made for maker in makers if (made := maker(found, first)) is not None]


def _summary(found: Training, first: str) -> Section | None:
    rows = summary_rows(found)
    panel = Panel(Words("主な数", "Main figures"), table(HEADERS, rows), layout="wide") if rows else None
    return section("summary", Words("まとめ", "Summary"), NOTHING, (panel,))


def _loss(found: Training, first: str) -> Section | None:
    loss = found.loss
    if not loss:
        return None
    lines, marks, spots = _noisy(loss, found.window), event_marks(found), _validations(found)
    title, top = Words("学習の損失", "Training loss"), ceiling(loss, lines[-1].points)
    drawn = [trace(lines, marks, title=title, first=first, wide=w, spots=spots, ceiling=top) for w in (True, False)]
    plot = Markup('<div class="wide-plot">{}</div><div class="narrow-plot">{}</div>').format(*map(Markup, drawn))
    about = Words(
        f"細い線は各ステップの値(多いときは区間の最小と最大)、太い線は前後 {found.window:,} ステップの中央値です。",
        f"Thin: each step (of many, the lowest and highest of a stretch). Bold: the median of {found.window:,} steps.",
    )
    panel = Panel(title, _median_table(lines[-1].points), plot, _sign_note(found, marks, spots), "wide")
    return section("loss", Words("損失", "Loss"), about, (panel,))


def _noisy(values: Sequence[Point], window: int) -> list[Line]:
    return [Line(RAW, values, "raw"), Line(MEDIAN, running_median(values, window, PLACES))]


def _median_table(medians: Sequence[Point]) -> Table:
    chosen = sorted({round(i * (len(medians) - 1) / (ROWS - 1)) for i in range(ROWS)})
    rows: list[tuple[Cell, ...]] = [(round(medians[i][0]), Words(f"{medians[i][1]:.4f}")) for i in chosen]
    return table((STEP, Words("損失の移動中央値", "running median of the loss")), rows)


def event_marks(found: Training) -> list[Mark]:
    """Checkpoints as ticks on the axis; phases of λ, resumes, splits, pauses, rollbacks as lines with their sign."""
    marks = phase_marks(found)
    for event in found.events:
        name, step = str(event.get("event")), number(event.get("step"))
        if step is None:
            continue
        if name == "checkpoint":
            marks.append(Mark(step, "", "tick"))
        elif name in SIGNS and (name != "hot" or is_pause(event)):
            marks.append(Mark(step, SIGNS[name], "alarm" if name == "rollback" else "line"))
    return marks


def phase_marks(found: Training) -> list[Mark]:
    """Steps at which the weight of PET changes: the borders of the plan's phases (plan 2.1)."""
    changes = [(x, new) for (_, old), (x, new) in pairwise(points(found.rows, "pet_weight")) if new != old]
    return [Mark(x, f"λ {new:g}") for x, new in changes] if len(changes) <= PHASES else []


def _validations(found: Training) -> list[Point]:
    """Validation losses, of the last and of the averaged weights, at the step they belong to."""
    low, high = found.loss[0][0], found.loss[-1][0]
    measured = happened(found.events, "validation")
    every = [p for key in ("loss", "validation_loss", "validation_loss_average") for p in points(measured, key)]
    return sorted((min(x, high), y) for x, y in every if x >= low)


def _sign_note(found: Training, marks: Sequence[Mark], spots: Sequence[Point]) -> Words:
    """What the signs on the curve mean, of those that are there."""
    words = [SIGN_WORDS[name] for name, sign in SIGNS.items() if any(m.sign == sign for m in marks)]
    if any(m.look == "tick" for m in marks):
        words.append(Words("下の目盛: チェックポイント", "ticks below: checkpoints"))
    if spots:
        words.append(Words("○ 検証損失", "○ validation loss"))
    if any(m.sign.startswith("λ") for m in marks):
        words.append(Words("λ: PET の重みが変わった所", "λ: where the weight of PET changes"))
    return Words(" / ".join(w.ja for w in words), " / ".join(w.en for w in words))


def _course(found: Training, first: str) -> Section | None:
    pet, weight = points(found.rows, "pet"), points(found.rows, "pet_weight")
    panels = []
    if any(y for _, y in pet):
        title = Words("PET(重み λ を掛ける前)", "PET before its weight λ")
        panels.append(_panel(title, _noisy(pet, found.window), first, phase_marks(found)))
    if any(y for _, y in weight):
        title = Words("PET の重み λ", "Weight of PET, λ")
        panels.append(_panel(title, [Line(Words("λ"), weight)], first))
    title = Words("学習率", "Learning rate")
    panels.append(_panel(title, [Line(title, points(found.rows, "rate"))], first))
    norm = points(found.rows, "gradient_norm")
    title = Words("勾配の大きさ(切り詰める前)", "Gradient norm before clipping")
    panels.append(_panel(title, _noisy(norm, found.window), first, logarithmic=True))
    return section("course", Words("その他の曲線", "The other curves"), NOTHING, panels)


def _panel(
    title: Words, lines: Sequence[Line], first: str, marks: Sequence[Mark] = (), *, logarithmic: bool = False,
    reach: tuple[float, ...] = (),
) -> Panel | None:  # fmt: skip
    if not any(line.points for line in lines):
        return None
    drawn = trace(lines, marks, title=title, first=first, logarithmic=logarithmic, reach=reach)
    return Panel(title, None, Markup(drawn))


def _rotation(found: Training, first: str) -> Section | None:
    rows = [(step, [math.degrees(a) for a in angles]) for step, angles in angle_rows(found.rows)]
    if not rows:
        return None
    title = Words("層ごとの回転角", "Rotation angle by layer")
    header = (
        Words("層", "layer"),
        Words(f"角度 °(ステップ {rows[-1][0]:,.0f})", f"degrees at step {rows[-1][0]:,.0f}"),
    )
    final = table(header, [(Words(str(i)), Words(f"{v:.3f}")) for i, v in enumerate(rows[-1][1])])
    strip = Panel(title, final, Markup(angle_strip(rows, title=title, first=first)))
    most = [(step, max(values)) for step, values in rows]
    mean = [(step, sum(values) / len(values)) for step, values in rows]
    lines = [Line(Words("最大の層 °", "largest layer °"), most), Line(Words("平均 °", "mean °"), mean, "second")]
    about = Words(
        "各層の注意機構の出力に掛かる回転の角度(塊ごとの角度の二乗平均平方根)。0° は回転なしで、学習の出発点です。",
        "Angle of the rotation on the output of each layer's attention (root mean square over its blocks). "
        "0° is no rotation, where training begins.",
    )
    turned = _panel(Words("回転角の最大と平均", "Largest and mean angle"), lines, first)
    return section("rotation", Words("回転ゲート", "Rotation gates"), about, (strip, turned))


def _machine(found: Training, first: str) -> Section | None:
    rows = [r for r in happened(found.events, "gpu") if number(r.get("step")) is not None]
    pauses = [m for m in event_marks(found) if m.sign == SIGNS["hot"]]
    share = (0.0, 100.0)
    curves: tuple[tuple[Words, list[Point], list[Mark], tuple[float, ...]], ...] = (
        (Words("GPU の温度 ℃", "GPU temperature °C"), points(rows, "temperature"), pauses, ()),
        (Words("GPU のメモリ使用率 %", "GPU memory in use, %"), _memory(rows), [], share),
        (Words("GPU の使用率 %", "GPU utilisation, %"), points(rows, "utilisation"), [], share),
        (Words("GPU の電力 W", "GPU power, W"), points(rows, "watts"), [], (0.0,)),
    )
    panels = [_panel(t, _readings(sorted(p)), first, marks, reach=reach) for t, p, marks, reach in curves]
    note = SIGN_WORDS["hot"] if pauses else NOTHING
    return section("machine", Words("GPU", "GPU"), note, panels)


def _readings(values: Sequence[Point]) -> list[Line]:
    return _noisy(values, window_of(len(values)) // 4 | 1) if values else []


def _memory(rows: Sequence[Mapping[str, object]]) -> list[Point]:
    found = ((number(r.get("step")), number(r.get("memory_used")), number(r.get("memory_total"))) for r in rows)
    return [(x, 100 * used / total) for x, used, total in found if x is not None and used is not None and total]


def _events(found: Training, first: str) -> Section | None:
    rows: list[tuple[Cell, ...]] = []
    for event, count in told(found.events):
        step = number(event.get("step"))
        time = harmless(moment(event["time"])) if "time" in event else NONE
        words = checkpoints_words(count) if count > 1 else event_words(event)
        facts = NOTHING if count > 1 else event_facts(event)
        rows.append((Words(time), NOTHING if step is None else round(step), words, facts))
    headers = (Words("時刻", "time"), STEP, Words("出来事", "what happened"), Words("数値", "figures"))
    panel = Panel(Words("起きたこと", "What happened"), table(headers, rows), layout="wide") if rows else None
    return section("events", Words("出来事", "Events"), NOTHING, (panel,))
