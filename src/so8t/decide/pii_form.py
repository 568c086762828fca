"""What a kind of personal data looks like when a form gives it away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Place = tuple[str, int, int]  # kind, start, end
_REACH = 20  # how far before a number its label is looked for


@dataclass(frozen=True, slots=True)
class Form:
    """A kind and the pattern that finds it: the groups that matched are what is found, without any the whole match.

    needs = lower-case words without one of which the pattern cannot match. unless = what, standing right before, says
    that it is something else.
    """

    kind: str
    pattern: re.Pattern[str]
    needs: tuple[str, ...] = ()
    valid: Callable[[str], bool] | None = None
    unless: re.Pattern[str] | None = None

    def places(self, text: str, start: int, end: int) -> Iterator[Place]:
        """Every finding that begins in text[start:end]; what stands before is seen too."""
        for match in self.pattern.finditer(text, start, end):
            groups = [n for n in range(1, self.pattern.groups + 1) if match.group(n) is not None] or [0]
            if self.unless is not None and self.unless.search(text, max(0, match.start() - _REACH), match.start()):
                continue
            for n in groups:
                if self.valid is None or self.valid(match.group(n)):
                    yield self.kind, match.start(n), match.end(n)


@dataclass(frozen=True, slots=True)
class Family:
    """Forms that need a word each, and one pattern that finds any of those words."""

    forms: tuple[Form, ...]
    gate: re.Pattern[str]

    @classmethod
    def of(cls, *forms: Form) -> Family:
        words = sorted({re.escape(word) for form in forms for word in form.needs})
        return cls(forms, re.compile("|".join(words)))

    def places(self, text: str, lower: str, kinds: frozenset[str] | None) -> Iterator[Place]:
        """`lower` = the lower case of `text`; kinds = these alone, None = all."""
        if self.gate.search(lower):
            for form in self.forms:
                if (kinds is None or form.kind in kinds) and any(word in lower for word in form.needs):
                    yield from form.places(text, 0, len(text))
