"""Told once and then counted; floods cut off and counted; quiet hours; a share of the processor; words for all."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import ConfigValueInvalid
from so8t.core.types import canonical_json
from so8t.operate.monitor import alarm as alarm_module
from so8t.operate.monitor.alarm import HOUR, MOST_OF_A_KIND, Alarm, Notice, QuietHours
from so8t.operate.monitor.finding import KINDS, MOST_NAME, MOST_PATH, Finding, Severity, said, said_path
from so8t.operate.monitor.turn import LONGEST_PAUSE, Turn


def finding(subject: str = "a", kind: str = "egress", severity: Severity = Severity.WARNING) -> Finding:
    return Finding(kind, severity, subject, {"process": "curl"})


def events(notices: list[Notice]) -> list[tuple[str, str, int]]:
    return [(notice.event, notice.finding.subject, notice.count) for notice in notices]


def test_once_then_counted_then_forgotten() -> None:
    alarm = Alarm(100)
    assert events(alarm.take([finding()], 0)) == [("found", "a", 1)]
    for second in range(1, 100):
        assert alarm.take([finding()], second) == []
    assert events(alarm.take([finding()], 100)) == [("again", "a", 99)]
    assert events(alarm.take([], 299)) == []
    assert events(alarm.take([], 300)) == [("again", "a", 1)]  # the one that came with the last summary
    assert alarm.take([], 700) == [] and alarm.remembered == 0
    assert events(alarm.take([finding()], 701)) == [("found", "a", 1)]


def test_what_goes_on_is_told_ever_more_rarely() -> None:
    alarm, told = Alarm(HOUR), []
    for step in range(0, 10 * 24 * 60, 5):  # ten days, every five minutes
        told += [n for n in alarm.take([finding()], step * 60.0) if n.event == "again"]
    assert 9 <= len(told) <= 14 and sum(n.count for n in told) > 2500


def test_no_setting_makes_every_look_an_entry() -> None:
    alarm = Alarm(0)
    assert sum(len(alarm.take([finding()], step * 5.0)) for step in range(720)) < 12


def test_more_serious_is_new() -> None:
    alarm = Alarm()
    alarm.take([finding(severity=Severity.INFO)], 0)
    assert events(alarm.take([finding(severity=Severity.CRITICAL)], 1)) == [("found", "a", 1)]
    assert alarm.take([finding(severity=Severity.WARNING)], 2) == []


def test_a_flood_is_cut_off_and_counted_and_hides_no_other_kind() -> None:
    alarm = Alarm()
    notices = alarm.take([finding(str(n)) for n in range(1000)], 0)
    assert len(notices) == MOST_OF_A_KIND + 1
    assert notices[-1].finding.kind == "flood" and notices[-1].finding.severity is Severity.CRITICAL
    assert events(alarm.take([finding("x", "program_memory", Severity.CRITICAL)], 1)) == [("found", "x", 1)]
    (after,) = [n for n in alarm.take([], HOUR) if n.event == "suppressed"]
    assert after.count == 1000 - MOST_OF_A_KIND and after.finding.facts["worst"] == "warning"
    assert events(alarm.take([finding("later")], HOUR + 1)) == [("found", "later", 1)]


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(["egress", "listener", "shell"]), st.integers(0, 900)),
        max_size=200,
    )
)
def test_nothing_is_lost_and_little_is_said(steps: list[tuple[int, str, int]]) -> None:
    """Every finding is in exactly one count, and an hour has at most so many notices."""
    alarm, now, notices = Alarm(HOUR), 0.0, list[tuple[float, Notice]]()
    for subject, kind, pause in steps:
        now += pause
        notices += [(now, n) for n in alarm.take([finding(str(subject), kind)], now)]
    for _ in range(40):
        now += 24 * HOUR
        notices += [(now, n) for n in alarm.take([], now)]
    counted = sum(n.count for _, n in notices if n.event != "found" or n.finding.kind != "flood")
    assert counted == len(steps) and alarm.remembered == 0
    for at, _ in notices:
        new = [n for t, n in notices if at <= t < at + HOUR and n.event == "found"]
        assert len(new) <= 2 * 3 * (MOST_OF_A_KIND + 1)  # two of our hours may meet in it


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_module, "MOST_REMEMBERED", 10)
    monkeypatch.setattr(alarm_module, "MOST_OF_A_KIND", 100)
    alarm = Alarm()
    alarm.take([finding("0"), finding("0")], 0)
    notices = alarm.take([finding(str(n)) for n in range(1, 50)], 1)
    assert alarm.remembered == 10 and ("again", "0", 1) in events(notices)


# -- quiet hours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "utc", "quiet"),
    [
        (("22:00", "06:00"), "13:00", True), (("22:00", "06:00"), "20:59", True), (("22:00", "06:00"), "21:00", False),
        (("22:00", "06:00"), "12:59", False), (("12:00", "13:00"), "03:30", True), (("12:00", "13:00"), "04:00", False),
        ((), "13:00", False),
    ],
)  # fmt: skip
def test_quiet_hours_are_those_of_japan(hours: tuple[str, ...], utc: str, quiet: bool) -> None:
    moment = datetime.fromisoformat(f"2026-11-26T{utc}:00+00:00")
    assert QuietHours.of(hours).hold(moment) is quiet
    assert QuietHours.of(hours).hold(moment.astimezone(UTC) + timedelta(days=1)) is quiet


@pytest.mark.parametrize(
    "hours", [("22:00",), ("22:00", "22:00"), ("x", "y"), ("25:00", "06:00"), ("1", "2", "3"), ("01:00+09:00", "02:00")]
)
def test_quiet_hours_that_are_none(hours: tuple[str, ...]) -> None:
    with pytest.raises(ConfigValueInvalid, match="quiet_hours"):
        QuietHours.of(hours)


# -- a share of the processor ----------------------------------------------------------------------------------------


def turn(cost: float, error: Exception | None = None) -> Turn:
    """A watcher whose look takes `cost` seconds of CPU."""
    used = iter([0.0, cost] * 1000)

    def watch() -> list[Finding]:
        if error:
            raise error
        return []

    return Turn("network", watch, 5.0, 0.004, lambda: next(used))


@given(st.floats(0, 0.2))
def test_no_watcher_uses_more_than_its_share(cost: float) -> None:
    made, now = turn(cost), 0.0
    for _ in range(50):
        assert made.look(now) == []
        assert made.due >= now + 5
        now = made.due
    assert made.cpu / now <= 0.004 + 1e-9 and made.looks == 50


def test_one_that_costs_too_much_looks_all_the_same_and_says_so() -> None:
    made = turn(2.0)
    assert made.look(0) == [] and made.due == LONGEST_PAUSE  # once may be the garbage collection's
    (found,) = made.look(made.due)
    assert made.due == 2 * LONGEST_PAUSE and found.kind == "blind" and found.facts["milliseconds"] == 2000


def test_dear_looks_with_cheap_ones_between_are_no_news() -> None:
    made, now = turn(0.0), 0.0
    used = iter(float(n % 4 == 1) * 2 for n in range(200))  # begin and end of each look: every other one costs 2 s
    made.cpu_time = lambda: next(used)
    for _ in range(100):
        assert made.look(now) == []
        now = made.due


@pytest.mark.parametrize("error", [psutil.AccessDenied(), OSError("no /proc")])
def test_a_look_that_saw_nothing_says_so(error: Exception) -> None:
    made = turn(0.0, error)
    (found,) = made.look(0)
    assert found.kind == "blind" and found.subject == "network" and made.problem == type(error).__name__
    made.watch = list
    assert made.look(10) == [] and made.problem == ""


def test_a_mistake_of_ours_blinds_one_watcher_alone(caplog: pytest.LogCaptureFixture) -> None:
    (found,) = turn(0.0, KeyError("x")).look(0)
    assert found.kind == "blind" and "KeyError" in caplog.text


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_words_in_two_languages(kind: str) -> None:
    meaning = KINDS[kind]
    for words in (meaning.what, meaning.next):
        assert re.search("[ぁ-ん]", words.ja) and words.en.isascii()
    made = Finding(kind, Severity.INFO, "s", {"n": 1, "many": ("a", "b"), "none": None, "no": False, "empty": ""})
    assert made.line("ja").startswith("[参考] ") and "n=1" in made.line("en") and "empty" not in made.line("en")


def test_words_in_two_languages_are_told_in_the_readers_own() -> None:
    made = Finding(
        "file_rule", Severity.WARNING, "a.js", {"rules": ("x:y",), "ja": "採掘の行き先", "en": "mining pool"}
    )
    assert made.line("ja").endswith("(rules=x:y, 採掘の行き先)") and made.line("en").endswith(
        "(rules=x:y, mining pool)"
    )


def test_a_kind_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Finding("nonsense", Severity.INFO, "s")


@given(st.text(st.characters(), max_size=500))
def test_names_fit_ledger_and_terminal(text: str) -> None:
    for made, longest in ((said(text), MOST_NAME), (said_path(text), MOST_PATH)):
        assert len(made) <= longest and made.isprintable()
        canonical_json({"x": made}).encode()


def test_a_path_keeps_its_end() -> None:
    assert said_path("/a" * 400 + "/end.exe").endswith("/end.exe") and said("\ud800\x1b[31m") == "??[31m"
