"""What was found in order: the product's own files, the ports that listen, the devices. One JSON file beside the
ledger, which holds the digest of every baseline there ever was.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from so8t.core.errors import RecordInvalid
from so8t.core.files import parse_json_line, write_text
from so8t.core.types import canonical_json

FORMAT = 1
MOST_BYTES = 8 << 20
MOST_NAMES = 20_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """`package`: POSIX path below so8t -> SHA-256; `listeners`: keys of listeners.py; `media`: ids of system.py."""

    taken: str
    version: str
    package: dict[str, str] = field(default_factory=dict)
    listeners: tuple[str, ...] = ()
    media: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return hashlib.sha256(canonical_json(self.to_json()).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "taken": self.taken, "version": self.version, "package": dict(self.package),
            "listeners": list(self.listeners), "media": list(self.media),
        }  # fmt: skip

    def write(self, path: Path) -> None:
        """Raises OSError, DiskFull."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(self.to_json(), ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def read_baseline(path: Path) -> Baseline | None:
    """None where there is none yet. Raises RecordInvalid for anything that is none, OSError."""
    try:
        with path.open("rb") as f:
            raw = f.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(raw) > MOST_BYTES:
        raise RecordInvalid(where=path, detail=f"> {MOST_BYTES} bytes")
    try:
        told = parse_json_line(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise RecordInvalid(where=path, detail="UTF-8") from error
    if told.get("format") != FORMAT:
        raise RecordInvalid(where=path, detail="format")
    package = told.get("package")
    if not isinstance(package, dict) or not _are_texts([*package, *package.values()]):
        raise RecordInvalid(where=path, detail="package")
    lists = [told.get("listeners"), told.get("media")]
    if not all(isinstance(one, list) and _are_texts(one) for one in lists):
        raise RecordInvalid(where=path, detail="listeners, media")
    listeners, media = (tuple(one or ()) for one in lists)
    return Baseline(str(told.get("taken")), str(told.get("version")), package, listeners, media)


def taken_now(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _are_texts(values: list[Any]) -> bool:
    return len(values) <= 2 * MOST_NAMES and all(isinstance(value, str) for value in values)
