"""Where a service's files lie, by each system's convention (Filesystem Hierarchy Standard 3.0, XDG, known folders).

The service runs in `data`: paths of so8t.toml that are not absolute begin there. It writes nowhere but there and in
`logs`; all else belongs to the administrators.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from so8t.core.errors import PlaceUnfit
from so8t.operate.eventlog.message_file import NAME as MESSAGE_FILE

# What other accounts cannot look into: homes by their rights, and by ProtectHome= and PrivateTmp= of our unit.
PRIVATE_ON_LINUX = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")


@dataclass(frozen=True, slots=True)
class Places:
    """`units`: systemd's folder; `messages`: the message file of Event Viewer, which every account may read.

    `private`: below these no program of a service may lie. `logs` None = the system's own journal.
    """

    config: Path
    key: Path
    bundle: Path
    data: Path
    private: tuple[Path, ...]
    logs: Path | None = None
    units: Path | None = None
    messages: Path | None = None

    def check_programs(self, programs: Iterable[Path]) -> None:
        """Raises PlaceUnfit for one that lies, or leads, where the service's account may not look."""
        for program in programs:
            for folder in self.private:
                if program.is_relative_to(folder) or program.resolve().is_relative_to(folder):
                    raise PlaceUnfit(where=program, detail=str(folder))


def linux_places() -> Places:
    return Places(
        Path("/etc/so8t/so8t.toml"), Path("/etc/so8t/bundle.key.pub"), Path("/srv/so8t/bundle"), Path("/var/lib/so8t"),
        tuple(map(Path, PRIVATE_ON_LINUX)), units=Path("/etc/systemd/system"),
    )  # fmt: skip


def user_places(environment: Mapping[str, str] = os.environ) -> Places:
    """Of one person's own service: systemctl --user."""
    home = Path(environment.get("HOME") or Path.home())
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    state = Path(environment.get("XDG_STATE_HOME") or home / ".local" / "state") / "so8t"
    own = config / "so8t"
    units = config / "systemd" / "user"
    return Places(own / "so8t.toml", own / "bundle.key.pub", state / "bundle", state, (), units=units)


def windows_places(environment: Mapping[str, str] = os.environ) -> Places:
    root = Path(environment.get("PROGRAMDATA") or r"C:\ProgramData") / "so8t"
    shared = Path(environment.get("PROGRAMFILES") or r"C:\Program Files") / "so8t"
    users = Path(environment.get("PUBLIC") or r"C:\Users\Public").parent
    return Places(
        root / "config" / "so8t.toml", root / "config" / "bundle.key.pub", root / "bundle", root / "data", (users,),
        logs=root / "logs", messages=shared / MESSAGE_FILE,
    )  # fmt: skip
