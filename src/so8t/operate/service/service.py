"""so8t as a service of the system: what every system's own manager is asked to do."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from so8t.core.errors import So8tError

NAME = "so8t"
DISPLAY = "so8t 社内アシスタント / office assistant"
DESCRIPTION = (
    "社内の依頼を判定し、台帳に記録してから答えます。Judges requests, records every verdict, and answers (so8t)."
)
SOURCE = Path(__file__).resolve().parents[3]  # the folder that holds so8t
WAIT_SECONDS = 600  # a large model is long in loading
# Errors that starting again does not mend: configuration, bundle, policy.
KEEP_DOWN = (2, 8, 11)
Condition = Literal["absent", "stopped", "starting", "running", "stopping", "failed"]


@dataclass(frozen=True, slots=True)
class Program:
    """The so8t that the service runs. `packages`: the folder of its installed packages; `base`: its interpreter.

    In a virtual environment `python` is a small program that starts `base`; services of Windows need the latter.
    """

    python: Path
    base: Path
    packages: Path
    source: Path

    @classmethod
    def this(cls) -> Program:
        base = getattr(sys, "_base_executable", "") or sys.executable
        return cls(Path(sys.executable), Path(base), Path(sysconfig.get_path("purelib")), SOURCE)


@dataclass(frozen=True, slots=True)
class State:
    """As the system says. `exit_code`: of its last end, None where none is known; `log`: where to look."""

    condition: Condition
    pid: int = 0
    autostart: bool = False
    account: str = ""
    exit_code: int | None = None
    command: str = ""
    log: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that an installation or removal does; `undo` takes it back if a later one fails."""

    ja: str
    en: str
    do: Callable[[], None]
    undo: Callable[[], None] | None = None


class Service(Protocol):
    """Errors of all: AdministratorNeeded, ServiceAbsent, ServiceThere, ServiceFailed, PlaceUnfit, PackageMissing."""

    def check(self) -> None:
        """Raises if it could not be installed here."""

    def installation(self) -> Sequence[Step]: ...

    def removal(self) -> Sequence[Step]: ...

    def start(self) -> None:
        """Returns when it runs. One that runs already is no error."""

    def stop(self) -> None:
        """Returns when the ledger is closed and the process has ended. One that is stopped is no error."""

    def status(self) -> State: ...


def perform(steps: Sequence[Step], tell: Callable[[Step], None]) -> None:
    """One after the other; when one fails, those before it are taken back in reverse, and its error goes on.

    What cannot be taken back keeps nothing else from being so.
    """
    done: list[Step] = []
    for step in steps:
        try:
            step.do()
        except BaseException:
            for earlier in reversed(done):
                if earlier.undo is not None:
                    with suppress(So8tError, OSError):
                        earlier.undo()
            raise
        done.append(step)
        tell(step)
