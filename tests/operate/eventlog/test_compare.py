"""Exported event logs in every form, and what they find that ledger and anchor alone cannot."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core import signing
from so8t.core.errors import SourceEmpty, SourceMissing
from so8t.core.ledger import Ledger
from so8t.core.ledger_read import LedgerReader
from so8t.core.ledger_verify import verify
from so8t.core.sealing import TextKey
from so8t.operate.eventlog import exported
from so8t.operate.eventlog.compare import compare, with_events
from so8t.operate.eventlog.event import Event, EventId
from so8t.operate.eventlog.exported import Head, heads_of
from so8t.operate.eventlog.syslog_sink import SyslogAddress, SyslogSink

TIME = "2026-11-26T09:00:00.000000+00:00"


def event(seq: int, head: str = "") -> Event:
    return Event(EventId.ALLOW, TIME, seq, head or f"{seq:064x}", f"req-{seq}")


def book(folder: Path, texts: TextKey, count: int) -> list[Head]:
    """A ledger with `count` more decisions, closed; the heads of them."""
    key = signing.load_or_create(folder / "ledger.key")
    with Ledger(folder / "ledger.db", key, texts, clock=lambda: datetime(2026, 11, 5, tzinfo=UTC)) as ledger:
        entries = [ledger.append_sync("decision", {"decision": "ALLOW", "n": n}) for n in range(count)]
    return [Head(entry.seq, entry.head) for entry in entries]


# -- reading exports --------------------------------------------------------------------------------------------------


def in_journal(events: list[Event]) -> str:
    return "".join(json.dumps({"MESSAGE": e.message, "SO8T_SEQ": str(e.seq), "_PID": "1"}) + "\n" for e in events)


def in_syslog(events: list[Event]) -> str:
    sink = SyslogSink(SyslogAddress("local", "/none"))
    return "".join(sink.line(e) + "\n" for e in events)


def in_event_viewer(events: list[Event]) -> str:
    """One line, as Event Viewer saves it."""
    space = "http://schemas.microsoft.com/win/2004/08/events/event"
    rows = (
        f"<Event xmlns='{space}'><System><Provider Name='SO8T'/><EventID Qualifiers='0'>{int(e.id)}</EventID></System>"
        f"<EventData><Data>{e.message}</Data></EventData></Event>"
        for e in events
    )
    return f'<?xml version="1.0" encoding="utf-8"?><Events>{"".join(rows)}</Events>'


@pytest.mark.parametrize("form", [in_journal, in_syslog, in_event_viewer])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_form_is_read(form: object, encoding: str, tmp_path: Path) -> None:
    events = [event(seq) for seq in (1, 2, 30)]
    file = tmp_path / "export"
    file.write_text(form(events), encoding=encoding)  # type: ignore[operator]
    assert list(heads_of(file)) == [Head(e.seq or 0, e.head) for e in events]


@given(st.integers(1, 40), st.integers(0, 600))
def test_wherever_the_pieces_end(count: int, filling: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exported, "PIECE", 700)
        events = [event(seq) for seq in range(1, count + 1)]
        text = ("x" * filling + " ").join(["", *(e.message for e in events), ""])
        pieces = [(text[i : i + 700], False) for i in range(0, len(text), 700)]
        patch.setattr(exported, "_pieces", lambda _: iter([*pieces, ("", True)]))
        assert [h.seq for h in heads_of(Path("any"))] == list(range(1, count + 1))


def test_other_lines_are_passed_over_and_a_broken_event_is_named(tmp_path: Path) -> None:
    file = tmp_path / "export"
    file.write_bytes(b"\xff\xfa sshd[1]: hello\n" + event(3).message.encode() + b"\nso8t seq=4 head=12\n")
    assert list(heads_of(file)) == [Head(3, f"{3:064x}"), Head(0, "")]
    file.write_text("nothing of ours")
    with pytest.raises(SourceEmpty):
        list(heads_of(file))
    with pytest.raises(SourceMissing):
        list(heads_of(tmp_path / "none"))


# -- comparing --------------------------------------------------------------------------------------------------------


def test_a_database_rolled_back_together_with_its_anchor_is_found(tmp_path: Path) -> None:
    texts = TextKey.generate()
    first = book(tmp_path, texts, 3)
    old = tmp_path / "old"
    old.mkdir()
    for name in ("ledger.db", "ledger.anchor", "ledger.key"):
        shutil.copy(tmp_path / name, old / name)
    later = book(tmp_path, texts, 2)
    public = signing.load_or_create(tmp_path / "ledger.key").public_key()
    assert compare([*first, *later], LedgerReader(tmp_path / "ledger.db")) == []

    report = verify(old / "ledger.db", None, public)
    assert report.ok  # ledger and anchor alone do not show it
    problems = compare([*first, *later], LedgerReader(old / "ledger.db"))
    assert [(p.seq, p.kind) for p in problems] == [(h.seq, "event_missing") for h in later]

    file = tmp_path / "export"
    file.write_text("\n".join(event(h.seq, h.head).message for h in later))
    told = with_events(report, old / "ledger.db", file)
    assert not told.ok and told.first_bad == later[0].seq and "台帳にありません" in told.problems[0].ja
    assert with_events(verify(tmp_path / "ledger.db", None, public), tmp_path / "ledger.db", file).ok


def test_a_redone_chain_a_contradiction_and_an_unreadable_event_are_found(tmp_path: Path) -> None:
    heads = book(tmp_path, TextKey.generate(), 4)
    reader = LedgerReader(tmp_path / "ledger.db")
    other = Head(heads[1].seq, "0" * 64)
    assert [(p.seq, p.kind) for p in compare([other], reader)] == [(other.seq, "event_head")]
    found = compare([*heads, other, Head(0, "")], reader)
    assert [(p.seq, p.kind) for p in found] == [(1, "event_unreadable"), (other.seq, "event_conflict")]


def test_heads_may_repeat_and_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = book(tmp_path, TextKey.generate(), 9)
    monkeypatch.setattr("so8t.operate.eventlog.compare.MAX_LIMIT", 2)
    assert compare([heads[8], heads[0], heads[8], heads[4]], LedgerReader(tmp_path / "ledger.db")) == []
    assert compare([], LedgerReader(tmp_path / "ledger.db")) == []


def test_a_ledger_that_cannot_be_read_keeps_its_own_findings(tmp_path: Path) -> None:
    file = tmp_path / "export"
    file.write_text(event(3).message)
    (tmp_path / "ledger.db").write_bytes(b"none" * 1000)
    for path in (tmp_path / "ledger.db", tmp_path / "gone.db"):
        report = verify(path)
        assert not report.ok and with_events(report, path, file) == report
