"""The fine-tuned model's opinion: calibrated probabilities of the three labels as the next token.

With a wording model as partner the opinion is that of both, pooled (decide/calibrate.py `pooled`): a small language
model alone is often wrong about what a character n-gram tells, and neither is right where both can be. If the language
model is down the opinion has failed, whatever the wording says.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from so8t.ask.backend import Backend
from so8t.core.errors import BackendProtocol
from so8t.core.types import DECISIONS, Decision, Domain, Opinion, Request, Turn
from so8t.decide.calibrate import Array, Calibration, as_probabilities, pooled, softmax
from so8t.decide.clearance import effective_classification
from so8t.decide.policy import Policy
from so8t.decide.prompt import ChatFormat, Prompt, Style, answer_prompt, decision_prompt, sources
from so8t.decide.views import clearest, views
from so8t.decide.wording import WordingModel
from so8t.judge.narrowing import Narrowing

LEAST_SCORE = -1e6  # a backend that lost a label says "impossible"; three impossible labels must not become a vote
# Ends of a turn: Phi's, and those of Gemma, ChatML (Qwen) and Llama 3.
ENDS = ("<|end|>", "<|endoftext|>", "<|user|>", "<end_of_turn>", "<|im_end|>", "<|eot_id|>")
LABELS = tuple(d.value for d in DECISIONS)


@dataclass(frozen=True, slots=True)
class ModelJudge:
    """A backend with the prompt it was trained on, a partner that reads the wording alone, and their temperatures."""

    backend: Backend
    chat: ChatFormat
    style: Style
    temperature: float
    wording: WordingModel | None = None
    wording_temperature: float = 1.0

    def calibrated(self, calibration: Calibration) -> ModelJudge:
        return replace(self, temperature=calibration.temperature, wording_temperature=calibration.wording_temperature)

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Of the rows of `parts`."""
        return (self.temperature, self.wording_temperature)[: 1 if self.wording is None else 2]

    def prompt(self, request: Request, policy: Policy, domain: Domain | None) -> Prompt:
        """The clearest view of the request, with its levels and the domain's contract."""
        return Prompt(
            query=clearest(request.query).text,
            clearance=request.clearance,
            classification=effective_classification(request, views(request.query), policy),
            contract=policy.contract(domain),
            policy_state=policy.state(),
        )

    async def scores(self, request: Request, policy: Policy, domain: Domain | None) -> list[float]:
        """Uncalibrated log-probabilities, ALLOW ESCALATE DENY. Raises BackendDown, BackendProtocol."""
        text = decision_prompt(self.prompt(request, policy, domain), self.style, self.chat)
        scores = await self.backend.label_scores(text, LABELS)
        if len(scores) != len(LABELS) or not np.isfinite(scores).all() or min(scores) < LEAST_SCORE:
            raise BackendProtocol(detail=f"label scores {scores}")
        return scores

    async def parts(self, request: Request, policy: Policy, domain: Domain | None) -> Array:
        """[k, 3] uncalibrated scores: of the language model, and of the wording model where there is one."""
        rows = [await self.scores(request, policy, domain)]
        if self.wording is not None:
            classification = effective_classification(request, views(request.query), policy)
            gap = policy.levels.gap(request.clearance, classification) if classification else 0
            rows.append(self.wording.scores(request.query, gap).tolist())
        return np.array(rows)

    async def opinion(self, request: Request, policy: Policy, domain: Domain | None) -> Opinion:
        begin = time.perf_counter()
        parts = await self.parts(request, policy, domain)
        probabilities = as_probabilities(softmax(pooled(parts, self.temperatures)))
        best = max(DECISIONS, key=lambda d: probabilities[d])
        ms = (time.perf_counter() - begin) * 1000
        return Opinion("model", best, probabilities, reason=self._reason(parts, best, probabilities[best]), ms=ms)

    def _reason(self, parts: Array, best: Decision, probability: float) -> str:
        said = [DECISIONS[int(row.argmax())] for row in parts]
        apart = f"(言語モデル {said[0]}、言い回し {said[1]})" if len(set(said)) > 1 else ""
        return f"{best} {probability:.2f}{apart}"

    def answer_prompt(
        self, request: Request, policy: Policy, domain: Domain | None, narrowing: Narrowing | None = None
    ) -> str:
        """What an allowed request is answered from: what was said before, the verdict, and who an agent is."""
        asked = self.prompt(request, policy, domain)
        if narrowing is not None:
            contract = {**(asked.contract or {}), **narrowing.contract}
            asked = replace(asked, contract=contract, instructions=narrowing.instructions)
        said = (*request.history, Turn("user", sources(request.documents))) if request.documents else request.history
        return answer_prompt(asked, self.style, self.chat, DECISIONS[0], said)

    async def answer(self, request: Request, policy: Policy, domain: Domain | None, maximum_tokens: int) -> str:
        """The model's answer to a request that was allowed."""
        prompt = self.answer_prompt(request, policy, domain)
        made = await self.backend.generate(prompt, maximum_tokens, stop=ENDS)
        return made.text.strip()
