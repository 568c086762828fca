"""How a training goes, for so8t status: read from the tails of its logs, as JSON and as lines of a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so8t.core.progress import duration
from so8t.core.run import Run
from so8t.report.figures import NONE, number
from so8t.report.sparkline import sparkline
from so8t.report.training_log import happened, ordered_steps, points, read_tail
from so8t.report.training_series import bucket_medians
from so8t.report.training_words import event_words, stamp

HISTORY_TAIL, EVENT_TAIL = 512 << 10, 64 << 10  # bytes: about a thousand steps, a few hundred events
CURVE = 32  # characters of the sparkline: some terminals draw its blocks two columns wide
RECENT = 50  # steps that the mean number of tokens is taken of
SILENT = 120.0  # seconds without a sign of life before it is said


def training_state(run: Run, now: Mapping[str, Any] | None, clock: float | None = None) -> dict[str, Any] | None:
    """Figures of the training stage, None before its first step. `now` is the newest progress record of the run."""
    folder = _folder(run)
    rows = ordered_steps(read_tail(folder / "history.jsonl", HISTORY_TAIL))
    if not rows:
        return None
    events = read_tail(folder / "events.jsonl", EVENT_TAIL)
    seconds = time.time() if clock is None else clock
    progress = now if now is not None and now.get("stage") == "train" else None
    last = rows[-1]
    state: dict[str, Any] = {"step": round(number(last.get("step")) or 0) + 1, "steps": _steps(run, progress)}
    state |= {key: number(last.get(key)) for key in ("loss", "pet", "pet_weight", "rate", "gradient_norm")}
    state |= _pace(progress, [n for _, n in points(rows, "tokens")][-RECENT:], seconds)
    told = [e for e in events if e.get("event") not in (None, "gpu")]
    losses = [y for _, y in points(rows, "loss")]
    return state | {
        "checkpoint": _checkpoint(run, events, seconds, progress is not None),
        "gpu": _gpu(events, seconds),
        "event": _event(told[-1], seconds) if told else None,
        "losses": bucket_medians(losses, CURVE),
        "losses_of_steps": len(losses),
    }


def _folder(run: Run) -> Path:
    """Where the logs lie: beside the checkpoints while it runs, with the outputs once it is done."""
    manifest = run.manifest("train")
    done = manifest is not None and manifest.done
    return run.stage("train") if done else run.folder / "work" / "train"


def _steps(run: Run, progress: Mapping[str, Any] | None) -> int | None:
    manifest = run.manifest("train")
    told = number(progress.get("total")) if progress is not None else None
    if told is None and manifest is not None:
        told = number(manifest.facts.get("steps"))
    return None if told is None else round(told)


def _pace(progress: Mapping[str, Any] | None, tokens: list[float], seconds: float) -> dict[str, float | None]:
    """Speed, time left and age of the newest progress record; all None when training does not run."""
    if progress is None:
        return dict.fromkeys(("steps_per_second", "tokens_per_second", "seconds_left", "age_seconds"))
    rate, written = number(progress.get("rate")), stamp(progress)
    speed = None if rate is None or not tokens else rate * sum(tokens) / len(tokens)
    return {
        "steps_per_second": rate,
        "tokens_per_second": None if speed is None else round(speed, 1),
        "seconds_left": number(progress.get("seconds_left")),
        "age_seconds": None if written is None else round(max(0.0, seconds - written), 1),
    }


def _checkpoint(run: Run, events: list[dict[str, Any]], seconds: float, running: bool) -> dict[str, Any] | None:
    """The newest checkpoint by the log, else by its folder; the next is due when the configured time has gone by."""
    saved = happened(events, "checkpoint")
    step, written = (number(saved[-1].get("step")), stamp(saved[-1])) if saved else _newest_folder(run)
    if written is None:
        return None
    age = max(0.0, seconds - written)
    manifest = run.manifest("train")
    config = manifest.config.get("train") if manifest is not None else None
    every = number(config.get("checkpoint", {}).get("seconds")) if isinstance(config, Mapping) else None
    due = None if every is None or not running else round(max(0.0, every - age), 1)
    return {"step": None if step is None else round(step), "age_seconds": round(age, 1), "next_seconds": due}


def _newest_folder(run: Run) -> tuple[float | None, float | None]:
    """(step, modification time) of the newest step-N folder."""
    found = sorted((run.folder / "work" / "train").glob("step-*"))
    if not found:
        return None, None
    digits = found[-1].name.removeprefix("step-")
    try:
        return (float(digits) if digits.isdigit() else None), found[-1].stat().st_mtime
    except OSError:  # the oldest are dropped while we look
        return None, None


def _gpu(events: list[dict[str, Any]], seconds: float) -> dict[str, float | None] | None:
    readings = [e for e in happened(events, "gpu") if number(e.get("temperature")) is not None]
    if not readings:
        return None
    newest, written = readings[-1], stamp(readings[-1])
    found = {key: number(newest.get(key)) for key in ("temperature", "utilisation", "watts")}
    used, total = number(newest.get("memory_used")), number(newest.get("memory_total"))
    age = None if written is None else round(max(0.0, seconds - written), 1)
    return found | {"memory_used": used, "memory_total": total, "age_seconds": age}


def _event(event: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    words, written = event_words(event), stamp(event)
    return {
        "event": event.get("event"), "step": number(event.get("step")), "time": event.get("time"),
        "age_seconds": None if written is None else round(max(0.0, seconds - written), 1),
        "ja": words.ja, "en": words.en or words.ja,
    }  # fmt: skip


def training_lines(state: Mapping[str, Any], lang: str, encoding: str | None) -> list[str]:
    """The same for a person, a dozen short lines at most."""
    ja = lang == "ja"
    lines = [f"{'学習' if ja else 'training'}: {_where(state, ja)}", f"  {_curve(state, ja, encoding)}"]
    lines.append(f"  {'損失' if ja else 'loss'} {_short(state['loss'])}  PET {_short(state['pet'])}"
                 f"  λ {_short(state['pet_weight'])}  {'学習率' if ja else 'rate'} {_short(state['rate'])}"
                 f"  {'勾配' if ja else 'gradient'} {_short(state['gradient_norm'])}")  # fmt: skip
    return lines + [f"  {line}" for line in (_saved(state, ja), _card(state, ja), _happened(state, ja)) if line]


def training_line(state: Mapping[str, Any], lang: str) -> str:
    """The same in one line, for a log or a pipe."""
    ja = lang == "ja"
    names = (("loss", "損失"), ("pet", "PET"), ("pet_weight", "λ"), ("rate", "学習率"), ("gradient_norm", "勾配"))
    figures = [f"{word if ja else key} {_short(state[key])}" for key, word in names]
    return "  ".join([f"train {_where(state, ja)}", *figures, *filter(None, [_card(state, ja)])])


def _where(state: Mapping[str, Any], ja: bool) -> str:
    steps, left, speed, age = (state[k] for k in ("steps", "seconds_left", "tokens_per_second", "age_seconds"))
    parts = [f"{state['step']:,}" + (f" / {steps:,}" if steps is not None else "") + (" ステップ" if ja else " steps")]
    if speed is not None:
        parts.append(f"{speed:,.0f} tokens/s")
    if left is not None:
        parts.append(f"残り {duration(left)}" if ja else f"{duration(left)} left")
    if age is not None and age > SILENT:
        parts.append(f"{duration(age)} 前から記録なし" if ja else f"silent for {duration(age)}")
    return "  ".join(parts)


def _curve(state: Mapping[str, Any], ja: bool, encoding: str | None) -> str:
    losses = state["losses"]
    if not losses:
        return NONE
    of = f"直近 {state['losses_of_steps']:,} ステップ" if ja else f"last {state['losses_of_steps']:,} steps"
    return f"{_short(losses[0])} {sparkline(losses, encoding)} {_short(losses[-1])}  ({of})"


def _saved(state: Mapping[str, Any], ja: bool) -> str:
    found = state["checkpoint"]
    if found is None:
        return ""
    step, age = ("" if found["step"] is None else f"{found['step']:,}"), duration(found["age_seconds"])
    words = f"チェックポイント {step}({age} 前)" if ja else f"checkpoint {step} ({age} ago)"
    if found["next_seconds"] is None:
        return words
    due = duration(found["next_seconds"])
    return f"{words}  {f'次は {due} 後' if ja else f'next in {due}'}"


def _card(state: Mapping[str, Any], ja: bool) -> str:
    gpu = state["gpu"]
    if gpu is None:
        return ""
    parts = [f"GPU {gpu['temperature']:.0f} ℃"]
    if gpu["utilisation"] is not None:
        parts.append(f"{'使用率' if ja else 'load'} {gpu['utilisation']:.0f} %")
    if gpu["memory_used"] is not None and gpu["memory_total"]:
        used, total = gpu["memory_used"] / 2**30, gpu["memory_total"] / 2**30
        parts.append(f"{'メモリ' if ja else 'memory'} {used:.1f} / {total:.1f} GiB")
    if gpu["watts"] is not None:
        parts.append(f"{gpu['watts']:.0f} W")
    return "  ".join(parts)


def _happened(state: Mapping[str, Any], ja: bool) -> str:
    event = state["event"]
    if event is None:
        return ""
    age = "" if event["age_seconds"] is None else duration(event["age_seconds"])
    if ja:
        return f"最近の出来事{f'({age} 前)' if age else ''}: {event['ja']}"
    return f"last event{f' ({age} ago)' if age else ''}: {event['en']}"


def _short(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}"
