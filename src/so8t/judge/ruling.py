"""What a person has decided about this very request before: that settles it, and it settles nothing else.

The same request = much the same text, and a difference that changes nothing about the reading: the character n-grams
agree (cosine), and the wording model scores both texts nearly alike. Texts alone do not tell: two of a minimal pair may
differ by one word that turns ALLOW into DENY, while a greeting and other endings change more letters and nothing else.
Over the training passes, by models that had not seen them, of the same requests in other words nine in ten were taken
for the same, and of minimal pairs two in a hundred (benchmarks/review_month.py --likeness).

Rules of the policy bind as ever. People who contradict one another settle nothing. ALLOW holds for the asker it was
given to, because what a reviewer checks - office, authority, consent - is the asker's; a policy may let it hold for
everyone of the same clearance. DENY holds for everyone who is in no better position by the levels.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from so8t.core.types import DECISIONS, Decision, Opinion, Request
from so8t.decide.clearance import effective_classification
from so8t.decide.policy import Policy
from so8t.decide.views import clearest, views
from so8t.decide.wording import WordingModel
from so8t.judge.precedent import Case, PrecedentStore

SIMILAR = 0.6  # least cosine similarity
READ_ALIKE = 0.5  # greatest difference of any of the wording model's three scores, in log-odds
SURE = 0.98


def ruling(request: Request, store: PrecedentStore, wording: WordingModel | None, policy: Policy) -> Opinion | None:
    """None where nobody has decided the same request, where people disagree, inside a conversation, and where there is
    more to a request than its words: a task, documents, an image."""
    settles = policy.review.settles
    more = request.history or request.task or request.documents or request.attachments
    if wording is None or more or settles == "nobody":
        return None
    begin = time.perf_counter()
    cases = [case for case, _ in store.rulings(clearest(request.query).text, SIMILAR)]
    cases = [case for case in cases if reads_alike(request.query, case.query, wording)]
    cases = [case for case in cases if _holds(case, request, policy, everyone=settles == "everyone")]
    if len({case.decision for case in cases}) != 1:
        return None
    decision = cases[0].decision
    rest = (1 - SURE) / (len(DECISIONS) - 1)
    probabilities = {d: SURE if d is decision else rest for d in DECISIONS}
    reason = f"決裁 {_shown(cases)} と同じ依頼"
    ms = (time.perf_counter() - begin) * 1000
    return Opinion("precedent", decision, probabilities, reason=reason, ms=ms, settled=True)


def reads_alike(one: str, other: str, wording: WordingModel) -> bool:
    """Whether the difference between two texts means nothing to the wording model."""
    difference = np.abs(wording.scores(one, 0) - wording.scores(other, 0))
    return bool(difference.max() <= READ_ALIKE)


def _holds(case: Case, request: Request, policy: Policy, *, everyone: bool) -> bool:
    """Whether what was decided then covers who asks now, with which levels."""
    asked, rank, lowest = case.asked, policy.levels.rank, policy.levels.names[0]
    if asked is None:
        return False
    touched = effective_classification(request, views(request.query), policy) or lowest
    clearer = rank(request.clearance) - rank(asked.clearance)  # than who asked then
    higher = rank(touched) - rank(asked.classification or lowest)  # than what was touched then
    if case.decision is Decision.DENY:
        return clearer <= 0 and higher >= 0
    return clearer >= 0 and higher <= 0 and (everyone or asked.user == request.user)


def _shown(cases: Sequence[Case]) -> str:
    more = f" ほか{len(cases) - 1}件" if len(cases) > 1 else ""
    return cases[0].id + more
