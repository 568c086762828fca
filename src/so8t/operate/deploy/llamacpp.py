"""so8t deploy --to llamacpp: the embedded server on a loopback port, in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.core.bundle import Bundle
from so8t.core.errors import BackendDown, BackendProtocol, BundleBroken, UsageError
from so8t.core.files import read_json
from so8t.judge.triple import PROMPT
from so8t.operate.deploy.question import TOKENS, question
from so8t.operate.serving import SLOTS

HOST = "127.0.0.1"
LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that has answered."""

    address: str
    quantisation: str
    context: int
    answer: str
    scores: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "address": self.address, "quantisation": self.quantisation, "context": self.context,
            "answer": self.answer, "label_scores": self.scores,
        }  # fmt: skip


def loopback_port(address: str) -> int:
    """127.0.0.1:8080 -> 8080. The server has no password, so only this machine may reach it. Raises UsageError."""
    host, _, port = address.removeprefix("http://").rstrip("/").rpartition(":")
    if host == HOST and port.isascii() and port.isdigit() and int(port) < 1 << 16:
        return int(port)
    raise UsageError(where=address, detail=f"--address {HOST}:PORT")


def serve_until(
    bundle: Bundle, address: str, quantisation: str, threads: int, ready: Callable[[Serving], None]
) -> None:
    """Serve, ask, call `ready`, go on until KeyboardInterrupt. Raises BackendDown when the server ends by itself."""
    port = loopback_port(address)
    prompt = read_json(bundle.folder / PROMPT)
    chosen, context = quantisation or str(prompt["deploy"]), int(prompt["context"])
    if not (model := bundle.gguf(chosen)).is_file():
        raise BundleBroken(where=model, detail="missing")
    _require_free(port)
    with serve(model, context, slots=SLOTS, threads=threads, port=port) as running:
        answer, scores = asyncio.run(_ask(bundle, running))
        ready(Serving(running, chosen, context, answer, scores))
        _watch(running)


async def _ask(bundle: Bundle, address: str) -> tuple[str, dict[str, float]]:
    backend = LlamaCpp(address)
    try:
        asked = question(bundle, backend)
        made = await backend.generate(asked.text, TOKENS)
        if not made.text.strip():
            raise BackendProtocol(where=address, detail="no answer")
        return made.text, await asked.scores()
    finally:
        await backend.close()


def _require_free(port: int) -> None:
    """llama.cpp would only say that it could not start. The port may still be taken in between; then it does."""
    try:
        with socket.create_server((HOST, port)):
            pass
    except OSError as error:
        raise BackendDown(where=f"{HOST}:{port}", detail=f"port: {error.strerror}") from error


def _watch(address: str) -> None:
    port = loopback_port(address)
    while True:
        time.sleep(LOOK_SECONDS)
        try:
            socket.create_connection((HOST, port), timeout=LOOK_SECONDS).close()
        except OSError as error:
            raise BackendDown(where=address, detail=type(error).__name__) from error
