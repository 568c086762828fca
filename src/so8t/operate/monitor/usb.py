"""Devices that were not there when the baseline was taken: what can carry data away, or type by itself."""

from __future__ import annotations

from collections.abc import Collection

from so8t.operate.monitor.devices import Medium
from so8t.operate.monitor.finding import Finding, Severity


def new_media(media: Collection[Medium], known: Collection[str]) -> list[Finding]:
    """WARNING for storage, network and keyboards, INFO for any other device."""
    return [
        Finding(
            "medium", Severity.WARNING if medium.what else Severity.INFO, medium.id,
            {"name": medium.name, "what": medium.what},
        )
        for medium in sorted(media, key=lambda m: m.id)
        if medium.id not in known
    ]  # fmt: skip
