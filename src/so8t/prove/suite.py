"""Put every evaluation request through the judges of one quantisation: calibrate on one split, report on the other."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so8t.core.errors import BackendProtocol, BundleBroken
from so8t.core.types import DECISIONS, Decision, Opinion, Request, Sample, Verdict
from so8t.decide.allow_limit import AllowLimit, fit_allow_limit
from so8t.decide.calibrate import (
    Array,
    Calibration,
    as_probabilities,
    brier,
    calibration_error,
    ece,
    fit_pool,
    fit_temperature,
    nll,
    plan_grid_temperature,
    pooled,
    reliability,
    softmax,
)
from so8t.decide.combine import apart, combine, fused_scores
from so8t.judge.triple import TripleJudge
from so8t.prove.safety import Judged, confusion, figures, labels_of
from so8t.prove.selective import Stand, selective
from so8t.prove.slices import look_alikes, slices

Advance = Callable[[], None]
CONCURRENCY = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request with its verdict, the model's uncalibrated scores [k, 3] (none if it gave none), how long it took.

    The first row is the language model's (judge/model.py `parts`).
    """

    sample: Sample
    verdict: Verdict
    parts: tuple[tuple[float, ...], ...]
    seconds: float = 0.0

    @property
    def judged(self) -> Judged:
        return Judged(label(self.sample), self.verdict.decision, self.sample.family)


def label(sample: Sample) -> Decision:
    if sample.decision is None:
        raise ValueError(f"{sample.id} has no label")
    return sample.decision


def request_of(sample: Sample) -> Request:
    """What the gateway would see: the query and the two levels, never the label, domain or family."""
    return Request(sample.id, sample.text, sample.clearance or "", sample.classification)


async def model_parts(judge: TripleJudge, samples: Sequence[Sample], advance: Advance) -> Array:
    """[n, k, 3] uncalibrated scores (judge/model.py `parts`). Raises BackendDown, BackendProtocol."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(sample: Sample) -> Array:
        async with gate:
            parts = await _parts(judge, sample)
            advance()
            return parts

    return np.array(await asyncio.gather(*(one(s) for s in samples)))


async def _parts(judge: TripleJudge, sample: Sample) -> Array:
    request = request_of(sample)
    return await judge.model.parts(request, judge.policy, judge.domain(request))


async def calibrate(judge: TripleJudge, samples: Sequence[Sample], advance: Advance) -> Calibration:
    """The model's temperatures by NLL and the plan's grid, then that of the fused opinions, then the limit of ALLOW."""
    if not samples:
        return Calibration()
    parts = await model_parts(judge, samples, advance)
    labels = labels_of([label(s) for s in samples])
    pool = fit_pool(parts, labels)
    model = softmax(pooled(parts, pool))
    opinions = []
    for sample, row in zip(samples, model, strict=True):
        others = await _others(judge, request_of(sample))
        opinions.append([*others, Opinion("model", DECISIONS[int(row.argmax())], as_probabilities(row))])
    made = Calibration(
        pool[0],
        pool[1] if len(pool) > 1 else 1.0,
        _fusion_temperature(judge, opinions, labels),
        _plan_grid(parts, labels),
    )
    return replace(made, allow=_allow_limit(judge, samples, opinions, made.fusion_temperature))


def _plan_grid(parts: Array, labels: NDArray[np.int64]) -> float:
    return plan_grid_temperature(pooled(parts, np.ones(parts.shape[1])), labels)


def _fusion_temperature(judge: TripleJudge, opinions: Sequence[list[Opinion]], labels: NDArray[np.int64]) -> float:
    """From the requests that no rule decides and about which somebody spoke."""
    free = [(o, n) for o, n in zip(opinions, labels, strict=True) if all(one.floor is None for one in o)]
    fused = [(fused_scores(said, judge.policy.fusion.weights), n) for said, n in free]
    spoken = [(scores, n) for scores, n in fused if scores is not None]
    rows = np.array([scores for scores, _ in spoken]) if spoken else np.zeros((0, 3))
    return fit_temperature(rows, np.array([n for _, n in spoken], dtype=np.int64))


def _allow_limit(
    judge: TripleJudge, samples: Sequence[Sample], opinions: Sequence[list[Opinion]], temperature: float
) -> AllowLimit:
    """From the verdicts on the dangerous requests as they would be without a limit."""
    dangerous = [(s, o) for s, o in zip(samples, opinions, strict=True) if label(s) is Decision.DENY]
    passing: dict[str, float] = {}
    for sample, said in dangerous:
        request = request_of(sample)
        verdict = combine(request, said, judge.policy, temperature=temperature, domain=judge.domain(request))
        if verdict.decision is Decision.ALLOW:
            risk = verdict.probabilities[Decision.DENY]
            passing[sample.family] = min(risk, passing.get(sample.family, 1.0))
    return fit_allow_limit(passing, len({s.family for s, _ in dangerous}), judge.policy.fusion.danger_allowed)


async def _others(judge: TripleJudge, request: Request) -> list[Opinion]:
    """What rule and precedent say. Raises BundleBroken for one that breaks: nothing is fitted without it."""
    opinions = await judge.opinions(request, judge.domain(request))
    others = [o for o in opinions if o.judge != "model"]
    for opinion in others:
        if opinion.failed:
            raise BundleBroken(detail=f"{opinion.judge}: {opinion.reason} ({request.id})")
    return others


async def evaluate(judge: TripleJudge, samples: Sequence[Sample], advance: Advance) -> list[Outcome]:
    """The whole path for every sample: the verdicts that the gateway would give, each with the seconds it took.

    A request that the model cannot answer (too long for its context) is judged without it, as the gateway would.
    Raises BackendDown: a server that has gone proves nothing.
    """
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(sample: Sample) -> Outcome:
        async with gate:
            begin = time.perf_counter()
            verdict = await judge.judge(request_of(sample))
            seconds = time.perf_counter() - begin
            try:
                parts = tuple(tuple(row) for row in (await _parts(judge, sample)).tolist())
            except BackendProtocol:
                parts = ()
            advance()
            return Outcome(sample, verdict, parts, seconds)

    return list(await asyncio.gather(*(one(s) for s in samples)))


def result(
    outcomes: Sequence[Outcome], calibration: Calibration, draws: int, *, per_day: int = 200, mix: Sequence[float] = ()
) -> dict[str, Any]:
    """One RESULT of the card: confusion, figures with intervals, calibration, risk against coverage, slices."""
    judged = [o.judged for o in outcomes]
    labels = labels_of([j.label for j in judged])
    verdicts = np.array([[o.verdict.probabilities[d] for d in DECISIONS] for o in outcomes])
    all_figures = figures(judged, draws)
    f1 = {d.value: all_figures[f"{d.lower()}_f1"] for d in DECISIONS} | {"macro": all_figures["macro_f1"]}
    names = ("accuracy", "refuse_recall", "danger_allowed", "false_allow", "over_refusal", "over_escalation")
    rows = [(o.sample, j) for o, j in zip(outcomes, judged, strict=True)]
    stands = [Stand.of(j.label, o.verdict, j.family) for o, j in zip(outcomes, judged, strict=True)]
    return {
        "n": len(outcomes),
        "families": len({j.family for j in judged}),
        "model_failed": sum(o.judge == "model" and o.failed for x in outcomes for o in x.verdict.opinions),
        "confusion": confusion(judged).astype(int).tolist(),
        **{name: all_figures[name] for name in names},
        "f1": f1,
        "ece": _ece(outcomes, calibration),
        "verdict_ece": _verdict_ece(outcomes),
        "brier": brier(verdicts, labels),
        "nll": nll(verdicts, labels),
        "selective": selective(stands, draws, per_day=per_day, mix=mix),
        "per_domain": slices(rows, lambda s: s.domain.value, draws),
        "per_attack": slices(rows, lambda s: s.attack or None, draws),
        "per_register": slices(rows, lambda s: s.register or None, draws),
        "look_alikes": look_alikes(rows, draws),
        "per_judge": per_judge(outcomes),
        "apart": judges_apart(outcomes),
    }


def _ece(outcomes: Sequence[Outcome], calibration: Calibration) -> dict[str, Any]:
    """Of the model's own opinion, before and after temperature; equal-width bins as in the plan, equal-mass beside."""
    heard = [o for o in outcomes if o.parts]
    if not heard:
        return {"before": None, "after": None}
    labels = labels_of([o.judged.label for o in heard])
    parts = np.array([o.parts for o in heard])
    after = pooled(parts, calibration.pool[: parts.shape[1]])
    return ece_before_after(softmax(pooled(parts, np.ones(parts.shape[1]))), softmax(after), labels)


def ece_before_after(before: Array, after: Array, labels: NDArray[np.int64]) -> dict[str, Any]:
    """[n, 3] probabilities of the same requests twice, with their labels."""

    def bins(p: Array) -> list[dict[str, float | int]]:
        return [asdict(b) for b in reliability(p.max(1), (p.argmax(1) == labels).astype(np.float64))]

    return {
        "before": calibration_error(before, labels),
        "after": calibration_error(after, labels),
        "equal_mass_before": calibration_error(before, labels, equal_mass=True),
        "equal_mass_after": calibration_error(after, labels, equal_mass=True),
        "bins_before": bins(before),
        "bins_after": bins(after),
    }


def _verdict_ece(outcomes: Sequence[Outcome]) -> float:
    """Gap between the verdict's confidence and how often the decision is the label."""
    confidence = np.array([o.verdict.confidence for o in outcomes])
    correct = np.array([float(o.verdict.decision == o.sample.decision) for o in outcomes])
    return ece(reliability(confidence, correct))


def judges_apart(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """In how many of n verdicts two judges named different decisions: what operation is held against (drift.py)."""
    told = [t for o in outcomes if (t := apart(o.verdict.opinions)) is not None]
    return {"n": len(told), "apart": sum(told)}


def per_judge(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How often each judge spoke, and how often it was right when it did."""
    spoken: dict[str, list[bool]] = defaultdict(list)
    silent: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        for opinion in outcome.verdict.opinions:
            if opinion.decision is None:
                silent[opinion.judge] += 1
            else:
                spoken[opinion.judge].append(opinion.decision == outcome.sample.decision)
    names = sorted({*spoken, *silent})
    return {
        n: {
            "n": len(spoken[n]),
            "accuracy": sum(spoken[n]) / len(spoken[n]) if spoken[n] else None,
            "abstained": silent[n],
        }
        for n in names
    }
