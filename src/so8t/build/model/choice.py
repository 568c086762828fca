"""A setting that depends on the device, with the sentence that says why it is what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """`value` is used; `ja` and `en` go into the log."""

    value: T
    ja: str
    en: str
