"""What a model must be able to do for us, whatever runs it: score labels and continue a text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Generation:
    """A continued text. `stopped` is False when the token limit cut it."""

    text: str
    tokens: int
    stopped: bool
    seconds: float


class Backend(Protocol):
    """Prompts are complete texts with their turn tokens (decide/prompt.py). All raise BackendDown, BackendProtocol."""

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        """Log-probability of each label's first token as the next token; first tokens must differ."""
        ...

    async def generate(self, prompt: str, maximum_tokens: int, stop: Sequence[str] = ()) -> Generation:
        """The most likely continuation (greedy)."""
        ...

    async def tokenize(self, text: str) -> list[int]: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class FakeBackend:
    """For tests: scores by prompt text where given, else made from a hash; never the same for all prompts."""

    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    answer: str = "はい。"
    error: Exception | None = None
    prompts: list[str] = field(default_factory=list)

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        self.prompts.append(prompt)
        if self.error is not None:
            raise self.error
        for part, scores in self.scores.items():
            if part in prompt:
                return list(scores)
        digest = hashlib.sha256(prompt.encode()).digest()
        return [-digest[i] / 64 for i in range(len(labels))]

    async def generate(self, prompt: str, maximum_tokens: int, stop: Sequence[str] = ()) -> Generation:
        self.prompts.append(prompt)
        if self.error is not None:
            raise self.error
        return Generation(self.answer, len(self.answer), True, 0.0)

    async def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    async def close(self) -> None:
        return None
