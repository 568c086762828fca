"""Events to a syslog daemon: RFC 5424 over the local socket, UDP (RFC 5426) or TCP with octet counting (RFC 6587).

Addresses are literal: no name server is asked. UDP may lose what it carries, and TCP what lay in a connection that
broke; a log on the same machine or journald does not.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from so8t.core.errors import ConfigValueInvalid
from so8t.operate.eventlog.event import IDENTIFIER, Event, EventId

LOCAL = "/dev/log"
SECONDS = 5.0
FACILITY = 13  # log audit
SEVERITIES = {
    EventId.ALLOW: 6, EventId.ESCALATE: 5, EventId.DENY: 4, EventId.ERROR: 3, EventId.GAP: 4, EventId.FINDING: 4,
    EventId.CRITICAL: 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SyslogAddress:
    """`place` is a socket's path, or a literal IP address with `port`."""

    kind: Literal["local", "udp", "tcp"]
    place: str
    port: int = 0


def syslog_address(text: str) -> SyslogAddress:
    """udp://IP:PORT or tcp://IP:PORT, literally; "" = the local socket. Raises ConfigValueInvalid."""
    if not text:
        return SyslogAddress("local", LOCAL)
    with suppress(ValueError):
        parts = urlsplit(text)
        host = str(ipaddress.ip_address(parts.hostname or ""))
        rest = (parts.path, parts.query, parts.fragment, parts.username, parts.password)
        if parts.port and not any(rest):
            if parts.scheme == "udp":
                return SyslogAddress("udp", host, parts.port)
            if parts.scheme == "tcp":
                return SyslogAddress("tcp", host, parts.port)
    raise ConfigValueInvalid(where="serve.ledger.syslog", detail=f"{text!r:.80}: udp://IP:PORT or tcp://IP:PORT")


class SyslogSink:
    """`host` is the name this machine has in its messages."""

    name = "syslog"

    def __init__(self, address: SyslogAddress, host: str = "") -> None:
        self.address = address
        self._host = _printable(host or socket.gethostname(), 255)
        self._socket: socket.socket | None = None

    def write(self, events: Sequence[Event]) -> None:
        """Raises OSError; the next call opens the socket anew."""
        try:
            if self._socket is None or self._hung_up():
                self.close()
                self._socket = self._opened()
            for event in events:
                self._send(self._socket, self.line(event).encode("ascii"))
        except OSError:
            self.close()
            raise

    def line(self, event: Event) -> str:
        """RFC 5424: PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG."""
        priority = FACILITY * 8 + SEVERITIES[event.id]
        return f"<{priority}>1 {event.time} {self._host} {IDENTIFIER} {os.getpid()} {int(event.id)} - {event.message}"

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _opened(self) -> socket.socket:
        place: str | tuple[str, int] = self.address.place
        if self.address.kind == "local":
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        else:
            family = socket.AF_INET6 if ":" in self.address.place else socket.AF_INET
            kind = socket.SOCK_DGRAM if self.address.kind == "udp" else socket.SOCK_STREAM
            made, place = socket.socket(family, kind), (self.address.place, self.address.port)
        try:
            made.settimeout(SECONDS)
            made.connect(place)
        except OSError:
            made.close()
            raise
        return made

    def _send(self, made: socket.socket, line: bytes) -> None:
        made.sendall(b"%d %s" % (len(line), line) if self.address.kind == "tcp" else line)

    def _hung_up(self) -> bool:
        """Whether the other end of a connection is gone: what is sent into it then would vanish without an error."""
        if self.address.kind != "tcp" or self._socket is None:
            return False
        self._socket.setblocking(False)
        try:
            return self._socket.recv(1) == b""
        except BlockingIOError:
            return False
        finally:
            self._socket.settimeout(SECONDS)


def _printable(text: str, longest: int) -> str:
    return "".join(c for c in text if 33 <= ord(c) <= 126)[:longest] or "-"
