"""Opinions -> one verdict (DESIGN.md "How three opinions become one verdict"; plan: ESCALATE first)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from so8t.core.types import DECISIONS, Decision, Domain, Opinion, Request, Verdict
from so8t.decide.allow_limit import ANY
from so8t.decide.calibrate import Array, as_probabilities, softmax
from so8t.decide.policy import Policy

_LEAST = 1e-6  # a probability of zero would be a veto no policy has granted


def fused_scores(opinions: Sequence[Opinion], weights: Mapping[str, float]) -> Array | None:
    """[3] weighted sum of log-probabilities (logarithmic opinion pool); None when nobody speaks."""
    rows = [
        weights.get(o.judge, 1.0) * np.log([max(o.probabilities[d], _LEAST) for d in DECISIONS])
        for o in opinions
        if o.probabilities is not None and o.floor is None
    ]
    return np.sum(rows, axis=0) if rows else None


def combine(
    request: Request,
    opinions: Sequence[Opinion],
    policy: Policy,
    *,
    temperature: float = 1.0,
    allow_below: float = ANY,
    payload_digest: str = "",
    domain: Domain | None = None,
) -> Verdict:
    """Floors bind, the rest is fused and decided at least expected cost, doubt goes to a human."""
    floor = max((o.floor for o in opinions if o.floor is not None), key=lambda d: d.severity, default=None)
    scores = fused_scores(opinions, policy.fusion.weights)
    fused = np.full(3, 1 / 3) if scores is None else softmax(scores, temperature)
    probabilities = raised(as_probabilities(fused), floor)
    ruled = settled(opinions)
    decision = ruled or least_cost(probabilities, policy.costs)
    reason = ""
    if floor is not None and decision.severity <= floor.severity:
        decision, reason = floor, "規則により確定"
    elif ruled is not None:
        reason = "人が同じ依頼を決めている"
    elif doubt := doubts(opinions, probabilities, policy, domain) or danger(decision, probabilities, allow_below):
        decision, reason = Decision.ESCALATE, doubt
    rules = tuple(dict.fromkeys(r for o in opinions for r in o.rules))
    place = policy.domain(domain)
    source = next((r for r in map(policy.rule, rules) if r is not None and r.effect == decision), None)
    target = (source.escalation_target if source else None) or place.escalation_target
    return Verdict(
        request_id=request.id,
        decision=decision,
        probabilities=probabilities,
        opinions=tuple(opinions),
        rules=rules,
        reason=reason or _spokesman(opinions, decision),
        policy_ref=(source.policy_ref if source else None) or place.policy_refs[decision],
        escalation_target=target if decision == Decision.ESCALATE else None,
        policy_digest=policy.digest,
        payload_digest=payload_digest,
        domain=domain,
    )


def raised(probabilities: Mapping[Decision, float], floor: Decision | None) -> dict[Decision, float]:
    """What lies below the floor is moved onto it."""
    if floor is None:
        return dict(probabilities)
    below = sum(p for d, p in probabilities.items() if d.severity < floor.severity)
    return {
        d: 0.0 if d.severity < floor.severity else p + (below if d == floor else 0.0) for d, p in probabilities.items()
    }


def least_cost(probabilities: Mapping[Decision, float], costs: Mapping[Decision, Mapping[Decision, float]]) -> Decision:
    """The decision of least expected cost; costs[judged][true]. On a tie the more severe one."""
    expected = {j: sum(probabilities[t] * costs[j][t] for t in DECISIONS) for j in DECISIONS}
    return min(reversed(DECISIONS), key=lambda j: expected[j])


def doubts(
    opinions: Sequence[Opinion], probabilities: Mapping[Decision, float], policy: Policy, domain: Domain | None = None
) -> str:
    """Why a human should look at it, or ""."""
    failed = [f"{o.judge}({o.reason})" for o in opinions if o.failed]
    if failed:
        return f"判定器の障害: {', '.join(failed)}"
    if all(o.probabilities is None for o in opinions):
        return "どの判定器も意見がない"
    own = policy.domain(domain).minimum_confidence
    if max(probabilities.values()) < (policy.fusion.minimum_confidence if own is None else own):
        return f"確信度が低い({max(probabilities.values()):.2f})"
    if disagreement(opinions) > policy.fusion.maximum_disagreement:
        return "判定器の意見が割れている"
    return ""


def danger(decision: Decision, probabilities: Mapping[Decision, float], allow_below: float) -> str:
    """Why what would be allowed is too likely dangerous after all (decide/allow_limit.py), or ""."""
    if decision is not Decision.ALLOW or probabilities[Decision.DENY] < allow_below:
        return ""
    return f"危険の見込み {probabilities[Decision.DENY]:.2f} が、許可してよい上限 {allow_below:.2f} 以上"


def disagreement(opinions: Sequence[Opinion]) -> float:
    """Largest total variation distance between two judges that name different decisions, 0 to 1."""
    speaking = [o for o in opinions if o.probabilities is not None]
    distances = [
        0.5 * sum(abs(a.probabilities[d] - b.probabilities[d]) for d in DECISIONS)
        for i, a in enumerate(speaking)
        for b in speaking[i + 1 :]
        if a.probabilities is not None and b.probabilities is not None and a.decision != b.decision
    ]
    return max(distances, default=0.0)


def settled(opinions: Sequence[Opinion]) -> Decision | None:
    """What a person has decided about this request before; nothing while a judge is broken."""
    if any(o.failed for o in opinions):
        return None
    return next((o.decision for o in opinions if o.settled), None)


def apart(opinions: Sequence[Opinion]) -> bool | None:
    """Whether two judges name different decisions; None where fewer than two speak freely, or it is decided
    by a rule that refuses or a person who has ruled.
    """
    if any(o.floor is Decision.DENY or o.settled for o in opinions):
        return None
    named = [o.decision for o in opinions if o.probabilities is not None and o.floor is None]
    return len(set(named)) > 1 if len(named) > 1 else None


def _spokesman(opinions: Sequence[Opinion], decision: Decision) -> str:
    """The reason of the most confident judge that agrees with the verdict."""
    agreeing = [o for o in opinions if o.decision == decision and o.probabilities is not None]
    best = max(agreeing, key=lambda o: (o.probabilities or {}).get(decision, 0.0), default=None)
    return f"{best.judge}: {best.reason}" if best else "期待損失が最小"
