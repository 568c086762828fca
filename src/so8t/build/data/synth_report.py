"""What the judged samples are worth: shares, contradictions, and how far surface cues alone get (SPEC D6)."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache
from typing import Any

from so8t.build.data.lexicon import load_lexicon
from so8t.core.errors import ValidationFailed
from so8t.core.text import dedup_key, nfkc, ngrams
from so8t.core.types import DECISIONS, Decision, Domain, Sample

SOURCE = "so8t synth"  # of requests composed from the lexicon alone
MAXIMUM_PAIRS = 800  # that the character model is fitted and tried on: enough to show a leak, a few seconds of work
FOLDS = 5
_DIGITS = re.compile(r"\d+")
_DATE = re.compile(r"<n>月(?:<n>日|分)?|<n>日|<n>時")

Model = dict[Decision, tuple[Counter[str], float]]


def report(samples: Iterable[Sample]) -> dict[str, Any]:
    """Figures on the judged samples among `samples`; shares are 0..1.

    Raises ValidationFailed naming the rows when one query at the same levels has two labels, or a family or pair is in
    two splits.
    """
    rows = [s for s in samples if s.decision is not None]
    keys = [dedup_key(s.text) for s in rows]
    _no_contradictions(rows, keys)
    _no_leakage(rows)
    pairs = whole_pairs(rows)
    kinds = {kind: [s for s in pairs if kind_of(s) == kind] for kind in sorted({kind_of(s) for s in pairs})}
    skeletons = {skeleton(s.text) for s in rows}
    return {
        "samples": len(rows),
        "counts": _counts(rows),
        "splits": dict(sorted(Counter(s.split.value for s in rows).items())),
        "families": {split: len({s.family for s in rows if s.split == split}) for split in sorted({*_splits(rows)})},
        "kinds": dict(sorted(Counter(kind_of(s) for s in rows).items())),
        "attacks": dict(sorted(Counter(s.attack or "none" for s in rows).items())),
        "unique_queries": _share(len(set(keys)), len(rows)),
        "unique_skeletons": len(skeletons),
        "contradictions": 0,
        "bayes_ceiling": majority_accuracy(rows, lambda s: dedup_key(s.text)),
        "level_accuracy": majority_accuracy(rows, lambda s: (s.clearance, s.classification)),
        "pair_rows": len(pairs),
        "pair_level_accuracy": majority_accuracy(pairs, lambda s: (s.clearance, s.classification)),
        "pair_ngram_accuracy": ngram_accuracy(pairs),
        "pair_ngram_accuracy_by_kind": {kind: ngram_accuracy(found) for kind, found in kinds.items()},
    }


def skeleton(text: str) -> str:
    """A query with its numbers, dates and interchangeable names masked."""
    return _DATE.sub("<d>", _DIGITS.sub("<n>", _names().sub("<w>", nfkc(text))))


def majority_accuracy(rows: Sequence[Sample], view: Callable[[Sample], Hashable]) -> float:
    """Best accuracy of anyone who sees `view` of a sample only: the majority label of each value."""
    labels: dict[Hashable, Counter[Decision | None]] = defaultdict(Counter)
    for sample in rows:
        labels[view(sample)][sample.decision] += 1
    return _share(sum(max(counts.values()) for counts in labels.values()), len(rows))


def ngram_accuracy(rows: Sequence[Sample]) -> float:
    """Accuracy of naive Bayes on characters 2-3 of the query, blind to the levels (multinomial, add-one).

    Each fifth of the families is judged by a model of the other four, whatever split they are in: one split holds too
    few families for a steady figure.
    """
    folds: list[list[Sample]] = [[] for _ in range(FOLDS)]
    for sample in rows:
        folds[family_fold(sample.family, FOLDS)].append(sample)
    right = 0
    for number, fold in enumerate(folds):
        model = _fit([s for other in folds[:number] + folds[number + 1 :] for s in other])
        right += sum(_guess(model, s.text) is s.decision for s in fold)
    return _share(right, len(rows))


@cache
def _names() -> re.Pattern[str]:
    names = sorted(load_lexicon().names, key=len, reverse=True)  # the longest name first: no name eats part of another
    return re.compile("|".join(map(re.escape, names)))


def _fit(rows: Sequence[Sample]) -> Model:
    """Counts and the logarithm of the denominator of each decision."""
    counts: dict[Decision, Counter[str]] = {decision: Counter() for decision in DECISIONS}
    for sample in rows:
        if sample.decision is not None:
            counts[sample.decision].update(_grams(sample.text))
    vocabulary = len(set().union(*counts.values()))
    return {decision: (seen, math.log(seen.total() + vocabulary + 1)) for decision, seen in counts.items()}


def _guess(model: Model, text: str) -> Decision:
    grams = _grams(text)

    def score(decision: Decision) -> float:
        seen, denominator = model[decision]
        return sum(math.log(seen[g] + 1) for g in grams) - len(grams) * denominator

    return max(DECISIONS, key=score)


def _grams(text: str) -> set[str]:
    plain = dedup_key(text)
    return {*ngrams(plain, 2), *ngrams(plain, 3)}


def whole_pairs(rows: Sequence[Sample], most: int = MAXIMUM_PAIRS) -> list[Sample]:
    """Rows of the pairs that hold every decision, thinned evenly to at most `most` pairs."""
    pairs: dict[str, list[Sample]] = defaultdict(list)
    for sample in rows:
        if sample.pair is not None:
            pairs[sample.pair].append(sample)
    whole = [group for group in pairs.values() if {s.decision for s in group} == set(DECISIONS)]
    return [s for group in whole[:: max(1, math.ceil(len(whole) / most))] for s in group]


def kind_of(sample: Sample) -> str:
    """The kind of scene: the first part of the family's name; "written" for requests written by hand and their like."""
    first, *rest = sample.family.split("/")
    if not rest or sample.source != SOURCE:
        return "written"
    return first if first not in list(Domain) else "story" if rest[0] == "story" else "domain"


def family_fold(family: str, folds: int) -> int:
    """The fold a family is judged in, 0 .. folds - 1."""
    return zlib.crc32(family.encode()) % folds


def _counts(rows: Sequence[Sample]) -> dict[str, dict[str, int]]:
    counts = Counter((s.domain, s.decision) for s in rows)
    return {domain: {d.value: counts[domain, d] for d in DECISIONS} for domain in sorted({s.domain for s in rows})}


def _splits(rows: Sequence[Sample]) -> set[str]:
    return {s.split.value for s in rows}


def _no_contradictions(rows: Sequence[Sample], keys: Sequence[str]) -> None:
    first: dict[Hashable, Sample] = {}
    bad: list[str] = []
    for sample, key in zip(rows, keys, strict=True):
        known = first.setdefault((key, sample.clearance, sample.classification), sample)
        if known.decision is not sample.decision:
            bad.append(f"{known.id} {known.decision} / {sample.id} {sample.decision}")
    _refuse("label contradictions", bad)


def _no_leakage(rows: Sequence[Sample]) -> None:
    first: dict[tuple[str, str], Sample] = {}
    bad: list[str] = []
    for sample in rows:
        for name in {("family", sample.family), ("pair", sample.pair or sample.family)}:
            known = first.setdefault(name, sample)
            if known.split is not sample.split:
                bad.append(f"{name[1]}: {known.id} {known.split} / {sample.id} {sample.split}")
    _refuse("family in two splits", bad)


def _refuse(what: str, bad: Sequence[str]) -> None:
    if bad:
        raise ValidationFailed(where="; ".join(bad[:10]), detail=f"{what}: {len(bad)}")


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
