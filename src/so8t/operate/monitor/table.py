"""The table of connections at one moment, with who is who: read once a look, for all that watch the network."""

from __future__ import annotations

from dataclasses import dataclass, field

from so8t.operate.monitor.system import Program, Socket, System

MOST_SUSPECTS = 200  # of one kind in one look: whoever opens ten thousand connections must not hold the watch up


@dataclass(slots=True)
class Table:
    """`here`: this machine's addresses. Each program is asked for once."""

    sockets: tuple[Socket, ...]
    here: frozenset[str]
    system: System
    _known: dict[int, Program] = field(default_factory=dict, repr=False)
    _own: dict[int, bool] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, system: System) -> Table:
        """Raises psutil.Error, OSError."""
        here = system.addresses()
        return cls(tuple(system.sockets()), here, system)

    def own(self, pid: int | None) -> bool:
        """Whether it is our own process, or one that we started."""
        if pid is None:
            return False
        if pid not in self._own:
            self._own[pid] = self.system.own(pid)
        return self._own[pid]

    def program(self, pid: int | None) -> Program:
        """An empty one where the system does not tell."""
        if pid is None:
            return Program()
        if pid not in self._known:
            self._known[pid] = self.system.program(pid)
        return self._known[pid]
