"""Times as a Japanese office writes them: Japan Standard Time, whatever the server's own zone is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

from markupsafe import Markup

from so8t.core.errors import RecordInvalid

JST = timezone(timedelta(hours=9), "JST")  # no summer time since 1952, so no table of zones is needed
Moment = datetime | str | float


def jst(value: Moment) -> datetime:
    """A ledger's ISO 8601 text, Unix seconds or a datetime."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif not isinstance(value, datetime):
        value = datetime.fromtimestamp(value, UTC)
    return value.astimezone(JST)


def when(value: Moment | None, lang: str, *, seconds: bool = False) -> Markup:
    """2026年11月26日 18:47, or 2026-11-26 18:47; a dash for none."""
    if value is None:
        return Markup("—")
    moment = jst(value)
    day = f"{moment.year}年{moment.month}月{moment.day}日" if lang == "ja" else f"{moment:%Y-%m-%d}"
    clock = f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"
    return Markup('<time datetime="{}">{} {}</time>').format(moment.isoformat(timespec="seconds"), day, clock)


def day_begins(text: str, where: str, *, after: bool = False) -> datetime | None:
    """The midnight that begins a day given as YYYY-MM-DD (`after`: the next day); None for "". Raises RecordInvalid."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=1 if after else 0)
        return datetime(day.year, day.month, day.day, tzinfo=JST).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RecordInvalid(where=where, detail="YYYY-MM-DD") from None


def length(seconds: float, lang: str) -> str:
    """A span of time in its two largest units."""
    minutes = max(0, round(seconds / 60))
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    words = ("日", "時間", "分") if lang == "ja" else (" d", " h", " min")
    parts = [(days, words[0]), (hours, words[1]), (rest, words[2])]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{n}{unit}" for n, unit in parts[:2])
