"""Which profile fits on which card, with what is left to the driver and to fragmentation (SPEC T6).

The reserve is what one H100 showed with torch 2.11 and CUDA 13 (docs/results/training.md): 1.06 to 1.19 GiB beyond what
torch's allocator had reserved, and 3 to 8 % reserved beyond what it had handed out. **Unverified on a 12 GB card**,
where the context is reported to be smaller (pytorch/pytorch issues 107667 and 109888).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from so8t.build.plan.architecture import Architecture, architecture_of
from so8t.build.plan.memory import GIB, memory
from so8t.core.config import Config, load_config, profile_names

CARDS = (12, 24, 48, 80)  # GB by name, GiB in fact
CONTEXT = 1.2 * GIB
FRAGMENTATION = 1.10


@dataclass(frozen=True, slots=True)
class Fit:
    """A profile and the memory a card must have for it, in bytes."""

    profile: str
    needed: float

    def on(self, card: float) -> bool:
        """`card` in GiB."""
        return self.needed <= card * GIB


def needed(peak: float) -> float:
    """What a card must have, in bytes, for a step of this peak."""
    return peak * FRAGMENTATION + CONTEXT


def fit(config: Config, shape: Architecture | None = None) -> Fit:
    return Fit(config.profile, needed(memory(shape or architecture_of(config), config.train, "cuda").peak))


def shipped() -> list[Fit]:
    """The profiles for Phi-4-mini by the size of their card, each with its own model."""
    names = [n for n in profile_names() if re.fullmatch(r"phi4-mini-\d+gb", n)]
    return [fit(load_config(n)) for n in sorted(names, key=_gigabytes)]


def choose(card: float, fits: Iterable[Fit]) -> Fit | None:
    """The largest profile that fits on a card of so many GiB; None when none does."""
    return next((f for f in reversed(list(fits)) if f.on(card)), None)


def _gigabytes(name: str) -> int:
    return int(name.rsplit("-", 1)[1].removesuffix("gb"))
