"""Events to systemd's journal by its native protocol: a datagram of FIELD=value lines, searchable by SO8T_SEQ."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from so8t.operate.eventlog.event import IDENTIFIER, Event
from so8t.operate.eventlog.syslog_sink import SECONDS, SEVERITIES

SOCKET = "/run/systemd/journal/socket"


class JournaldSink:
    """`place` is the journal's socket."""

    name = "journald"

    def __init__(self, place: str = SOCKET) -> None:
        self.place = place

    def write(self, events: Sequence[Event]) -> None:
        """Raises OSError."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
            made.settimeout(SECONDS)
            made.connect(self.place)
            for event in events:
                made.sendall(datagram(event))

    def close(self) -> None:
        """Nothing is open between two writes."""


def datagram(event: Event) -> bytes:
    """No value holds a newline (event.py), so the plain form of the protocol is enough."""
    fields = {
        "MESSAGE": event.message,
        "PRIORITY": SEVERITIES[event.id],
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "SO8T_EVENT_ID": int(event.id),
        "SO8T_EVENT": event.id.name,
        "SO8T_SEQ": event.seq,
        "SO8T_HEAD": event.head,
        "SO8T_REQUEST": event.request_id,
        "SO8T_FROM": event.first,
        "SO8T_FINDING": event.kind,
    }
    return "".join(f"{name}={value}\n" for name, value in fields.items() if value not in (None, "")).encode("ascii")
