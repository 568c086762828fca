"""Telling systemd that the server listens, or is going to stop: sd_notify(3), one datagram, no library."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

READY, STOPPING = "READY=1", "STOPPING=1"


def notify(word: str, environment: MutableMapping[str, str] = os.environ) -> bool:
    """Whether somebody was told. Nobody is without NOTIFY_SOCKET, which systemd sets for Type=notify."""
    place = environment.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return False
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(1.0)
        made.connect("\0" + place[1:] if place[0] == "@" else place)
        made.sendall(word.encode("ascii"))
        return True
    return False
