"""so8t deploy --to ollama: every quantisation of a verified bundle as a model of a running Ollama, each one asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from so8t.ask.first_token import first_tokens
from so8t.ask.ollama import Ollama
from so8t.ask.ollama_api import OllamaApi
from so8t.core.bundle import Bundle
from so8t.core.errors import BackendProtocol, LogprobsMissing, So8tError
from so8t.core.progress import Progress
from so8t.judge.model import LABELS
from so8t.operate.deploy.program import create_by_program
from so8t.operate.deploy.publish import Published, held, publish
from so8t.operate.deploy.question import Question, chat, chat_template, question, rendered, same_prompt
from so8t.operate.deploy.target import Target, targets

By = Literal["api", "cli"]
TOKENIZER = "tokenizer.json"
ANSWER_SECONDS = 600.0  # the first question waits for the model to be read from the disk


@dataclass(frozen=True, slots=True)
class Deployed:
    """A published model and what it answered. `scores` None with the reason: the gateway cannot use this Ollama."""

    published: Published
    answer: str
    rendered: bool | None
    scores: dict[str, float] | None
    why: So8tError | None

    def to_json(self, lang: str) -> dict[str, Any]:
        target, shown = self.published.target, self.published.shown
        return {
            "model": target.model, "quantisation": target.quantisation, "digest": target.digest,
            "uploaded": self.published.uploaded, "created": self.published.created,
            "template": shown.template, "same_file": shown.same_file, "rendered_as_trained": self.rendered,
            "answer": self.answer, "label_scores": self.scores,
            "no_scores": None if self.why is None else self.why.to_json(lang),
        }  # fmt: skip


async def deploy(
    bundle: Bundle, address: str, name: str, progress: Progress, only: Sequence[str] = (), by: By = "api"
) -> list[Deployed]:
    """The bundle must have been opened (and proven) by the caller. Raises UsageError, BackendDown, BackendProtocol."""
    chosen = targets(bundle, name, only)
    api = OllamaApi(address, ANSWER_SECONDS)
    try:
        version = str((await api.get("/api/version")).get("version", "?"))[:40]
        progress.say(f"Ollama {version}: {address}", f"Ollama {version}: {address}")
        return [await _one(bundle, api, target, progress, by) for target in chosen]
    finally:
        await api.close()


def backend_of(bundle: Bundle, address: str, target: Target) -> Ollama:
    """The deployed model as a backend for the judge. Raises BackendProtocol for a tokenizer that is not understood."""
    tokens = first_tokens(bundle.folder / TOKENIZER, LABELS)
    return Ollama(address, target.model, target.modelfile.context, tokens, ANSWER_SECONDS)


async def _one(bundle: Bundle, api: OllamaApi, target: Target, progress: Progress, by: By) -> Deployed:
    published = await _publish(bundle, api, target, progress, by)
    backend = backend_of(bundle, api.address, target)
    try:
        asked = question(bundle, backend)
        same = await _rendered(api, target, asked)
        answer = await chat(api, target.model, asked.messages)
        scores, why = await _scores(asked)
        return Deployed(published, answer, same, scores, why)
    finally:
        await backend.close()


async def _publish(bundle: Bundle, api: OllamaApi, target: Target, progress: Progress, by: By) -> Published:
    template = chat_template(bundle)
    if by == "api":
        return await publish(api, target, template, progress)
    await create_by_program(api.address, target)
    # The program does not say whether Ollama copied the file, as versions from v0.30 on do.
    return Published(target, True, True, await held(api, target, template, copied=True))


async def _rendered(api: OllamaApi, target: Target, asked: Question) -> bool | None:
    """None where this version does not tell. Raises BackendProtocol for a prompt other than that of the training."""
    theirs = await rendered(api, target.model, asked.messages)
    if theirs is None:
        return None
    if not same_prompt(asked.text, theirs, asked.judge.chat.bos_token):
        where = f"{api.address}/api/chat {target.model}"
        raise BackendProtocol(where=where, detail=f"prompt not as trained: {theirs[:120]!r}")
    return True


async def _scores(asked: Question) -> tuple[dict[str, float] | None, So8tError | None]:
    """A model without usable probabilities is deployed all the same: others can talk to it, the gateway cannot."""
    try:
        return await asked.scores(), None
    except (LogprobsMissing, BackendProtocol) as error:
        return None, error
