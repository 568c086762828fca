"""Which tools an administrator has approved, by the digest of what they say of themselves (a "pin").

A tool that was never seen, or describes itself in other words than those approved, is not used: what a model or a user
would read may have become an order, or the arguments may have come to mean something else ("rug pull").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from so8t.core.errors import RecordInvalid, SourceUnreadable
from so8t.core.files import write_json
from so8t.operate.tools.description import Description

FORMAT = 1
MAXIMUM_BYTES = 8 << 20
State = Literal["approved", "changed", "new"]


@dataclass(frozen=True, slots=True)
class Pin:
    """What was approved, by whom, and when (ISO 8601, UTC)."""

    digest: str
    told: Mapping[str, Any]
    by: str
    at: str


@dataclass(slots=True)
class PinBook:
    """The pins of an office, in one file that is written whole. Read anew each time: it is small, and may be restored
    from a backup while we run."""

    path: Path

    def read(self) -> dict[str, Pin]:
        """By SERVER/TOOL. No file = nothing is approved. Raises SourceUnreadable for one that is no pin file."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MAXIMUM_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SourceUnreadable(where=self.path, detail=type(error).__name__) from error
        try:
            if len(data) > MAXIMUM_BYTES:
                raise ValueError(f"> {MAXIMUM_BYTES} bytes")
            stored = json.loads(data)
            if stored["format"] != FORMAT:
                raise ValueError(f"format {stored['format']!r:.20}")
            pins = {str(id): Pin(**one) for id, one in stored["pins"].items()}
            for id, pin in pins.items():
                if Description(id.partition("/")[0], pin.told).digest != pin.digest:
                    raise ValueError(f"{id}: digest")
            return pins
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SourceUnreadable(where=self.path, detail=f"pins: {str(error)[:200]}") from error

    def state(self, described: Description) -> State:
        pin = self.read().get(described.id)
        if pin is None:
            return "new"
        return "approved" if pin.digest == described.digest else "changed"

    def approve(self, described: Description, digest: str, by: str, at: str) -> Pin:
        """`digest`: of what was read before approving. Raises RecordInvalid when it is no longer that, ToolFailed for
        what can never be used."""
        described.check()
        if described.digest != digest:
            raise RecordInvalid(where="digest", detail=f"{described.id} now describes itself otherwise: read it again")
        pin = Pin(digest, dict(described.told), by, at)
        self._write(self.read() | {described.id: pin})
        return pin

    def revoke(self, id: str) -> bool:
        """Whether there was anything to revoke."""
        pins = self.read()
        if id not in pins:
            return False
        del pins[id]
        self._write(pins)
        return True

    def _write(self, pins: Mapping[str, Pin]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"format": FORMAT, "pins": {id: asdict(pins[id]) for id in sorted(pins)}})
