"""Counts of use: from the ledger alone, by Japanese days, each entry once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from console_browser import Browser
from console_server import Server, config, serving
from office_server import SCORES

from so8t.ask.backend import FakeBackend
from so8t.core.errors import BackendDown
from so8t.core.ledger_read import Stored
from so8t.core.types import Decision
from so8t.operate.console.usage import DAYS, Usage, waiting
from so8t.operate.console.usage_plot import NARROW, day_columns
from so8t.operate.review.case import ReviewCase, Status, Vote

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


class Entries:
    """A reader over a list."""

    def __init__(self, *entries: Stored) -> None:
        self.all, self.asked = list(entries), 0

    def entries(self, *, after: int, limit: int, kinds: tuple[str, ...], since: datetime) -> list[Stored]:
        self.asked += 1
        chosen = [e for e in self.all if e.seq > after and e.kind in kinds and datetime.fromisoformat(e.time) >= since]
        return chosen[:limit]


def stored(seq: int, kind: str, time: datetime, decision: str | None = None, **data: Any) -> Stored:
    return Stored(seq, time.isoformat(), kind, decision, None, "a", data, {}, "")


def test_counted_by_japanese_days_and_only_once() -> None:
    late = datetime(2026, 11, 25, 15, 30, tzinfo=UTC)  # already the 26th in Japan
    reader = Entries(
        stored(1, "decision", NOW - timedelta(days=40), "DENY", domain="medical"),
        stored(2, "decision", late, "ALLOW", domain="finance"),
        stored(3, "decision", late - timedelta(hours=1), "DENY", domain="finance"),
        stored(4, "answer", NOW, answer_withheld="個人情報"),
        stored(5, "access", NOW, event="login_refused"), stored(6, "access", NOW, event="session_opened"),
        stored(7, "error", NOW, error="D06"),
    )  # fmt: skip
    usage = Usage(reader, lambda: NOW)  # type: ignore[arg-type]
    for _ in range(2):
        figures = usage.figures()
        assert len(figures.days) == DAYS and figures.days[-1][0].isoformat() == "2026-11-26"
        assert figures.decided("ALLOW") == 1 and figures.days[-2][1].decisions["DENY"] == 1
        assert figures.domains == [("finance", (1, 0, 1))]
        totals = [figures.total(n) for n in ("withheld", "entries_refused", "errors", "failed", "aborted")]
        assert totals == [1, 1, 1, 0, 0]
    reader.all.append(stored(8, "decision", NOW, "ESCALATE", domain="medical", answer_failed="X"))
    assert usage.figures().decided("ESCALATE") == 1 and usage.figures().total("failed") == 1


def test_days_that_are_over_are_forgotten() -> None:
    now = [NOW]
    usage = Usage(Entries(stored(1, "decision", NOW, "DENY", domain="medical")), lambda: now[0])  # type: ignore[arg-type]
    assert usage.figures().decided("DENY") == 1
    now[0] += timedelta(days=DAYS)
    assert usage.figures().decided("DENY") == 0 and usage.figures().domains == []


def case(seq: int, opened: datetime, closed: Status | None = None, after: float = 0.0) -> ReviewCase:
    vote = (Vote(seq + 1, "r", Decision.DENY, (opened + timedelta(seconds=after)).isoformat()),) if after else ()
    return ReviewCase(
        seq, "q", "a", opened.isoformat(), (opened + timedelta(hours=24)).isoformat(), "t", (), False, "社内限定", None,
        None, (), "", 0.5, (), vote, closed,
    )  # fmt: skip


def test_how_long_people_took() -> None:
    cases = [
        case(1, NOW - timedelta(hours=5), Status.DENIED, 600), case(2, NOW - timedelta(hours=3), Status.ALLOWED, 1800),
        case(3, NOW - timedelta(hours=2)), case(4, NOW - timedelta(days=2)),
        case(5, NOW - timedelta(days=60), Status.DENIED, 60),
    ]  # fmt: skip
    told = waiting(cases, NOW)
    assert (told.open, told.oldest, told.decided, told.median, told.longest, told.expired) == (
        1,
        7200,
        2,
        1200,
        1800,
        1,
    )
    nothing = waiting([], NOW)
    assert (nothing.oldest, nothing.median) == (None, None)


def test_the_plot_shows_every_day_and_no_style() -> None:
    usage = Usage(Entries(stored(1, "decision", NOW, "DENY", domain="medical")), lambda: NOW)  # type: ignore[arg-type]
    days = usage.figures().days
    for lang, width, shown in (("ja", 880, days), ("en", NARROW, days[-7:])):
        made = day_columns(shown, lang, width)
        assert "style=" not in made and "11/26" in made and made.count("middle") == len(shown)
    assert "拒否" in day_columns(days, "ja") and "拒否" not in day_columns(days, "en")
    assert "<svg" in day_columns([], "ja")


def test_the_page_counts_what_happened(browse: Callable[..., Any], server: Server) -> None:
    user = browse("sato")
    for query in ("会議の議事録を三行にまとめてください。", "人に聞くべき契約の件です。", "禁じる件です。"):
        user.ask(query)
    browse().login("sato", "ちがうあいことばです")
    auditor = browse("kansa")
    page = auditor.get("/console/monitor").text
    assert page.count("<dd>1</dd>") == 4 and "最も古いもの" in page
    replica = server.running.pool.replicas[0]
    for _ in range(3):
        replica.breaker.failed()
    server.running.gateway.ledger_failure = "L02"
    page = auditor.get("/console/monitor").text
    assert "遮断中" in page and "書けない" in page and "L02" in page
    replica.breaker.succeeded()
    replica.healthy = False
    assert "応答なし" in auditor.get("/console/monitor").text
    replica.backend.error = BackendDown(where="x")  # type: ignore[attr-defined]


def test_notifications_that_failed(browse: Callable[..., Any], server: Server) -> None:
    auditor = browse("kansa")
    assert "引き継ぎの通知" in auditor.get("/console/monitor").text
    server.running.notifier.ways[0].failures = 3
    assert "届かず 3" in auditor.get("/console/monitor").text


def test_event_logs_that_fail(tmp_path: Path) -> None:
    settings = config(tmp_path)
    file = str(tmp_path / "heads.jsonl")
    ledger = dataclasses.replace(settings.ledger, events=("file",), events_file=file)
    settings = dataclasses.replace(settings, ledger=ledger)
    with serving(tmp_path, FakeBackend(SCORES), settings) as server:
        auditor = Browser(server)
        auditor.login("kansa")
        assert "外のイベントログ" in auditor.get("/console/monitor").text
        server.running.events.lanes[0].failing = True
        assert "届かない" in auditor.get("/console/monitor").text
        server.running.events.lanes[0].failing, server.running.events.lanes[0].skipped = False, 7
        assert "抜けあり 7" in auditor.get("/console/monitor").text
        auditor.client.close()
