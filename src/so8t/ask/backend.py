"""What a model must be able to do for us, whatever runs it: score labels and continue a text."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. temperature 0 = the most likely one.

    schema: a JSON schema that the text is to fit, as JSON; a server that cannot hold the model to it ignores it, so
    what comes back is checked all the same.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    schema: str = ""


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Generation:
    """A continued text. `stopped` is False when the token limit cut it."""

    text: str
    tokens: int
    stopped: bool
    seconds: float
    prompt_tokens: int = 0  # 0 = the server does not say


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text being continued, as it comes. Only the last one has `stopped`, and `tokens` of the whole."""

    text: str
    tokens: int = 0
    stopped: bool | None = None
    prompt_tokens: int = 0


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


class Upstream(Protocol):
    """A server that answers employees: a Backend that also draws at random, streams, embeds and tells if it lives."""

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]: ...

    async def generate(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> Generation: ...

    def stream(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> AsyncGenerator[Piece]:
        """The same, piece by piece; closing the iterator ends the work upstream."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector a text. Raises EmbeddingsMissing where the server has none."""
        ...

    async def tokenize(self, text: str) -> list[int]: ...

    async def alive(self) -> bool:
        """Whether it would answer now; never raises."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class FakeBackend:
    """For tests: scores by prompt text where given, else made from a hash; never the same for all prompts. `answers` by
    prompt text too, else `answer`."""

    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    answer: str = "はい。"
    error: Exception | None = None
    prompts: list[str] = field(default_factory=list)
    answers: Mapping[str, str] = field(default_factory=dict)

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        self.prompts.append(prompt)
        if self.error is not None:
            raise self.error
        for part, scores in self.scores.items():
            if part in prompt:
                return list(scores)
        digest = hashlib.sha256(prompt.encode()).digest()
        return [-digest[i] / 64 for i in range(len(labels))]

    async def generate(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> Generation:
        self.prompts.append(prompt)
        if self.error is not None:
            raise self.error
        answer = next((text for part, text in self.answers.items() if part in prompt), self.answer)
        return Generation(answer, len(answer), True, 0.0)

    async def stream(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> AsyncGenerator[Piece]:
        whole = await self.generate(prompt, maximum_tokens, stop, sampling)
        for character in whole.text:
            yield Piece(character)
        yield Piece("", whole.tokens, whole.stopped)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self.error is not None:
            raise self.error
        return [[byte / 255 for byte in hashlib.sha256(t.encode()).digest()] for t in texts]

    async def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    async def alive(self) -> bool:
        return self.error is None

    async def close(self) -> None:
        return None
