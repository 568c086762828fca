"""Japan's time, in words of a Japanese office."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from so8t.core.errors import RecordInvalid
from so8t.operate.console.moments import JST, day_begins, jst, length, when


def test_a_ledgers_time_is_shown_in_japan() -> None:
    time = "2026-11-26T15:30:05.000000+00:00"
    assert ">2026年11月27日 00:30<" in when(time, "ja") and ">2026-11-27 00:30:05<" in when(time, "en", seconds=True)
    assert jst(0.0).isoformat() == "1970-01-01T09:00:00+09:00" and when(None, "ja") == "—"


def test_days_begin_at_midnight_in_japan() -> None:
    begin = day_begins("2026-11-26", "since")
    assert begin == datetime(2026, 11, 25, 15, tzinfo=UTC) and begin.tzinfo is UTC
    assert day_begins("2026-12-31", "until", after=True) == datetime(2027, 1, 1, tzinfo=JST)
    assert day_begins("", "since") is None
    for bad in ("26/11/2026", "9999-12-31", "2026-02-30", "x"):
        with pytest.raises(RecordInvalid):
            day_begins(bad, "until", after=True)


@pytest.mark.parametrize(("seconds", "ja", "en"), [
    (-5, "0分", "0 min"), (59 * 60, "59分", "59 min"), (86_400 + 7_260, "1日 2時間", "1 d 2 h"),
    (7_260, "2時間 1分", "2 h 1 min"),
])  # fmt: skip
def test_spans(seconds: float, ja: str, en: str) -> None:
    assert (length(seconds, "ja"), length(seconds, "en")) == (ja, en)
