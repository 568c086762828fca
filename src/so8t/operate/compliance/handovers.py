"""What was handed to people: how long they took, who had to agree, and what that says of needless refusals."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable
from datetime import datetime

from so8t.core.ledger_read import Stored
from so8t.core.types import Decision
from so8t.operate.compliance.figures import Figure, Section, counted
from so8t.operate.review.case import ReviewCase, Status, after, opened
from so8t.report.figures import Words


class Handovers:
    """Cases as the entries tell them; earlier() takes those before the period. `end`: the moment it ended, ISO 8601."""

    def __init__(self, first: int, end: str) -> None:
        self._first, self._end = first, datetime.fromisoformat(end)
        self._cases: dict[int, ReviewCase] = {}
        self._denied: list[int] = []
        self._assigned: list[int] = []

    def earlier(self, entries: Iterable[Stored]) -> None:
        """Hand-overs and reviews before the period, in order."""
        for entry in entries:
            self._follow(entry)

    def take(self, entry: Stored) -> None:
        self._follow(entry)
        if entry.kind == "decision" and entry.decision == Decision.DENY:
            self._denied.append(entry.seq)
        elif entry.kind == "review" and entry.data.get("event") == "assigned":
            self._assigned.append(entry.seq)

    def _follow(self, entry: Stored) -> None:
        if entry.kind == "decision" and entry.decision == Decision.ESCALATE:
            self._cases[entry.seq] = opened(entry)
        elif entry.kind == "review" and (case := self._cases.get(entry.data.get("case", 0))) is not None:
            self._cases[case.seq] = after(case, entry)

    def sections(self) -> tuple[Section, ...]:
        return (self._handed(), self._times(), self._doubts())

    def _closed(self, *states: Status) -> list[ReviewCase]:
        """Those that came to one of these states in the period, in the order of that."""
        found = [c for c in self._cases.values() if c.closed in states and (c.closed_seq or 0) >= self._first]
        return sorted(found, key=lambda case: case.closed_seq or 0)

    def _handed(self) -> Section:
        new = [case for case in self._cases.values() if case.seq >= self._first]
        still = [case for case in self._cases.values() if case.closed is None]
        late = [case for case in still if case.status(self._end) == Status.EXPIRED]
        four = [c for c in self._closed(Status.ALLOWED) if c.four_eyes]
        figures = (
            _cases("handed.opened", Words("人に回した依頼", "Handed over"), new),
            _ends("handed.allowed", Words("人が許可した", "Allowed by a person"), self._closed(Status.ALLOWED)),
            _ends("handed.denied", Words("人が拒んだ", "Refused by a person"), self._closed(Status.DENIED)),
            _ends("handed.expired", Words("期限が過ぎて拒否", "Refused by deadline"), self._closed(Status.EXPIRED)),
            counted("handed.assigned", Words("担当の変更", "Reassigned"), self._assigned),
            _cases(
                "handed.four-eyes", Words("二人の承認が要るもの", "Needing two people"), [c for c in new if c.four_eyes]
            ),
            _votes("handed.four-eyes-allowed", Words("二人が許可したもの", "Allowed by two people"), four),
            _cases("handed.open", Words("期間の終わりに未決", "Open at the end of the period"), still),
            _cases("handed.late", Words("うち期限を過ぎたもの", "of these, past their deadline"), late),
        )
        about = Words(
            "許可・拒否・期限切れは、この期間に決まったものです。期間より前に回したものを含みます。",
            "Allowed, refused and expired are those settled in this period, also if handed over before it.",
        )
        return Section("handovers", Words("人への引き継ぎ", "Hand-overs to people"), about, figures)

    def _times(self) -> Section:
        decided = self._closed(Status.ALLOWED, Status.DENIED)
        took = [_seconds(case.time, case.votes[-1].time) for case in decided]
        seqs = tuple(sorted({seq for c in decided for seq in (c.seq, c.votes[-1].seq)}))
        figures = (
            Figure("times.median", Words("中央値", "Median"), statistics.median(took) if took else None, seqs,
                   "seconds"),
            Figure("times.longest", Words("最長", "Longest"), max(took, default=None), seqs, "seconds"),
        )  # fmt: skip
        about = Words("人に回してから人が決めるまで。", "From the hand-over to the decision by a person.")
        return Section("times", Words("決裁までの時間", "Time to decision"), about, figures)

    def _doubts(self) -> Section:
        figures = (
            _ends(
                "doubts.handed-then-allowed",
                Words("人に回し、人が許可した(回さなくてよかったかもしれない)",
                      "Handed over, then allowed (perhaps needless)"),
                self._closed(Status.ALLOWED),
            ),
            _ends(
                "doubts.expired",
                Words("だれも見ないまま拒否になった", "Refused without anybody having looked"),
                [case for case in self._closed(Status.EXPIRED) if not case.votes],
            ),
            counted(
                "doubts.denied-unseen",
                Words("so8t が拒み、人は見ていない", "Refused by so8t, seen by nobody"),
                self._denied,
            ),
        )  # fmt: skip
        about = Words(
            "誤って拒んだ・誤って人に回した数は、人の決裁が示す範囲でしか分かりません。so8t が直ちに拒んだ依頼は人が"
            "見ていないので、そのうち何件が誤りかを台帳は示しません。拒否や引き継ぎが多いことは成績ではありません。",
            "False alarms show only as far as people's decisions do. Nobody has seen what so8t refused at once, so the "
            "ledger does not show how many of those were wrong. Many refusals or hand-overs are no merit.",
        )
        return Section("doubts", Words("過剰な慎重さの手がかり", "Signs of over-caution"), about, figures)


def _cases(key: str, label: Words, cases: Iterable[ReviewCase]) -> Figure:
    """Counted by the entries that opened them."""
    return counted(key, label, sorted(case.seq for case in cases))


def _ends(key: str, label: Words, cases: Iterable[ReviewCase]) -> Figure:
    """Counted by the entries that closed them."""
    return counted(key, label, sorted(case.closed_seq or 0 for case in cases))


def _votes(key: str, label: Words, cases: list[ReviewCase]) -> Figure:
    """Counted by cases, with every vote that led there."""
    seqs = tuple(sorted(vote.seq for case in cases for vote in case.votes))
    return dataclasses.replace(counted(key, label, seqs), value=len(cases))


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
