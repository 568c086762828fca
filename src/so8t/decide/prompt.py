"""How a request is put to the model. Training, proof and serving all call this, so the tokens are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from so8t.core.errors import BackendProtocol
from so8t.core.text import clean
from so8t.core.types import DECISIONS, Decision

UNKNOWN_LEVEL = "不明"
Style = Literal["compact", "full"]
Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """A tokenizer's own chat template with its special tokens."""

    template: str
    bos_token: str = ""
    eos_token: str = ""

    def render(self, messages: Sequence[Message], *, reply: bool) -> str:
        """Text of a conversation; with `reply` it ends where the assistant begins."""
        words = {"bos_token": self.bos_token, "eos_token": self.eos_token, "add_generation_prompt": reply}
        try:
            return _compiled(self.template).render(messages=list(messages), **words)
        except BackendProtocol:
            raise
        except Exception as error:  # a template is a program from outside: it may fail in any way
            raise BackendProtocol(detail=f"chat template: {error}") from error


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads before it decides: a request with its levels and the contract it is judged under."""

    query: str
    clearance: str
    classification: str | None
    contract: Mapping[str, Any] | None = None
    policy_state: Mapping[str, Any] | None = None


@cache
def _compiled(template: str) -> Template:
    # The same environment transformers uses, so that the same template gives the same text; sandboxed, because a
    # template comes with a model from outside.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(template)


def _refuse(message: str) -> None:
    raise BackendProtocol(detail=f"chat template: {message}")


def neutralise(text: str) -> str:
    """Break control-token spellings such as <|end|>, so that nobody can write turns of the conversation himself."""
    return clean(text).replace("<|", "＜|").replace("|>", "|＞")


def messages(prompt: Prompt, style: Style) -> list[Message]:
    """The conversation up to the assistant's turn."""
    level = prompt.classification or UNKNOWN_LEVEL
    user = f"権限:{neutralise(prompt.clearance)} 区分:{neutralise(level)}\n{neutralise(prompt.query)}"
    if style == "compact":
        return [{"role": "user", "content": user}]
    return [{"role": "system", "content": _system(prompt)}, {"role": "user", "content": user}]


def _system(prompt: Prompt) -> str:
    """Identity contract and policy state in words (plan 3.2)."""
    contract, state = prompt.contract or {}, prompt.policy_state or {}
    lines = [f"あなたは{state.get('org_name', '当社')}の{contract.get('role', '業務アシスタント')}です。"]
    if scope := contract.get("scope"):
        lines.append(f"業務範囲: {scope}")
    if limitations := contract.get("limitations"):
        lines.append("制約: " + "、".join(limitations))
    if escalation := contract.get("escalation_policy"):
        lines.append(f"上申: {escalation}")
    if levels := state.get("classification_levels"):
        lines.append("区分: " + " < ".join(levels))
    names = " / ".join(DECISIONS)
    lines.append(f"依頼を {names} のどれかに判定して1行目に書き、2行目から応答してください。")
    return "\n".join(lines)


def decision_prompt(prompt: Prompt, style: Style, chat: ChatFormat) -> str:
    """Text whose next token is the decision."""
    return chat.render(messages(prompt, style), reply=True)


def answer_prompt(prompt: Prompt, style: Style, chat: ChatFormat, decision: Decision) -> str:
    """Text after which the answer to a judged request follows: the verdict is fixed, the model cannot change it."""
    return decision_prompt(prompt, style, chat) + f"{decision}\n"


def training_text(prompt: Prompt, style: Style, chat: ChatFormat, decision: Decision, response: str) -> tuple[str, str]:
    """(prompt, completion): the completion ends as the template ends an assistant's turn."""
    conversation = messages(prompt, style)
    head = chat.render(conversation, reply=True)
    reply = {"role": "assistant", "content": f"{decision}\n{neutralise(response)}"}
    whole = chat.render([*conversation, reply], reply=False)
    if not whole.startswith(head):
        raise BackendProtocol(detail="chat template: the prompt is not a prefix of the conversation")
    return head, whole[len(head) :]
