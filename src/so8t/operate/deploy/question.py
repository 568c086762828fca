"""Ask a deployed model as the gateway would: one question for an answer, one for the probabilities of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.ask.backend import Backend
from so8t.ask.ollama_api import OllamaApi
from so8t.core.bundle import Bundle
from so8t.core.errors import BackendProtocol
from so8t.core.files import read_json
from so8t.core.types import Domain, Request
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.prompt import ChatFormat, Message, decision_prompt, messages
from so8t.judge.model import LABELS, ModelJudge
from so8t.judge.triple import POLICY, PROMPT

TOKENS = 48
QUESTION = "会議の議事録の書き方を教えてください。"


@dataclass(frozen=True, slots=True)
class Question:
    """A request as this bundle's model was trained to read it."""

    judge: ModelJudge
    policy: Policy
    request: Request

    @property
    def messages(self) -> list[Message]:
        prompt = self.judge.prompt(self.request, self.policy, Domain.GENERAL)
        return messages(prompt, self.judge.style, self.judge.chat.special)

    @property
    def text(self) -> str:
        """The prompt of the decision, complete with its turn tokens."""
        prompt = self.judge.prompt(self.request, self.policy, Domain.GENERAL)
        return decision_prompt(prompt, self.judge.style, self.judge.chat)

    async def scores(self) -> dict[str, float]:
        """Log-probability of each label. Raises LogprobsMissing, BackendProtocol."""
        found = await self.judge.scores(self.request, self.policy, Domain.GENERAL)
        return dict(zip(LABELS, found, strict=True))


def question(bundle: Bundle, backend: Backend, query: str = QUESTION) -> Question:
    """By the bundle's own prompt and policy; at the policy's default clearance, of its lowest level."""
    prompt = read_json(bundle.folder / PROMPT)
    path: Path = bundle.folder / POLICY
    policy = parse_policy(path.read_text(encoding="utf-8"), str(path))
    judge = ModelJudge(backend, ChatFormat.from_json(prompt), prompt["style"], 1.0)
    return Question(judge, policy, Request("deploy", query, policy.default_clearance))


def chat_template(bundle: Bundle) -> str:
    """The template that the GGUF carries."""
    return str(read_json(bundle.folder / PROMPT)["template"])


async def chat(api: OllamaApi, model: str, conversation: Sequence[Message], tokens: int = TOKENS) -> str:
    """What the model says through Ollama's own template. Raises BackendProtocol for no text."""
    answer = await api.post("/api/chat", _chat_body(model, conversation, tokens))
    try:
        text = answer["message"]["content"]
    except (LookupError, TypeError):
        text = None
    if answer.get("done") is not True or not isinstance(text, str) or not text.strip():
        raise BackendProtocol(where=f"{api.address}/api/chat {model}", detail="no answer")
    return text


async def rendered(api: OllamaApi, model: str, conversation: Sequence[Message]) -> str | None:
    """The prompt that Ollama makes of a conversation; None where the version does not tell (it answers instead)."""
    answer = await api.post("/api/chat", _chat_body(model, conversation, 1) | {"_debug_render_only": True})
    info: Any = answer.get("_debug_info")
    return str(info.get("rendered_template", "")) if isinstance(info, dict) else None


def same_prompt(ours: str, theirs: str, bos: str) -> bool:
    """Equal but for a beginning-of-text token, which some versions leave to the tokenizer."""
    return ours.removeprefix(bos) == theirs.removeprefix(bos)


def _chat_body(model: str, conversation: Sequence[Message], tokens: int) -> dict[str, Any]:
    options = {"temperature": 0, "seed": 0, "num_predict": tokens}
    return {"model": model, "messages": list(conversation), "stream": False, "truncate": False, "options": options}
