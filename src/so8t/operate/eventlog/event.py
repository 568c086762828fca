"""What an event log is told of a ledger entry (plan E.1): its number, its head, what was decided. Never a text or name.

Every sink writes the same message, of printable ASCII alone, so that one reader (exported.py) finds the heads in
whatever form the log is exported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

from so8t.core.ledger_format import Entry
from so8t.operate.gateway import Recorded

SOURCE = "SO8T"
IDENTIFIER = "so8t"
MAX_REQUEST_ID = 64
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]+")
_CODE = re.compile(r"[A-Z][0-9]{2}")
_KIND = re.compile(r"[a-z_]{1,32}")


class EventId(IntEnum):
    """1001 to 1004 are plan E.1's. Ours: 1005, entries that could not be told one by one; 1006 and 1007, what the host
    monitor found (operate/monitor)."""

    ALLOW = 1001
    ESCALATE = 1002
    DENY = 1003
    ERROR = 1004
    GAP = 1005
    FINDING = 1006
    CRITICAL = 1007


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `seq` None = nothing could be written to the ledger; `first`: of a gap, which ends at `seq`."""

    id: EventId
    time: str
    seq: int | None = None
    head: str = ""
    request_id: str = ""
    code: str = ""
    first: int | None = None
    kind: str = ""

    @classmethod
    def of(cls, recorded: Recorded) -> Self:
        """Of a durable verdict."""
        entry, name = recorded.entry, recorded.verdict.decision.value
        return cls(EventId[name], entry.time, entry.seq, entry.head, plain_id(recorded.request.id))

    @classmethod
    def of_error(cls, code: str, time: str, request_id: str = "", entry: Entry | None = None) -> Self:
        """Of an error; `entry` is its own, where it could be recorded. `code` as core/errors.py has it."""
        known = code if _CODE.fullmatch(code) else "?"
        seq, head = (entry.seq, entry.head) if entry else (None, "")
        return cls(EventId.ERROR, entry.time if entry else time, seq, head, plain_id(request_id), known)

    @classmethod
    def of_finding(cls, kind: str, critical: bool, entry: Entry) -> Self:
        """Of what the host monitor found: its kind, and where in the ledger the rest stands."""
        known = kind if _KIND.fullmatch(kind) else "?"
        return cls(EventId.CRITICAL if critical else EventId.FINDING, entry.time, entry.seq, entry.head, kind=known)

    def fields(self) -> dict[str, Any]:
        """What is known of it, by name."""
        named = {
            "id": int(self.id), "event": self.id.name, "time": self.time, "seq": self.seq, "head": self.head,
            "request": self.request_id, "code": self.code, "from": self.first,
            "kind": self.kind,
        }  # fmt: skip
        return {name: value for name, value in named.items() if value not in (None, "")}

    @property
    def message(self) -> str:
        """One line: so8t seq=12 head=5f3c… id=1001 event=ALLOW time=… request=req-1"""
        fields = self.fields()
        front = [name for name in ("seq", "head") if name in fields]
        order = [*front, *(name for name in fields if name not in front)]
        return " ".join([IDENTIFIER, *(f"{name}={fields[name]}" for name in order)])


def plain_id(request_id: str) -> str:
    """A request's number as a log may hold it: clients choose some, and none may speak in another's name."""
    return request_id if len(request_id) <= MAX_REQUEST_ID and _REQUEST_ID.fullmatch(request_id) else ""
