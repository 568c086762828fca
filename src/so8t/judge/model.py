"""The fine-tuned model's opinion: calibrated probabilities of the three labels as the next token."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from so8t.ask.backend import Backend
from so8t.core.errors import BackendProtocol
from so8t.core.types import DECISIONS, Domain, Opinion, Request
from so8t.decide.calibrate import as_probabilities, softmax
from so8t.decide.clearance import effective_classification
from so8t.decide.policy import Policy
from so8t.decide.prompt import ChatFormat, Prompt, Style, answer_prompt, decision_prompt
from so8t.decide.views import clearest, views

LEAST_SCORE = -1e6  # a backend that lost a label says "impossible"; three impossible labels must not become a vote
# Ends of a turn: Phi's, and those of Gemma, ChatML (Qwen) and Llama 3.
ENDS = ("<|end|>", "<|endoftext|>", "<|user|>", "<end_of_turn>", "<|im_end|>", "<|eot_id|>")
LABELS = tuple(d.value for d in DECISIONS)


@dataclass(frozen=True, slots=True)
class ModelJudge:
    """A backend with the prompt it was trained on and its temperature."""

    backend: Backend
    chat: ChatFormat
    style: Style
    temperature: float

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

    async def opinion(self, request: Request, policy: Policy, domain: Domain | None) -> Opinion:
        begin = time.perf_counter()
        probabilities = as_probabilities(
            softmax(np.array(await self.scores(request, policy, domain)), self.temperature)
        )
        best = max(DECISIONS, key=lambda d: probabilities[d])
        ms = (time.perf_counter() - begin) * 1000
        return Opinion("model", best, probabilities, reason=f"{best} {probabilities[best]:.2f}", ms=ms)

    def answer_prompt(self, request: Request, policy: Policy, domain: Domain | None) -> str:
        """What an allowed request is answered from: what was said before, and the verdict."""
        asked = self.prompt(request, policy, domain)
        return answer_prompt(asked, self.style, self.chat, DECISIONS[0], request.history)

    async def answer(self, request: Request, policy: Policy, domain: Domain | None, maximum_tokens: int) -> str:
        """The model's answer to a request that was allowed."""
        prompt = self.answer_prompt(request, policy, domain)
        made = await self.backend.generate(prompt, maximum_tokens, stop=ENDS)
        return made.text.strip()
