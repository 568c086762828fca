"""Replies -> figures: what was right, by task and by domain, with the plan's targets beside (plan 7.3, SPEC P7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from so8t.core.types import Domain
from so8t.prove.tasks import metrics
from so8t.prove.tasks.item import TASKS, TaskItem

TARGETS = {"total": 0.80, "general_qa": 0.85, "domain_qa": 0.80, "summary": 0.75}
ANSWER_CHARACTERS = 60  # of a reply to a question are read: whoever copies the passage has not answered
EXAMPLES = 2  # replies of each task shown on the card
EXCERPT = 160  # characters of a shown reply
Figure = dict[str, float | int | None]
Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class Answered:
    """A task with the model's reply. `released` = whether the judges would have let the request through."""

    item: TaskItem
    reply: str
    released: bool
    seconds: float = 0.0


def scores(item: TaskItem, reply: str) -> Scores:
    """Every figure of one reply, 0 .. 1; "score" is the one that is held against the plan's target."""
    return summary_scores(item, reply) if item.kind == "summary" else qa_scores(item, reply)


def qa_scores(item: TaskItem, reply: str) -> Scores:
    """score: an accepted answer stands at the reply's beginning and no wrong one does. Beside it stricter measures."""
    read = reply.strip()[:ANSWER_CHARACTERS]
    right = metrics.contains(read, item.answers) * (1.0 - metrics.contains(read, item.wrong))
    return {
        "score": right,
        "exact": metrics.exact(reply, item.answers),
        "normalised": metrics.normalised(reply, item.answers),
        "char_f1": metrics.char_f1(reply, item.answers),
    }


def summary_scores(item: TaskItem, reply: str) -> Scores:
    """score: share of the key facts within the allowed length. Beside it the likeness to the reference."""
    read = reply.strip()[: item.limit]
    return {
        "score": facts_told(item, read),
        "rouge1": metrics.rouge_n(read, item.reference, 1),
        "rouge2": metrics.rouge_n(read, item.reference, 2),
        "rougeL": metrics.rouge_l(read, item.reference),
        "within_limit": float(0 < len(reply.strip()) <= item.limit),
    }


def facts_told(item: TaskItem, text: str) -> float:
    return sum(metrics.contains(text, fact) for fact in item.facts) / len(item.facts)


def lead(item: TaskItem) -> str:
    """The document's beginning: what a summary must beat to be one."""
    return item.document[: item.limit]


def result(answered: Sequence[Answered], draws: int, seed: int = 8) -> dict[str, Any]:
    """Per task n, score with a 95 % bootstrap interval over items, and the target; the whole; the domains."""
    rows = [(a, scores(a.item, a.reply)) for a in answered]
    tasks = {name: _task([r for r in rows if r[0].item.task == name], TARGETS[name], draws, seed) for name in TASKS}
    return {
        "n": len(rows),
        "total": _held([s["score"] for _, s in rows], TARGETS["total"], draws, seed),
        "tasks": {name: found for name, found in tasks.items() if found["n"]},
        "per_domain": _per_domain(rows, draws, seed),
        "released": figure([float(a.released) for a in answered], draws, seed),
        "document_characters": _median([len(a.item.document) for a in answered if a.item.document]),
        "seconds_median": _median([a.seconds for a in answered]),
        "examples": _examples(rows),
    }


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 3) if values else None


Row = tuple[Answered, Scores]


def _task(rows: Sequence[Row], target: float, draws: int, seed: int) -> dict[str, Any]:
    found = _held([s["score"] for _, s in rows], target, draws, seed)
    names = [name for name in (rows[0][1] if rows else ()) if name != "score"]
    found |= {name: figure([s[name] for _, s in rows], draws, seed) for name in names}
    summaries = [a for a, _ in rows if a.item.kind == "summary"]
    if summaries:
        read = [a.reply.strip()[: a.item.limit] for a in summaries]
        found["bleu"] = round(metrics.bleu(read, [a.item.reference for a in summaries]), 6)
        found["lead"] = round(float(np.mean([facts_told(a.item, lead(a.item)) for a in summaries])), 6)
    return found


def _held(values: Sequence[float], target: float, draws: int, seed: int) -> dict[str, Any]:
    """met is None where nothing was measured: an empty task has not reached its target."""
    found = figure(values, draws, seed)
    value = found["value"]
    return {"n": len(values), "score": found, "target": target, "met": None if value is None else value >= target}


def figure(values: Sequence[float], draws: int, seed: int) -> Figure:
    """Mean with a 95 % percentile bootstrap over items (Efron 1979); no interval for fewer than two."""
    if not values:
        return {"value": None, "low": None, "high": None, "n": 0}
    own = np.array(values, dtype=np.float64)
    found: Figure = {"value": round(float(own.mean()), 6), "low": None, "high": None, "n": len(own)}
    if len(own) > 1:
        drawn = np.random.default_rng(seed).multinomial(len(own), np.full(len(own), 1 / len(own)), size=draws)
        low, high = np.quantile(drawn @ own / len(own), [0.025, 0.975])
        found |= {"low": round(float(low), 6), "high": round(float(high), 6)}
    return found


def _per_domain(rows: Sequence[Row], draws: int, seed: int) -> dict[str, Any]:
    found = {}
    for domain in Domain:
        own = [(a, s) for a, s in rows if a.item.domain is domain]
        if own:
            parts = {
                kind: figure([s["score"] for a, s in own if a.item.kind == kind], draws, seed)
                for kind in ("qa", "summary")
            }
            found[domain.value] = {"n": len(own), **parts}
    return found


def _examples(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The first replies of each task as they came, shortened: a reader sees what a score stands for."""
    shown = []
    for name in TASKS:
        for a, s in [r for r in rows if r[0].item.task == name][:EXAMPLES]:
            asked = a.item.question or a.item.document
            wanted = a.item.reference or a.item.answers[0]
            texts = {"asked": _short(asked), "wanted": _short(wanted), "reply": _short(a.reply)}
            shown.append({"id": a.item.id, "task": name, "score": round(s["score"], 4), **texts})
    return shown


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= EXCERPT else flat[:EXCERPT] + "…"
