"""The table of connections at one moment, with who is who: read once a look, for all that watch the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from so8t.operate.monitor.system import Program, Socket, System

MOST_SUSPECTS = 200  # of one kind in one look: whoever opens ten thousand connections must not hold the watch up


@dataclass(slots=True)
class Table:
    """`here`: this machine's addresses; `own`: our own processes. Each program is asked for once."""

    sockets: tuple[Socket, ...]
    here: frozenset[str]
    own: frozenset[int]
    ask: Callable[[int], Program]
    _known: dict[int, Program] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, system: System) -> Table:
        """Raises psutil.Error, OSError."""
        own, here = system.own(), system.addresses()
        return cls(tuple(system.sockets()), here, own, system.program)

    def program(self, pid: int | None) -> Program:
        """An empty one where the system does not tell."""
        if pid is None:
            return Program()
        if pid not in self._known:
            self._known[pid] = self.ask(pid)
        return self._known[pid]
