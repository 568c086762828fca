"""llama.cpp's server over HTTP, by literal address, without proxies and redirects (SPEC O6)."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from so8t.ask.backend import GREEDY, Generation, Piece, Sampling
from so8t.ask.wire import Wire
from so8t.core.errors import BackendError, BackendProtocol, EmbeddingsMissing

PATHS = ("/completion", "/tokenize", "/health", "/v1/embeddings")
FIRST_TRY = 32  # most likely tokens asked for; a fine-tuned model has its labels among them
NO_PROBABILITY = -1e9
UNREADABLE = (LookupError, TypeError, ValueError, ArithmeticError)  # what a foreign answer may do to its reader


class LlamaCpp:
    """A running server, e.g. http://127.0.0.1:8080. Close it when done."""

    def __init__(self, address: str, seconds: float = 60.0, key: str = "") -> None:
        self.wire = Wire(address, PATHS, seconds=seconds, stall=seconds, key=key)
        self._first_tokens: dict[tuple[str, ...], list[int]] = {}

    @property
    def address(self) -> str:
        return self.wire.address

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        tokens = await self._labels(tuple(labels))
        for count in (FIRST_TRY, 1 << 20):
            found = await self._next_token(prompt, count, tokens[0])
            if all(t in found for t in tokens):
                break
        return [found.get(t, NO_PROBABILITY) for t in tokens]

    async def generate(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> Generation:
        begin = time.perf_counter()
        answer = await self.wire.post("/completion", _completion(prompt, maximum_tokens, stop, sampling))
        try:
            stopped = answer["stop_type"] != "limit"
            return Generation(
                str(answer["content"]), int(answer["tokens_predicted"]), stopped, time.perf_counter() - begin,
                int(answer.get("tokens_evaluated", 0)),
            )  # fmt: skip
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/completion {error}") from error

    async def stream(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> AsyncGenerator[Piece]:
        body = _completion(prompt, maximum_tokens, stop, sampling) | {"stream": True}
        async with aclosing(self.wire.events("/completion", body)) as events:
            async for event in events:
                try:
                    if not event["stop"]:
                        yield Piece(str(event["content"]))
                        continue
                    made, read = int(event["tokens_predicted"]), int(event.get("tokens_evaluated", 0))
                    yield Piece(str(event["content"]), made, event["stop_type"] != "limit", read)
                    return
                except UNREADABLE as error:
                    raise BackendProtocol(where=self.address, detail=f"/completion {error}") from error
        raise BackendProtocol(where=self.address, detail="/completion: the stream broke off")

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        try:
            answer = await self.wire.post("/v1/embeddings", {"input": list(texts)})
            return [[float(x) for x in item["embedding"]] for item in answer["data"]]
        except BackendProtocol as error:  # a server that was not started for it
            raise EmbeddingsMissing(where=self.address, detail=error.detail) from error
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/v1/embeddings {error}") from error

    async def greedy(self, prompt: Sequence[int], count: int) -> list[tuple[int, dict[int, float]]]:
        """Up to `count` greedy tokens, each with the log-probabilities of its nearest rivals; ends at an end token."""
        body = {"prompt": list(prompt), "n_predict": count, "temperature": 0, "n_probs": 4, "cache_prompt": False}
        answer = await self.wire.post("/completion", body | {"return_tokens": True})
        try:
            near = [(int(p["id"]), _logprobs(p["top_logprobs"])) for p in answer.get("completion_probabilities", [])]
            return _aligned([int(t) for t in answer["tokens"]][:count], near)
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/completion {error}") from error

    async def tokenize(self, text: str) -> list[int]:
        answer = await self.wire.post("/tokenize", {"content": text, "add_special": False, "parse_special": True})
        try:
            return [int(t) for t in answer["tokens"]]
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/tokenize {error}") from error

    async def alive(self) -> bool:
        try:
            return (await self.wire.get("/health")).get("status") == "ok"
        except BackendError:
            return False

    async def close(self) -> None:
        await self.wire.close()

    async def _labels(self, labels: tuple[str, ...]) -> list[int]:
        if labels not in self._first_tokens:
            tokens = [t for label in labels for t in (await self.tokenize(label))[:1]]
            if len(set(tokens)) != len(labels):
                raise BackendProtocol(where=self.address, detail=f"labels begin alike: {labels}")
            self._first_tokens[labels] = tokens
        return self._first_tokens[labels]

    async def _next_token(self, prompt: str, count: int, forced: int) -> dict[int, float]:
        body = {"prompt": prompt, "n_predict": 1, "temperature": 0, "n_probs": count, "cache_prompt": True}
        # llama.cpp reports nothing for a token that ends inside a character. The bias makes it take a label instead;
        # the probabilities it reports are those before the bias.
        body["logit_bias"] = [[forced, 1e4]]
        answer = await self.wire.post("/completion", body)
        try:
            return _logprobs(answer["completion_probabilities"][0]["top_logprobs"])
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/completion {error}") from error


def _completion(prompt: str, maximum_tokens: int, stop: Sequence[str], sampling: Sampling) -> dict[str, Any]:
    body: dict[str, Any] = {
        "prompt": prompt,
        "n_predict": maximum_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stop": list(stop),
        "preserved_tokens": list(stop),  # control tokens are hidden from the text otherwise, and never match
        "cache_prompt": True,
    }
    if sampling.schema:
        body["json_schema"] = json.loads(sampling.schema)
    return body if sampling.seed is None else body | {"seed": sampling.seed}


def _aligned(tokens: list[int], near: list[tuple[int, dict[int, float]]]) -> list[tuple[int, dict[int, float]]]:
    """Each token with its rivals; with none where llama.cpp left them out, because a character was not yet whole."""
    steps, left = [], iter([*near, (-1, {})])
    following = next(left)
    for token in tokens:
        if token == following[0]:
            steps.append(following)
            following = next(left)
        else:
            steps.append((token, {}))
    return steps


def _logprobs(entries: Sequence[dict[str, Any]]) -> dict[int, float]:
    return {int(e["id"]): NO_PROBABILITY if e["logprob"] is None else float(e["logprob"]) for e in entries}
