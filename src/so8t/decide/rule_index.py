"""Which rules may be found in a text, and where: one pass over the text for all rules at once."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ahocorasick_rs import AhoCorasick

from so8t.decide.patterns import Pattern, commonness

_SURROGATE = re.compile("[\ud800-\udfff]")


class RuleIndex:
    """A rule is only found in a text that holds, for each of its regexes, one of the regex's factors.

    `needed` = for each rule the regexes that must all be found.
    """

    __slots__ = ("_always", "_automaton", "_needs", "_rules")

    def __init__(self, needed: Sequence[Sequence[Pattern]]) -> None:
        needs: dict[frozenset[str], int] = {}
        self._always: list[int] = []
        self._rules: dict[int, list[tuple[int, frozenset[int]]]] = {}
        for number, patterns in enumerate(needed):
            rarest, *others = sorted((p.factors for p in patterns), key=commonness)
            if rarest is None:
                self._always.append(number)
                continue
            first, *rest = (needs.setdefault(factors, len(needs)) for factors in (rarest, *filter(None, others)))
            self._rules.setdefault(first, []).append((number, frozenset(rest)))
        by_factor: dict[str, list[int]] = {}
        for factors, need in needs.items():
            for factor in factors:
                by_factor.setdefault(factor, []).append(need)
        self._automaton = AhoCorasick(list(by_factor), store_patterns=False)
        self._needs = list(by_factor.values())

    def places(self, folded: str) -> dict[int, list[int]]:
        """Number of a rule that may be found -> where in the text (patterns.fold) the factors of its rarest regex are.

        [] for a rule that may be anywhere.
        """
        if not folded.isascii() and _SURROGATE.search(folded):
            folded = _SURROGATE.sub("?", folded)
        met: dict[int, list[int]] = {}
        for factor, start, _ in self._automaton.find_matches_as_indexes(folded, overlapping=True):
            for need in self._needs[factor]:
                if need in met:
                    met[need].append(start)
                else:
                    met[need] = [start]
        found: dict[int, list[int]] = {number: [] for number in self._always}
        for first in met.keys() & self._rules.keys():
            for number, rest in self._rules[first]:
                if rest <= met.keys():
                    found[number] = met[first]
        return found
