"""Are like requests judged alike (plan 7.3 "consistency score", 9.4; SPEC P4)? Over a log, and over paraphrases.

Over a log two requests are like when their character 3-grams have a Jaccard index of SIMILAR or more and the same two
levels are involved: the plan asks the same decision for the same risk, and other levels are another risk. What bounds
an answer that is always the same: `by_chance`, the agreement of any two requests of the log, and, where labels are
known, `told_apart`, the share of near-identical requests with different labels that were judged differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so8t.core.types import DECISIONS, Decision
from so8t.decide.pii import mask
from so8t.prove.similar_pairs import Floats, Numbers, Pairs, connected_groups, similar_pairs

PLAN_TARGET = 0.8
# Measured on the written requests: from 0.3 on, every pair of different requests was about the same matter.
SIMILAR = 0.4
BANDS = (SIMILAR, 0.6, 0.8, 1.0)  # least likeness of each band; the last is the same words
WORST = 20  # disagreeing pairs listed
EXCERPT = 200  # characters of a listed text
DRAW_BLOCK = 50
Advance = Callable[[], None]
Figure = dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Record:
    """One judged request in the order of time. `setting` = what else a decision depends on: clearance, classification.

    `version` = policy and model that judged; `label`, `group`, `pair` only where it is an evaluation sample's.
    """

    id: str
    text: str
    decision: Decision
    confidence: float | None = None
    setting: tuple[str, str] = ("", "")
    version: str = ""
    label: Decision | None = None
    group: str = ""
    pair: str = ""


@dataclass(frozen=True, slots=True)
class _Node:
    """Requests of the same words, levels, label, version and half of the log: how often each decision was taken."""

    text: str
    label: int
    version: str
    late: bool
    counts: NDArray[np.float64]  # [3]
    first: tuple[Record | None, ...]  # the surest record of each decision


def consistency(
    records: Sequence[Record],
    draws: int = 1000,
    *,
    least: float = SIMILAR,
    seed: int = 8,
    advance: Advance | None = None,
) -> dict[str, Any]:
    """`score` = share of like pairs with the same decision (the plan's formula); `weighted` = the same with every
    request counting once and its like ones by their likeness, so that one much-asked question decides nothing.

    Intervals are bootstrapped over groups of connected requests. `advance` is called once a distinct request.
    """
    nodes, settings = _nodes(records)
    pairs = _pairs(nodes, settings, least, advance or (lambda: None))
    table = _Table.of(nodes, pairs)
    kept = table.comparable
    result: dict[str, Any] = {
        "n": len(records),
        "distinct": len(nodes),
        "similar_from": least,
        "groups": len(np.unique(table.group[kept & (table.total > 0)])),
        "capped": pairs.capped,
        "score": table.figure(kept, draws, seed),
        "weighted": _weighted(nodes, pairs, draws, seed),
        "by_chance": _by_chance(records),
        "bands": _bands(table, draws, seed, least),
        "over_time": {
            name: table.figure(kept & chosen, draws, seed)
            for name, chosen in (("early", table.late == 0), ("across", table.late == 1), ("late", table.late == 2))
        },
        "same_version": table.figure(kept & table.same_version, draws, seed),
        "other_version": table.figure(kept & ~table.same_version, draws, seed),
        "told_apart": table.figure(~kept, draws, seed, differing=True),
        "worst": worst_pairs(nodes, pairs),
        "target": PLAN_TARGET,
    }
    return result | {"passed": _passed(result["score"])}


def _passed(figure: Figure) -> bool | None:
    """None where nothing could be measured."""
    value = figure["value"]
    return None if value is None else value > PLAN_TARGET


def _nodes(records: Sequence[Record]) -> tuple[list[_Node], list[tuple[str, str]]]:
    """Distinct requests and their settings: repetitions are counted, not compared one by one."""
    members: dict[tuple[Any, ...], list[Record]] = {}
    for number, record in enumerate(records):
        late = 2 * number >= len(records)
        members.setdefault((record.text, record.setting, record.label, record.version, late), []).append(record)
    return [_node(key, rows) for key, rows in members.items()], [key[1] for key in members]


def _node(key: tuple[Any, ...], rows: Sequence[Record]) -> _Node:
    text, _, label, version, late = key
    of = [[r for r in rows if r.decision is d] for d in DECISIONS]
    first = tuple(max(found, key=lambda r: r.confidence or 0.0, default=None) for found in of)
    counts = np.array([len(found) for found in of], dtype=np.float64)
    return _Node(text, -1 if label is None else label.severity, version, late, counts, first)


def _pairs(nodes: Sequence[_Node], settings: Sequence[tuple[str, str]], least: float, advance: Advance) -> Pairs:
    """Like pairs of nodes within each setting."""
    rows: dict[tuple[str, str], list[int]] = {}
    for number, setting in enumerate(settings):
        rows.setdefault(setting, []).append(number)
    parts = []
    for members in rows.values():
        place = np.array(members)
        found = similar_pairs([nodes[i].text for i in members], least, advance)
        parts.append(Pairs(place[found.left], place[found.right], found.likeness, found.capped))
    if not parts:
        return similar_pairs([], least)
    left, right, likeness = (np.concatenate([getattr(p, k) for p in parts]) for k in ("left", "right", "likeness"))
    return Pairs(left, right, likeness, sum(p.capped for p in parts))


@dataclass(frozen=True, slots=True)
class _Table:
    """Pairs of nodes, then every node with itself, in columns: how many pairs of requests, and how many agree."""

    same: Floats
    total: Floats
    likeness: Floats
    group: Numbers
    comparable: NDArray[np.bool_]  # not known to have different labels
    late: Numbers  # how many of the two lie in the later half
    same_version: NDArray[np.bool_]

    @classmethod
    def of(cls, nodes: Sequence[_Node], pairs: Pairs) -> _Table:
        counts = np.array([n.counts for n in nodes]).reshape(-1, 3)
        label, late = np.array([n.label for n in nodes], int), np.array([n.late for n in nodes], int)
        versions: dict[str, int] = {}
        version = np.array([versions.setdefault(n.version, len(versions)) for n in nodes], int)
        every, size = np.arange(len(nodes)), counts.sum(1)
        left, right = np.concatenate([pairs.left, every]), np.concatenate([pairs.right, every])
        own = np.arange(len(left)) >= len(pairs)
        same = (counts[left] * counts[right]).sum(1)
        total = size[left] * size[right]
        return cls(
            same=np.where(own, (same - size[left]) / 2, same),  # n (n - 1) / 2 pairs among n equal ones
            total=np.where(own, (total - size[left]) / 2, total),
            likeness=np.concatenate([pairs.likeness, np.ones(len(nodes))]),
            group=connected_groups(len(nodes), pairs)[left],
            comparable=(label[left] == label[right]) | (label[left] < 0) | (label[right] < 0),
            late=late[left] + late[right],
            same_version=version[left] == version[right],
        )

    def figure(self, chosen: NDArray[np.bool_], draws: int, seed: int, *, differing: bool = False) -> Figure:
        """Share of the chosen pairs that agree (or differ), n = how many pairs."""
        part = self.total - self.same if differing else self.same
        return share(part[chosen], self.total[chosen], self.group[chosen], draws, seed)


def share(part: Floats, whole: Floats, group: Numbers, draws: int, seed: int) -> Figure:
    """sum(part) / sum(whole) with a 95 % interval bootstrapped over groups; no interval for fewer than two of them."""
    total = float(whole.sum())
    if total <= 0:
        return {"value": None, "low": None, "high": None, "n": 0}
    names, number = np.unique(group[whole > 0], return_inverse=True)
    sums = np.stack([np.bincount(number, v[whole > 0], len(names)) for v in (part, whole)], axis=1)
    figure: Figure = {"value": round(float(part.sum()) / total, 6), "low": None, "high": None, "n": round(total)}
    if len(names) > 1:
        low, high = np.quantile(_resampled(sums, draws, seed), [0.025, 0.975])
        figure |= {"low": round(float(low), 6), "high": round(float(high), 6)}
    return figure


def _resampled(sums: NDArray[Any], draws: int, seed: int) -> Floats:
    """[draws] the share in groups drawn with replacement, in blocks so that memory stays bounded."""
    generator, n = np.random.default_rng(seed), len(sums)
    found = []
    for begin in range(0, draws, DRAW_BLOCK):
        weights = generator.multinomial(n, np.full(n, 1 / n), size=min(DRAW_BLOCK, draws - begin))
        drawn = weights @ sums
        found.append(drawn[:, 0] / drawn[:, 1])
    return np.concatenate(found)


def _weighted(nodes: Sequence[_Node], pairs: Pairs, draws: int, seed: int) -> Figure:
    """Mean over requests that have a like one of the share of their like ones that agree, weighted by likeness."""
    counts = np.array([n.counts for n in nodes]).reshape(-1, 3)
    label = np.array([n.label for n in nodes], int)
    one, other, weight = pairs.left, pairs.right, pairs.likeness
    kept = (label[one] == label[other]) | (label[one] < 0) | (label[other] < 0)
    one, other, weight = one[kept], other[kept], weight[kept]
    alike = counts.copy()  # the equal ones, and oneself, which is taken off below
    np.add.at(alike, one, weight[:, None] * counts[other])
    np.add.at(alike, other, weight[:, None] * counts[one])
    others = alike.sum(1) - 1
    has = others > 1e-9
    mean = (counts * (alike - 1)).sum(1)[has] / others[has]
    group = connected_groups(len(nodes), Pairs(one, other, weight))
    return share(mean, counts.sum(1)[has], group[has], draws, seed)


def _by_chance(records: Sequence[Record]) -> float | None:
    """How often two requests of the log agree that have nothing to do with each other."""
    n = len(records)
    if n < 2:
        return None
    counts = [sum(r.decision is d for r in records) for d in DECISIONS]
    return round(sum(c * (c - 1) for c in counts) / (n * (n - 1)), 6)


def _bands(table: _Table, draws: int, seed: int, least: float) -> list[dict[str, Any]]:
    """The score by how alike the words are."""
    edges = [least, *(b for b in BANDS if b > least)]
    rows = []
    for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
        chosen = table.comparable & (table.likeness >= low - 1e-12) & (table.likeness < high - 1e-12)
        rows.append({"from": low, "to": min(1.0, high), **table.figure(chosen, draws, seed)})
    return rows


def worst_pairs(nodes: Sequence[_Node], pairs: Pairs, most: int = WORST) -> list[dict[str, Any]]:
    """Like requests judged differently: furthest apart first, then most alike, then surest. Texts are masked."""
    every = np.arange(len(nodes))
    rows = zip(
        np.concatenate([pairs.left, every]).tolist(),
        np.concatenate([pairs.right, every]).tolist(),
        np.concatenate([pairs.likeness, np.ones(len(nodes))]).tolist(),
        strict=True,
    )
    found = []
    for left, right, likeness in rows:
        pair = _furthest(nodes[left], nodes[right])
        if pair is not None:
            one, other = pair
            sure = min(one.confidence or 0.0, other.confidence or 0.0)
            gap = abs(one.decision.severity - other.decision.severity)
            found.append(((-gap, -likeness, -sure, one.id, other.id), likeness, one, other))
    found.sort(key=lambda row: row[0])
    return [{"likeness": round(s, 4), "pair": [_shown(one), _shown(other)]} for _, s, one, other in found[:most]]


def _furthest(left: _Node, right: _Node) -> tuple[Record, Record] | None:
    """The two records furthest apart in severity, or None where all agree or the labels differ anyway."""
    if left.label >= 0 and right.label >= 0 and left.label != right.label:
        return None
    both = [(a, b) for a in left.first for b in right.first if a is not None and b is not None]
    apart = [(a, b) for a, b in both if a.decision is not b.decision]
    return max(apart, key=lambda p: abs(p[0].decision.severity - p[1].decision.severity), default=None)


def _shown(record: Record) -> dict[str, Any]:
    text = mask(record.text)[0]
    text = text if len(text) <= EXCERPT else text[:EXCERPT] + "…"
    confidence = None if record.confidence is None else round(record.confidence, 4)
    return {"id": record.id, "text": text, "decision": record.decision.value, "confidence": confidence}


def group_agreement(records: Iterable[Record], draws: int = 1000, seed: int = 8) -> dict[str, Any]:
    """Paraphrases (same group, same label) must get the same decision, minimal pairs (same `pair`, other label) must
    not: `pairs` and `groups` = share of pairs, and of whole groups, that agree; `told_apart` = the counter-check.
    """
    members: dict[tuple[str, Decision], list[Record]] = {}
    contrasts: dict[str, list[Record]] = {}
    for record in records:
        if record.label is None:
            continue
        if record.group:
            members.setdefault((record.group, record.label), []).append(record)
        if record.pair:
            contrasts.setdefault(record.pair, []).append(record)
    groups = {key: rows for key, rows in members.items() if len(rows) > 1}
    names = {name: i for i, name in enumerate(dict.fromkeys(group for group, _ in groups))}
    where = np.array([names[group] for group, _ in groups], dtype=np.int64)
    pairs = np.array([_agreeing(rows) for rows in groups.values()], dtype=np.float64).reshape(-1, 2)
    whole = np.array([len({r.decision for r in rows}) == 1 for rows in groups.values()], dtype=np.float64)
    differing = np.array([_differing(rows) for rows in contrasts.values()], dtype=np.float64).reshape(-1, 2)
    agreement = share(pairs[:, 0], pairs[:, 1], where, draws, seed)
    return {
        "pairs": agreement,
        "groups": share(whole, np.ones(len(whole)), where, draws, seed),
        "told_apart": share(differing[:, 0], differing[:, 1], np.arange(len(differing)), draws, seed),
        "broken": [
            {"label": label.value, "members": [_shown(r) for r in rows]}
            for (_, label), rows in groups.items()
            if len({r.decision for r in rows}) > 1
        ][:WORST],
        "target": PLAN_TARGET,
        "passed": _passed(agreement),
    }


def _agreeing(rows: Sequence[Record]) -> tuple[int, int]:
    pairs = list(combinations([r.decision for r in rows], 2))
    return sum(a is b for a, b in pairs), len(pairs)


def _differing(rows: Sequence[Record]) -> tuple[int, int]:
    pairs = [(a, b) for a, b in combinations(rows, 2) if a.label is not b.label]
    return sum(a.decision is not b.decision for a, b in pairs), len(pairs)
