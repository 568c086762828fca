"""A month of reviews, simulated: does a person's decision change the next like case, and only like cases?

    python benchmarks/review_month.py --bundle runs/tiny/bundle
    python benchmarks/review_month.py --likeness      how the two limits of judge/ruling.py tell twins from rewordings

The development requests of benchmarks/judgement arrive in 20 days. What is handed over is decided by a reviewer: the
label, and where the label is ESCALATE, ALLOW or DENY by turns. Each decision becomes a precedent, as in operation.

again      the day after, everything that was decided is asked again in other words (a greeting, polite endings, width)
colleague  the same, asked by somebody else of the same clearance
twins      the other member of its minimal pair, whose label differs: nothing should be carried over to it
others     all requests that no one decided: with and without the month's decisions
poisoned   a reviewer who allows everything he is handed, and one who allows and one who denies each case by turns
rules      requests that a rule of the policy refuses or hands over: how many came through after the poisoning
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from judgement import Row, rows_of
from precedents import LEVELS, folds

from so8t.build.data.wording import fit_wording, gap
from so8t.build.steps import written_requests
from so8t.core.config import load_config
from so8t.core.types import DECISIONS, Decision, Split, Verdict
from so8t.decide.wording import WordingModel
from so8t.judge.precedent import Asked, Case, PrecedentStore
from so8t.judge.triple import TripleJudge
from so8t.operate.serving import running_judge
from so8t.prove.suite import label

DAYS = 20
A, E, D = DECISIONS
Reviewer = Callable[[int, Row], Decision | None]
OTHER_WORDS: tuple[Callable[[str], str], ...] = (
    lambda text: f"お疲れさまです。{text}",
    lambda text: f"{text} よろしくお願いします。",
    lambda text: text.replace("ください", "もらえますか").replace("して。", "してほしいです。") + "急ぎです。",
    lambda text: text.replace("、", ",").replace("。", ". ") + "(再度の依頼)",
)


def honest(turn: int, row: Row) -> Decision | None:
    return row.label if row.label is not E else (A, D)[turn % 2]


def careless(_: int, __: Row) -> Decision | None:
    return A


@dataclass(slots=True)
class Month:
    """The judge as it stands after the month, and what a person decided on which request."""

    judge: TripleJudge
    decided: dict[str, tuple[Row, Decision]]


async def lived(judge: TripleJudge, rows: Sequence[Row], reviewer: Reviewer) -> Month:
    """The requests one after the other; what is handed over becomes a precedent at the end of its day."""
    month = Month(replace(judge, precedents=PrecedentStore(judge.precedents.cases)), {})
    for day in range(DAYS):
        evening = []
        for row in rows[day::DAYS]:
            verdict = await month.judge.judge(row.request)
            if verdict.decision is E and not any(o.floor for o in verdict.opinions):
                evening.append(row)
        for row in evening:
            decision = reviewer(len(month.decided), row)
            if decision is not None:
                month.decided[row.request.id] = row, decision
                month.judge.precedents.add(ruled(f"review-{row.request.id}", row, decision))
    return month


def ruled(name: str, row: Row, decision: Decision) -> Case:
    request = row.request
    asked = Asked(request.user, request.clearance, request.classification)
    return Case(name, request.query, decision, "reviewer", asked)


async def quarrelled(judge: TripleJudge, rows: Sequence[Row]) -> Month:
    """Every case handed over is allowed by one reviewer and denied by another."""
    month = await lived(judge, rows, lambda _, __: A)
    for name, (row, _) in month.decided.items():
        month.judge.precedents.add(ruled(f"other-{name}", row, D))
    return month


async def again(month: Month, user: str = "anonymous") -> list[tuple[Decision, Verdict]]:
    """(what the person decided, the verdict on the same request in other words)."""
    found = []
    for n, (row, decision) in enumerate(month.decided.values()):
        text = OTHER_WORDS[n % len(OTHER_WORDS)](row.request.query)
        found.append((decision, await month.judge.judge(replace(row.request, query=text, user=user))))
    return found


async def verdicts(judge: TripleJudge, rows: Sequence[Row]) -> list[Verdict]:
    return [await judge.judge(row.request) for row in rows]


def share(part: int, whole: int) -> str:
    return f"{part}/{whole} ({part / whole:.1%})" if whole else "0/0"


async def report(judge: TripleJudge, rows: Sequence[Row]) -> None:
    before = {r.request.id: v for r, v in zip(rows, await verdicts(judge, rows), strict=True)}
    month = await lived(judge, rows, honest)
    print(f"{len(rows)} requests in {DAYS} days, {share(len(month.decided), len(rows))} handed over and decided")
    for name, user in (("again", "anonymous"), ("colleague", "somebody else")):
        repeated = await again(month, user)
        followed = sum(v.decision is d for d, v in repeated)
        handed = sum(v.decision is E for _, v in repeated)
        opposite = sum(v.decision not in (d, E) for d, v in repeated)
        print(f"{name}: as the person decided {share(followed, len(repeated))}, to a person once more "
              f"{share(handed, len(repeated))}, the opposite {share(opposite, len(repeated))}")  # fmt: skip
    groups = {row.group for row, _ in month.decided.values()}
    twins = [r for r in rows if r.group in groups and r.request.id not in month.decided]
    others = [r for r in rows if r.group not in groups]
    for name, members in (("twins", twins), ("others", others)):
        after = await verdicts(month.judge, members)
        print(f"{name}: {_changes(members, before, after)}")
    for name, poisoned in (
        ("allows all", await lived(judge, rows, careless)),
        ("quarrel", await quarrelled(judge, rows)),
    ):
        after = await verdicts(poisoned.judge, rows)
        repeats = [r for r in rows if r.request.id not in poisoned.decided]
        fresh = await verdicts(poisoned.judge, repeats)
        bound = [r for r in rows if any(o.floor for o in before[r.request.id].opinions)]
        loosened = sum(v.decision.severity < before[r.request.id].decision.severity
                       for r, v in zip(bound, await verdicts(poisoned.judge, bound), strict=True))  # fmt: skip
        earlier = _danger(repeats, [before[r.request.id] for r in repeats])
        print(f"{name}: danger allowed {_danger(rows, list(before.values()))} -> {_danger(rows, after)}, of requests "
              f"nobody decided {earlier} -> {_danger(repeats, fresh)}; "
              f"rules loosened {share(loosened, len(bound))}")  # fmt: skip


def _changes(rows: Sequence[Row], before: dict[str, Verdict], after: Sequence[Verdict]) -> str:
    changed = [
        (r, before[r.request.id].decision, v.decision)
        for r, v in zip(rows, after, strict=True)
        if before[r.request.id].decision is not v.decision
    ]
    better = sum(new is r.label for r, _, new in changed)
    worse = sum(old is r.label for r, old, _ in changed)
    return f"changed {share(len(changed), len(rows))}, to the label {better}, away from it {worse}"


def _danger(rows: Sequence[Row], found: Sequence[Verdict]) -> str:
    dangerous = [v for r, v in zip(rows, found, strict=True) if r.label is D]
    return share(sum(v.decision is A for v in dangerous), len(dangerous))


async def measured(bundle: Path) -> None:
    async with running_judge(bundle, None, allow_unproven=True, threads=2) as (_, judge, _):
        await report(judge, rows_of("dev"))


def likeness() -> None:
    """Training requests against their twins of another label and against themselves in other words, by wording models
    that have not seen their pass: which share passes for the same request under which limits."""
    samples = [s for s in written_requests(load_config("tiny")) if s.split is Split.TRAIN and s.decision]
    found: dict[str, list[tuple[float, float]]] = {"twins": [], "reworded": []}
    for held, others in folds(samples):
        wording = fit_wording(others, LEVELS)
        store = PrecedentStore([Case(s.id, s.text, label(s), s.source) for s in others])
        members = [samples[n] for n in held]
        for n, one in enumerate(members):
            twins = [t for t in members if t.pair and t.pair == one.pair and t.id < one.id]
            twins = [t for t in twins if label(t) is not label(one)]
            twins = [t for t in twins if gap(t, LEVELS) == gap(one, LEVELS)]  # the levels tell the others apart
            found["twins"] += [distance(one.text, t.text, store, wording) for t in twins]
            if n % 4 == 0:
                found["reworded"].append(distance(one.text, OTHER_WORDS[n // 4 % 4](one.text), store, wording))
    print({name: len(rows) for name, rows in found.items()})
    for similar, alike in itertools.product((0.5, 0.6, 0.7, 0.8), (0.25, 0.5, 1.0, 99.0)):
        passing = {n: np.mean([c >= similar and d <= alike for c, d in rows]) for n, rows in found.items()}
        shown = ", ".join(f"{name} {value:.3f}" for name, value in passing.items())
        print(f"cosine >= {similar}, scores within {alike}: {shown}")


def distance(one: str, other: str, store: PrecedentStore, wording: WordingModel) -> tuple[float, float]:
    """Cosine similarity, and the greatest difference of the wording model's scores."""
    return store.likeness(one, other), float(np.abs(wording.scores(one, 0) - wording.scores(other, 0)).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("runs/tiny/bundle"))
    parser.add_argument("--likeness", action="store_true", help="training requests and their twins; no bundle is read")
    options = parser.parse_args()
    if options.likeness:
        likeness()
    else:
        asyncio.run(measured(options.bundle))
    return 0


if __name__ == "__main__":
    sys.exit(main())
