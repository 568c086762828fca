"""The servers that run the model, as configured: our own llama.cpp, or replicas of Ollama, vLLM, LM Studio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from so8t.ask.backend import Upstream
from so8t.ask.first_token import first_tokens
from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import llamacpp
from so8t.ask.ollama import Ollama
from so8t.ask.openai import OpenAiCompatible
from so8t.ask.pool import Pool
from so8t.core.bundle import Bundle
from so8t.core.errors import BundleBroken, ConfigValueInvalid
from so8t.core.key_file import read_key
from so8t.core.serve_config import UpstreamConfig
from so8t.judge.model import LABELS
from so8t.operate.background import beside
from so8t.operate.embedded import Embedded, KeptServer

TOKENIZER = "tokenizer.json"


@asynccontextmanager
async def running_upstream(
    config: UpstreamConfig, bundle: Bundle, quantisation: str, context: int
) -> AsyncIterator[Pool]:
    """The replicas, watched while the block runs. Raises BackendDown, BundleBroken, ConfigValueInvalid."""
    async with AsyncExitStack() as stack:
        key = read_key(config.key_file) if config.key_file else ""
        if config.kind == "embedded":
            embedded = await _embedded(stack, config, bundle, quantisation, context)
            clients: list[tuple[str, Upstream]] = [(embedded.model.address, embedded)]
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
) -> Embedded:
    if not (model := bundle.gguf(quantisation)).is_file():
        raise BundleBroken(where=model, detail="missing")

    spawn = partial(llamacpp, model, context, threads=config.threads)
    made = Embedded(KeptServer("model", partial(spawn, slots=config.slots), config.seconds))
    if config.embeddings:
        made.vectors = KeptServer("vectors", partial(spawn, embeddings=True), config.seconds)
    stack.push_async_callback(made.close)
    for server in made.servers:
        await server.start()
    return made


def _client(address: str, config: UpstreamConfig, bundle: Bundle, context: int, key: str) -> Upstream:
    if config.kind == "llamacpp":
        return LlamaCpp(address, config.seconds, key)
    if not config.model:
        raise ConfigValueInvalid(where="serve.upstream.model", detail="the model's name on that server")
    tokens = first_tokens(bundle.folder / TOKENIZER, LABELS)
    if config.kind == "ollama":
        return Ollama(address, config.model, context, tokens, config.seconds, key)
    return OpenAiCompatible(address, config.model, tokens, config.seconds, key)
