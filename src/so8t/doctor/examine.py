"""Will it work here? Everything that can be known without starting anything (SPEC O13). Loads no torch."""

from __future__ import annotations

from pathlib import Path

from so8t.core.config import Config
from so8t.doctor.base_model import examine_base
from so8t.doctor.card import find_cards
from so8t.doctor.finding import Finding
from so8t.doctor.gpu import examine_gpu
from so8t.doctor.machine import examine_memory, examine_ports
from so8t.doctor.packages import examine_packages
from so8t.doctor.storage import examine_storage


def examine(config: Config, runs: Path) -> list[Finding]:
    """Every finding, the good ones too."""
    cards = find_cards()
    return [
        *examine_packages(),
        *examine_gpu(config, cards),
        *examine_base(config),
        *examine_storage(config, runs),
        examine_memory(config, "cuda" if cards.cards else "cpu"),
        *examine_ports(),
    ]
