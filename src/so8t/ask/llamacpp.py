"""llama.cpp's server over HTTP, by literal address, without proxies and redirects (SPEC O6)."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from so8t.ask.backend import Generation
from so8t.core.errors import BackendDown, BackendProtocol

FIRST_TRY = 32  # most likely tokens asked for; a fine-tuned model has its labels among them
MAX_ANSWER_BYTES = 64 << 20
NO_PROBABILITY = -1e9
UNREADABLE = (LookupError, TypeError, ValueError, ArithmeticError)  # what a foreign answer may do to its reader


class LlamaCpp:
    """A running server, e.g. http://127.0.0.1:8080. Close it when done."""

    def __init__(self, address: str, seconds: float = 60.0) -> None:
        try:
            ipaddress.ip_address(urlsplit(address).hostname or "")
        except ValueError:
            raise BackendDown(where=address, detail="literal IP address required") from None
        self.address = address.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._session: aiohttp.ClientSession | None = None
        self._first_tokens: dict[tuple[str, ...], list[int]] = {}

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        tokens = await self._labels(tuple(labels))
        for count in (FIRST_TRY, 1 << 20):
            found = await self._next_token(prompt, count, tokens[0])
            if all(t in found for t in tokens):
                break
        return [found.get(t, NO_PROBABILITY) for t in tokens]

    async def generate(self, prompt: str, maximum_tokens: int, stop: Sequence[str] = ()) -> Generation:
        begin = time.perf_counter()
        body = {
            "prompt": prompt,
            "n_predict": maximum_tokens,
            "temperature": 0,
            "stop": list(stop),
            "preserved_tokens": list(stop),  # control tokens are hidden from the text otherwise, and never match
            "cache_prompt": True,
        }
        answer = await self._post("/completion", body)
        try:
            stopped = answer["stop_type"] != "limit"
            return Generation(
                str(answer["content"]), int(answer["tokens_predicted"]), stopped, time.perf_counter() - begin
            )
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/completion {error}") from error

    async def greedy(self, prompt: Sequence[int], count: int) -> list[tuple[int, dict[int, float]]]:
        """Up to `count` greedy tokens, each with the log-probabilities of its nearest rivals; ends at an end token."""
        body = {"prompt": list(prompt), "n_predict": count, "temperature": 0, "n_probs": 4, "cache_prompt": False}
        answer = await self._post("/completion", body | {"return_tokens": True})
        try:
            near = [(int(p["id"]), _logprobs(p["top_logprobs"])) for p in answer.get("completion_probabilities", [])]
            return _aligned([int(t) for t in answer["tokens"]][:count], near)
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/completion {error}") from error

    async def tokenize(self, text: str) -> list[int]:
        answer = await self._post("/tokenize", {"content": text, "add_special": False, "parse_special": True})
        try:
            return [int(t) for t in answer["tokens"]]
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/tokenize {error}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

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
        answer = await self._post("/completion", body)
        try:
            return _logprobs(answer["completion_probabilities"][0]["top_logprobs"])
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/completion {error}") from error

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self._session is None:
            connector = aiohttp.TCPConnector(keepalive_timeout=3)  # llama.cpp closes what idles longer
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False)
        try:
            async with self._session.post(self.address + path, json=body, allow_redirects=False) as response:
                content = bytearray()
                async for piece in response.content.iter_any():  # read(n) gives what has come so far, not all of it
                    content += piece
                    if len(content) > MAX_ANSWER_BYTES:
                        raise BackendProtocol(where=self.address + path, detail=f"> {MAX_ANSWER_BYTES} bytes")
                if response.status != 200:
                    detail = f"HTTP {response.status} {bytes(content[:200])!r}"
                    raise BackendProtocol(where=self.address + path, detail=detail)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BackendDown(where=self.address, detail=type(error).__name__) from error
        try:
            answer = json.loads(content)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BackendProtocol(where=self.address + path, detail="JSON") from error
        if not isinstance(answer, dict):
            raise BackendProtocol(where=self.address + path, detail="JSON: not an object")
        return answer


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
