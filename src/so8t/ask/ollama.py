"""Ollama as a backend: complete prompts as they are (`raw`), label scores from the twenty most likely next tokens.

What it cannot do as llama.cpp's server can:
- No tokenizer: the labels' first tokens come from the bundle's tokenizer.json (first_token.py).
- At most twenty log-probabilities a position (`top_logprobs`; none before v0.12.11). A label that is not among them is
  not guessed: BackendProtocol, the model judge fails, the request goes to a human.
- Nothing is reported when the next token is no text by itself (an end of turn, a piece of a character): the same.
- Older versions cut a prompt that is too long. `truncate` and `shift` forbid it; where a version knows neither, a
  prompt that fills the context is refused here.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from so8t.ask.backend import GREEDY, Generation, Piece, Sampling
from so8t.ask.ollama_api import OllamaApi
from so8t.core.errors import BackendError, BackendProtocol, LogprobsMissing

MOST_LIKELY = 20  # the most Ollama gives
PATH = "/api/generate"
UNREADABLE = (LookupError, TypeError, ValueError, ArithmeticError)


class Ollama:
    """One model of a running Ollama. `context` is its num_ctx; `first_tokens`: label -> text of its first token."""

    def __init__(
        self, address: str, model: str, context: int, first_tokens: Mapping[str, str], seconds: float = 60.0,
        key: str = "",
    ) -> None:  # fmt: skip
        self.api = OllamaApi(address, seconds, key=key)
        self.model, self.context, self.first_tokens = model, context, dict(first_tokens)

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        """Raises LogprobsMissing for a version without them, BackendProtocol for a label outside the first twenty."""
        tokens = self._tokens(labels)
        answer = await self._generate(prompt, 1, (), logprobs=True, top_logprobs=MOST_LIKELY)
        near = self._nearest(answer)
        if outside := [label for label, token in zip(labels, tokens, strict=True) if token not in near]:
            raise self._refused(f"{', '.join(outside)}: not among the {len(near)} most likely tokens")
        return [near[token] for token in tokens]

    async def generate(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> Generation:
        begin = time.perf_counter()
        answer = await self._generate(prompt, maximum_tokens, stop, sampling)
        try:
            stopped = answer["done_reason"] != "length"
            made, read = int(answer["eval_count"]), int(answer["prompt_eval_count"])
            return Generation(str(answer["response"]), made, stopped, time.perf_counter() - begin, read)
        except UNREADABLE as error:
            raise self._refused(repr(error)) from error

    async def stream(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> AsyncGenerator[Piece]:
        body = self._body(prompt, maximum_tokens, stop, sampling) | {"stream": True}
        async with aclosing(self.api.lines(PATH, body)) as lines:
            async for line in lines:
                try:
                    if not line["done"]:
                        yield Piece(str(line["response"]))
                        continue
                    self._check_read(line)
                    made, read = int(line["eval_count"]), int(line["prompt_eval_count"])
                    yield Piece(str(line["response"]), made, line["done_reason"] != "length", read)
                    return
                except UNREADABLE as error:
                    raise self._refused(repr(error)) from error
        raise self._refused("the stream broke off")

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        answer = await self.api.post("/api/embed", {"model": self.model, "input": list(texts), "truncate": False})
        try:
            return [[float(x) for x in vector] for vector in answer["embeddings"]]
        except UNREADABLE as error:
            raise self._refused(repr(error)) from error

    async def prompt_tokens(self, prompt: str) -> int:
        """How many tokens Ollama made of a prompt, with what it adds itself."""
        answer = await self._generate(prompt, 1, ())
        return int(answer["prompt_eval_count"])

    async def tokenize(self, text: str) -> list[int]:
        raise self._refused("Ollama offers no tokenizer; llama.cpp does (so8t deploy --to llamacpp)")

    async def alive(self) -> bool:
        try:
            return "version" in await self.api.get("/api/version")
        except BackendError:
            return False

    async def close(self) -> None:
        await self.api.close()

    def _tokens(self, labels: Sequence[str]) -> list[str]:
        tokens = [self.first_tokens.get(label, "") for label in labels]
        if "" in tokens or len(set(tokens)) != len(labels):
            raise self._refused(f"labels unknown or beginning alike: {tuple(labels)}")
        return tokens

    def _body(self, prompt: str, count: int, stop: Sequence[str], sampling: Sampling = GREEDY) -> dict[str, Any]:
        options = {
            "temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed or 0,
            "repeat_penalty": 1.0, "num_predict": count, "num_ctx": self.context, "stop": list(stop),
        }  # fmt: skip
        asked: dict[str, Any] = {"model": self.model, "prompt": prompt, "raw": True, "truncate": False, "shift": False}
        if sampling.schema:
            asked["format"] = json.loads(sampling.schema)
        return asked | {"options": options}

    async def _generate(
        self, prompt: str, count: int, stop: Sequence[str], sampling: Sampling = GREEDY, **more: Any
    ) -> dict[str, Any]:
        answer = await self.api.post(PATH, self._body(prompt, count, stop, sampling) | {"stream": False} | more)
        if answer.get("done") is not True or not isinstance(answer.get("response"), str):
            raise self._refused(str(answer.get("error", "not done"))[:200])
        self._check_read(answer)
        return answer

    def _check_read(self, answer: Mapping[str, Any]) -> None:
        read = answer.get("prompt_eval_count")
        if not isinstance(read, int) or read >= self.context:
            raise self._refused(f"prompt of {read} tokens, context {self.context}")

    def _nearest(self, answer: Mapping[str, Any]) -> dict[str, float]:
        """Token text -> log-probability of the most likely next tokens."""
        if not answer.get("logprobs"):
            if not answer["response"]:
                raise self._refused("the most likely next token is no text, so no probabilities are given")
            raise LogprobsMissing(where=self.api.address, detail=self.model)
        try:
            entries = answer["logprobs"][0]["top_logprobs"]
            return {str(e["token"]): float(e["logprob"]) for e in reversed(entries)}  # of two alike, the likelier
        except UNREADABLE as error:
            raise self._refused(repr(error)) from error

    def _refused(self, detail: str) -> BackendProtocol:
        return BackendProtocol(where=f"{self.api.address}{PATH} {self.model}", detail=detail)
