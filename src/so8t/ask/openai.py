"""A server with OpenAI's completions interface as a backend: vLLM, LM Studio, and others that take whole prompts.

/v1/completions, not chat: the prompt is rendered here, token for token as in training (decide/prompt.py), and no
server puts a template of its own around it. Label scores come from the twenty most likely next tokens, as with Ollama:
a label that is not among them is not guessed, and the request goes to a human.
Sources: OpenAI's API reference (completions, embeddings); vLLM's extra parameter add_special_tokens.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from so8t.ask.backend import GREEDY, Generation, Piece, Sampling
from so8t.ask.wire import NotFound, Wire
from so8t.core.errors import BackendError, BackendProtocol, EmbeddingsMissing, LogprobsMissing

MOST_LIKELY = 20  # vLLM's default limit
PATH, EMBEDDINGS, MODELS = "/v1/completions", "/v1/embeddings", "/v1/models"
UNREADABLE = (LookupError, TypeError, ValueError, ArithmeticError)


class OpenAiCompatible:
    """One model of a running server. `first_tokens`: label -> text of its first token (ask/first_token.py)."""

    def __init__(
        self, address: str, model: str, first_tokens: Mapping[str, str], seconds: float = 60.0, key: str = ""
    ) -> None:
        self.wire = Wire(address, (PATH, EMBEDDINGS, MODELS), seconds=seconds, stall=seconds, key=key)
        self.model, self.first_tokens = model, dict(first_tokens)

    @property
    def address(self) -> str:
        return self.wire.address

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        """Raises LogprobsMissing for a server without them, BackendProtocol for a label outside the first twenty."""
        tokens = [self.first_tokens.get(label, "") for label in labels]
        if "" in tokens or len(set(tokens)) != len(labels):
            raise self._refused(f"labels unknown or beginning alike: {tuple(labels)}")
        choice = self._choice(await self.wire.post(PATH, self._body(prompt, 1, ()) | {"logprobs": MOST_LIKELY}))
        if not choice.get("logprobs"):
            raise LogprobsMissing(where=self.address, detail=self.model)
        try:
            near = {str(t): float(p) for t, p in choice["logprobs"]["top_logprobs"][0].items()}
        except (*UNREADABLE, AttributeError) as error:
            raise self._refused(repr(error)) from error
        if outside := [label for label, token in zip(labels, tokens, strict=True) if token not in near]:
            raise self._refused(f"{', '.join(outside)}: not among the {len(near)} most likely tokens")
        return [near[token] for token in tokens]

    async def generate(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> Generation:
        begin = time.perf_counter()
        answer = await self.wire.post(PATH, self._body(prompt, maximum_tokens, stop, sampling))
        choice = self._choice(answer)
        try:
            made, read = int(answer["usage"]["completion_tokens"]), int(answer["usage"]["prompt_tokens"])
            stopped = choice["finish_reason"] != "length"
            return Generation(str(choice["text"]), made, stopped, time.perf_counter() - begin, read)
        except UNREADABLE as error:
            raise self._refused(repr(error)) from error

    async def stream(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> AsyncGenerator[Piece]:
        body = self._body(prompt, maximum_tokens, stop, sampling) | {"stream": True}
        made, read, stopped = 0, 0, None
        async with aclosing(self.wire.events(PATH, body | {"stream_options": {"include_usage": True}})) as events:
            async for event in events:
                try:
                    if usage := event.get("usage"):
                        made, read = int(usage["completion_tokens"]), int(usage["prompt_tokens"])
                    if not event.get("choices"):  # the usage comes last, without a choice
                        continue
                    choice = self._choice(event)
                    stopped = choice["finish_reason"] != "length" if choice.get("finish_reason") else stopped
                    yield Piece(str(choice["text"]))
                except UNREADABLE as error:
                    raise self._refused(repr(error)) from error
        if stopped is None:
            raise self._refused("the stream broke off")
        yield Piece("", made, stopped, read)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        try:
            answer = await self.wire.post(EMBEDDINGS, {"model": self.model, "input": list(texts)})
            return [[float(x) for x in item["embedding"]] for item in answer["data"]]
        except NotFound as error:
            raise EmbeddingsMissing(where=self.address, detail=error.detail) from error
        except UNREADABLE as error:
            raise self._refused(repr(error)) from error

    async def tokenize(self, text: str) -> list[int]:
        raise self._refused("this interface offers no tokenizer")

    async def alive(self) -> bool:
        try:
            return "data" in await self.wire.get(MODELS)
        except BackendError:
            return False

    async def close(self) -> None:
        await self.wire.close()

    def _body(self, prompt: str, count: int, stop: Sequence[str], sampling: Sampling = GREEDY) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model, "prompt": prompt, "max_tokens": count, "temperature": sampling.temperature,
            "top_p": sampling.top_p, "add_special_tokens": False,
        }  # fmt: skip
        if stop:
            body["stop"] = list(stop)
        if sampling.schema:
            schema = {"name": "answer", "schema": json.loads(sampling.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body if sampling.seed is None else body | {"seed": sampling.seed}

    def _choice(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        try:
            choice = answer["choices"][0]
        except UNREADABLE as error:
            raise self._refused(repr(error)) from error
        if not isinstance(choice, dict):
            raise self._refused("choices")
        return choice

    def _refused(self, detail: str) -> BackendProtocol:
        return BackendProtocol(where=f"{self.address}{PATH} {self.model}", detail=detail)
