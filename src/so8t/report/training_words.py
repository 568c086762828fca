"""What happened in a training, in words: events of events.jsonl and the marks they leave on a curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from so8t.report.data_panels import harmless
from so8t.report.figures import Words, number
from so8t.report.reading import plain
from so8t.report.training_log import Record

EVENT_WORDS: dict[str, Words] = {
    "start": Words("学習を始めた", "training began"),
    "resume": Words("チェックポイントから再開した", "resumed from a checkpoint"),
    "checkpoint": Words("チェックポイントを保存した", "checkpoint saved"),
    "rollback": Words("直前のチェックポイントへ巻き戻した", "rolled back to the last checkpoint"),
    "split": Words("メモリに収まるようバッチを分けた", "batch split to fit the memory"),
    "hot": Words("GPU が熱いので休んだ", "paused: the GPU is hot"),
    "cool": Words("GPU が冷えたので続けた", "went on: the GPU is cool"),
    "advice": Words("助言", "advice"),
    "validation": Words("検証用の標本で損失を測った", "loss measured on the validation samples"),
    "stop": Words("止めた", "stopped"),
    "gpu": Words("GPU の状態", "state of the GPU"),
}
WARM = Words("GPU の温度が高い(休むほどではない)", "the GPU is hot, not yet enough to pause")
SIGNS = {"resume": "▷", "rollback": "◁", "split": "÷", "hot": "‖"}
SIGN_WORDS: dict[str, Words] = {
    "resume": Words("▷ 再開", "▷ resumed"),
    "rollback": Words("◁ 巻き戻し(赤い線)", "◁ rolled back (red line)"),
    "split": Words("÷ バッチを分割", "÷ batch split"),
    "hot": Words("‖ 温度で休止", "‖ paused for heat"),
}
WEIGHT_WORDS: dict[str, Words] = {
    "average": Words("平均の重み", "averaged weights"),
    "last": Words("最後の重み", "last weights"),
}
FACT_WORDS: dict[str, Words] = {
    "loss": Words("損失", "loss"),
    "validation_loss": Words("検証損失", "validation loss"),
    "validation_loss_average": Words("平均の重みでは", "averaged weights"),
    "weights": Words("採用は", "taken:"),
    "rate": Words("学習率", "rate"),
    "temperature": Words("温度 ℃", "temperature °C"),
    "pieces": Words("分割数", "pieces"),
    "seconds": Words("秒", "seconds"),
    "steps": Words("全ステップ", "steps in all"),
    "why": Words("理由", "why"),
    "kind": Words("種類", "kind"),
    "diverged": Words("発散した所", "diverged at"),
}
WHY_WORDS: dict[str, Words] = {
    "cool": Words("冷えた", "cool"),
    "stopped": Words("停止の指示", "asked to stop"),
    "unreadable": Words("温度を読めない", "temperature unreadable"),
}
_NOT_FACTS = {"time", "step", "event", "ja", "en", "paused"}


def event_words(event: Record) -> Words:
    """The event's own words in both languages, else those of its name."""
    ja, en = event.get("ja"), event.get("en")
    if isinstance(ja, str) and ja.strip():
        return Words(harmless(ja.strip()), harmless(en.strip()) if isinstance(en, str) else "")
    if isinstance(en, str) and en.strip():
        return Words(harmless(en.strip()))
    name = event.get("event")
    if name == "hot" and not is_pause(event):
        return WARM
    return EVENT_WORDS.get(str(name)) or Words(harmless(name))


def event_facts(event: Record) -> Words:
    """The figures that came with an event: "loss 5.9640, weights average"."""
    known = _NOT_FACTS | ({"steps"} if event.get("steps") == event.get("step") else set())
    facts = [(key, value) for key, value in event.items() if key not in known and value is not None]
    written = [(FACT_WORDS.get(key, Words(harmless(key))), _fact(key, value)) for key, value in facts[:12]]
    return Words(*(", ".join(f"{k.only(lang)} {v.only(lang)}".strip() for k, v in written) for lang in ("ja", "en")))


def _fact(key: str, value: Any) -> Words:
    words = {"weights": WEIGHT_WORDS, "why": WHY_WORDS}.get(key, {}).get(str(value))
    if words is not None:
        return words
    v = number(value)
    return Words(f"{v:.4g}" if v is not None and v != round(v) else harmless(plain(value)))


def told(events: Sequence[Record]) -> Iterator[tuple[Record, int]]:
    """The events that a person reads; checkpoints that follow each other are told once, with how many they were."""
    last: Record | None = None
    count = 0
    for event in events:
        if not isinstance(event, Mapping) or event.get("event") in (None, "gpu"):
            continue
        if event["event"] == "checkpoint":
            last, count = event, count + 1
            continue
        if last is not None:
            yield last, count
        last, count = None, 0
        yield event, 1
    if last is not None:
        yield last, count


def checkpoints_words(count: int) -> Words:
    return Words(
        f"チェックポイントを {count:,} 回保存した(時刻とステップは最後のもの)",
        f"{count:,} checkpoints saved (time and step are those of the last)",
    )


def stamp(event: Record) -> float | None:
    """Seconds since 1970 of an event, or None; a time without a zone is this machine's."""
    try:
        return datetime.fromisoformat(str(event.get("time"))).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def is_pause(event: Record) -> bool:
    """Whether training waits from here on for the GPU to cool; "hot" is also said as a mere warning."""
    return event.get("event") == "hot" and event.get("paused") is not False


def pause_seconds(events: Sequence[Record]) -> float:
    """How long the training waited for the GPU: what "cool" says, else the time from the "hot" before it."""
    total, began = 0.0, None
    for event in events:
        if is_pause(event):
            began = stamp(event)
        elif event.get("event") == "cool":
            told, ended = number(event.get("seconds")), stamp(event)
            if told is None and began is not None and ended is not None:
                told = ended - began
            total, began = total + max(0.0, told or 0.0), None
    return total
