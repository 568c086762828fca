"""One quantisation into Ollama over REST: blob, model, and its account of what it now holds (SPEC O2, plan 5.4).

Idempotent: a blob that is there is not sent again, a model that is as sent is not made again. Ollama takes a blob as a
whole, so an upload that broke begins anew; the files before it are done.
"""

from __future__ import annotations

from dataclasses import dataclass

from so8t.ask.ollama_api import OllamaApi
from so8t.core.errors import BackendProtocol
from so8t.core.progress import Progress
from so8t.operate.deploy.shown import Shown, compare
from so8t.operate.deploy.target import Target

MIB = 1 << 20
COPYING = ("validating GGUF model", "verifying conversion")  # what v0.30 and later say while they copy


@dataclass(frozen=True, slots=True)
class Published:
    """What was done for a target, and how Ollama shows it."""

    target: Target
    uploaded: bool
    created: bool
    shown: Shown


async def publish(api: OllamaApi, target: Target, chat_template: str, progress: Progress) -> Published:
    """Raises BackendDown, and BackendProtocol when Ollama refuses or shows something else than was sent."""
    before = await api.find("/api/show", {"model": target.model})
    if before is not None and not (shown := compare(target, before, chat_template)).differences:
        return Published(target, False, False, shown)
    uploaded = await upload(api, target, progress)
    copied = await create(api, target)
    return Published(target, uploaded, True, await held(api, target, chat_template, copied=copied))


async def upload(api: OllamaApi, target: Target, progress: Progress) -> bool:
    """False when Ollama has the file already: its name there is its SHA-256."""
    if await api.has_blob(target.digest):
        return False
    total, sent, size = 0, 0, target.file.stat().st_size
    with progress.task(target.model, -(-size // MIB), "MiB") as task:

        def told(count: int) -> None:
            nonlocal total, sent
            total += count
            task.advance(-(-total // MIB) - sent)
            sent = -(-total // MIB)

        await api.upload(target.digest, target.file, told)
    return True


async def create(api: OllamaApi, target: Target) -> bool:
    """Make the model from the blob; whether Ollama said that it copies the file.

    `files` alone, never `from`: a `from` that is not there would be pulled from the internet. Raises BackendProtocol
    for an error, which comes under HTTP 200 too, and for a stream that ends without "success".
    """
    given = target.modelfile
    body = {
        "model": target.model, "files": {target.file.name: f"sha256:{target.digest}"}, "template": given.template,
        "system": given.system, "parameters": dict(given.parameters),
    }  # fmt: skip
    last, copied = "", False
    async for line in api.lines("/api/create", body):
        last = str(line.get("status", ""))
        copied = copied or last.startswith(COPYING)
    if last != "success":
        raise BackendProtocol(where=f"{api.address}/api/create {target.model}", detail=f"no success: {last[:80]!r}")
    return copied


async def held(api: OllamaApi, target: Target, chat_template: str, *, copied: bool) -> Shown:
    """What /api/show says after a creation. Raises BackendProtocol if that is not what was sent."""
    answer = await api.post("/api/show", {"model": target.model})
    shown = compare(target, answer, chat_template, copied=copied)
    if shown.differences:
        where = f"{api.address}/api/show {target.model}"
        raise BackendProtocol(where=where, detail=f"not as sent: {'; '.join(shown.differences)}")
    return shown
