"""A machine for the host monitor: programs, connections and devices that a test puts there, and its own clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from so8t.operate.monitor.devices import Medium
from so8t.operate.monitor.system import Program, Socket, System

OWN = frozenset({10, 11})
HERE = frozenset({"127.0.0.1", "::1", "10.0.0.5"})


@dataclass
class Machine:
    """`exes`: path of each process, None = not shown to us."""

    open: list[Socket] = field(default_factory=list)
    exes: dict[int, str | None] = field(default_factory=dict)
    programs: dict[int, Program] = field(default_factory=dict)
    devices: set[Medium] | None = field(default_factory=set)
    loose: tuple[str, ...] = ()  # folders anybody may write to
    there: set[str] = field(default_factory=set)  # files that exist
    error: Exception | None = None
    asked: int = 0

    def sockets(self) -> list[Socket]:
        if self.error:
            raise self.error
        return list(self.open)

    def program(self, pid: int) -> Program:
        self.asked += 1
        return self.programs.get(pid, Program())

    def media(self) -> frozenset[Medium] | None:
        return None if self.devices is None else frozenset(self.devices)

    def system(self) -> System:
        return System(
            self.sockets, lambda: list(self.exes), lambda pid: self.exes.get(pid, ""), self.program, OWN.__contains__,
            lambda: HERE, self.media, lambda exe: exe.startswith(self.loose), lambda path: path in self.there,
        )  # fmt: skip

    def runs(self, pid: int, exe: str | None, name: str = "", user: str = "sato", parent: int = 1) -> None:
        self.exes[pid] = exe
        self.programs[pid] = Program(name or (exe or "").rpartition("/")[2][:15], user, parent)
