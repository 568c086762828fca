"""The port is taken before anything else is started, so that nobody waits for a model to hear that it is not free."""

from __future__ import annotations

import errno
import os
import socket

from so8t.core.errors import ConfigValueInvalid, PortTaken


def bound(address: str, port: int) -> socket.socket:
    """A TCP socket that nobody can connect to before it listens. Raises PortTaken, ConfigValueInvalid."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        if os.name == "posix":  # elsewhere it would let two programs have the port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(where=f"serve.port = {port}", detail=address) from None
        where = "serve.port" if error.errno == errno.EACCES else "serve.address"
        raise ConfigValueInvalid(where=where, detail=f"{address} {port}: {error.strerror}") from None
    return made
