"""The servers that run the model, as configured: our own llama.cpp, or replicas of Ollama, vLLM, LM Studio."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from so8t.ask.backend import Upstream
from so8t.ask.first_token import first_tokens
from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.ask.ollama import Ollama
from so8t.ask.openai import OpenAiCompatible
from so8t.ask.pool import Pool
from so8t.core.bundle import Bundle
from so8t.core.errors import BundleBroken, ConfigValueInvalid
from so8t.core.key_file import read_key
from so8t.core.serve_config import UpstreamConfig
from so8t.judge.model import LABELS
from so8t.operate.background import beside

TOKENIZER = "tokenizer.json"


@asynccontextmanager
async def running_upstream(
    config: UpstreamConfig, bundle: Bundle, quantisation: str, context: int
) -> AsyncIterator[Pool]:
    """The replicas, watched while the block runs. Raises BackendDown, BundleBroken, ConfigValueInvalid."""
    async with AsyncExitStack() as stack:
        key = read_key(config.key_file) if config.key_file else ""
        if config.kind == "embedded":
            clients = [await _embedded(stack, config, bundle, quantisation, context)]
        elif config.addresses:
            clients = [(a, _client(a, config, bundle, context, key)) for a in config.addresses]
        else:
            raise ConfigValueInvalid(where="serve.upstream.addresses", detail=f"kind = {config.kind!r} needs one")
        pool = Pool.of(clients)
        stack.push_async_callback(pool.close)
        await stack.enter_async_context(beside((pool.watch,)))
        yield pool


async def _embedded(
    stack: AsyncExitStack, config: UpstreamConfig, bundle: Bundle, quantisation: str, context: int
) -> tuple[str, Upstream]:
    """Our own server, under a key of this start: no other program on the machine can go round the gateway."""
    if not (model := bundle.gguf(quantisation)).is_file():
        raise BundleBroken(where=model, detail="missing")
    key = secrets.token_urlsafe(32)

    async def started(**options: Any) -> str:
        server = serve(model, context, threads=config.threads, key=key, **options)
        address = await asyncio.to_thread(server.__enter__)
        stack.push_async_callback(asyncio.to_thread, server.__exit__, None, None, None)
        return address

    address = await started(slots=config.slots)
    if not config.embeddings:
        return address, LlamaCpp(address, config.seconds, key)
    vectors = LlamaCpp(await started(embeddings=True), config.seconds, key)
    stack.push_async_callback(vectors.close)
    return address, _WithVectors(address, config.seconds, key, vectors)


class _WithVectors(LlamaCpp):
    """Vectors come from a second server on the same file, so that the first runs as it was proved."""

    def __init__(self, address: str, seconds: float, key: str, vectors: LlamaCpp) -> None:
        super().__init__(address, seconds, key)
        self._vectors = vectors

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return await self._vectors.embed(texts)


def _client(address: str, config: UpstreamConfig, bundle: Bundle, context: int, key: str) -> Upstream:
    if config.kind == "llamacpp":
        return LlamaCpp(address, config.seconds, key)
    if not config.model:
        raise ConfigValueInvalid(where="serve.upstream.model", detail="the model's name on that server")
    tokens = first_tokens(bundle.folder / TOKENIZER, LABELS)
    if config.kind == "ollama":
        return Ollama(address, config.model, context, tokens, config.seconds, key)
    return OpenAiCompatible(address, config.model, tokens, config.seconds, key)
