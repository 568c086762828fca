"""What a chat template writes around the words of a conversation, found by rendering it (plan 5.4, SPEC O2).

A Jinja template is a program; Ollama wants one in another language. Instead of translating it, we render it with
marked contents and read off what stands before and after each. A template that does more than that is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from so8t.build.model.tokenizer import added_tokens, chat_format
from so8t.core.errors import BackendProtocol, TemplateUnusable
from so8t.decide.prompt import ChatFormat, Message

TURNS = 3  # of user and assistant in the conversations that a layout must render as the template does


@dataclass(frozen=True, slots=True)
class Turn:
    """What stands before and after the content of a message."""

    before: str
    after: str

    def around(self, content: str) -> str:
        return self.before + content + self.after


@dataclass(frozen=True, slots=True)
class ChatLayout:
    """The parts of a chat template.

    start: before everything, with the token that begins a text. standing: in place of a system message when there is
    none. system: None when the template leaves system messages out, or (`refuses`) raises an error for them.
    within: the system's words stand inside the first turn of the user, behind its `before`. trims: the template cuts
    spaces off contents. end: the special token that ends the assistant's turn.
    """

    start: str
    standing: str
    system: Turn | None
    user: Turn
    assistant: Turn
    end: str
    within: bool = False
    refuses: bool = False
    trims: bool = False

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation up to where the assistant begins; a system message can only be the first."""
        system = messages[0]["content"] if messages[0]["role"] == "system" else None
        own = self.system.around(system) if self.system and system is not None else ""
        parts = [self.start, self.standing if system is None else "" if self.within else own]
        inside = own if self.within else ""
        for message in messages[system is not None :]:
            turn = self.user if message["role"] == "user" else self.assistant
            parts += [turn.before, inside, message["content"], turn.after]
            inside = ""
        return "".join([*parts, self.assistant.before])


def layout_of(folder: Path) -> ChatLayout:
    """The layout of the chat template that a model folder brings. Raises TemplateUnusable."""
    chat = chat_format(folder)
    try:
        return derive(chat, [token for token, special in added_tokens(folder).items() if special])
    except TemplateUnusable as error:
        raise TemplateUnusable(where=folder, detail=error.detail) from error


def derive(chat: ChatFormat, special: Iterable[str]) -> ChatLayout:
    """Read a layout off a template; `special` are the control tokens of the vocabulary. Raises TemplateUnusable."""
    tokens = sorted({*special, chat.bos_token, chat.eos_token} - {""}, key=len, reverse=True)
    opening, reply = _pieces(chat, "u", reply=True)
    _, answered, asked, _ = _pieces(chat, "uau", reply=True)
    if answered != reply:  # what is learned from would not be what is asked with
        raise TemplateUnusable(detail=f"{reply!r} asks for an answer, {answered!r} stands before one")
    user_after = _shared(reply, _pieces(chat, "u", reply=False)[-1], tokens)
    assistant_after = _shared(asked, _pieces(chat, "ua", reply=False)[-1], tokens)
    user = Turn(asked.removeprefix(assistant_after), user_after)
    assistant = Turn(reply.removeprefix(user_after), assistant_after)
    if not opening.endswith(user.before):
        raise TemplateUnusable(detail=f"the first turn begins with {opening!r}, later ones with {user.before!r}")
    if not (end := first_special(assistant.after, tokens)):
        raise TemplateUnusable(detail=f"no special token ends the assistant's turn: {assistant.after!r}")
    bare = ChatLayout(opening.removesuffix(user.before), "", None, user, assistant, end, trims=_trims(chat))
    return _checked(chat, _with_system(chat, bare))


def first_special(text: str, special: Iterable[str]) -> str:
    """The first of these tokens in a text, the longest where several begin; empty when there is none."""
    found = re.search("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)", text)
    return found.group() if found else ""


def _with_system(chat: ChatFormat, bare: ChatLayout) -> ChatLayout:
    try:
        before, after, *_ = _pieces(chat, "su", reply=True)
    except BackendProtocol:
        return replace(bare, refuses=True)
    except _Left:
        return bare
    if not after.endswith(bare.user.before):
        if not before.startswith(bare.start + bare.user.before):
            raise TemplateUnusable(detail=f"system words after {before!r} and before {after!r}")
        return replace(bare, system=Turn(before[len(bare.start + bare.user.before) :], after), within=True)
    start = bare.start
    if not before.startswith(start):  # it has standing words of its own where no system message is
        bos = chat.bos_token
        start = bos if before.startswith(bos) and start.startswith(bos) else ""
    turn = Turn(before.removeprefix(start), after.removesuffix(bare.user.before))
    return replace(bare, start=start, standing=bare.start.removeprefix(start), system=turn)


def _checked(chat: ChatFormat, layout: ChatLayout) -> ChatLayout:
    """The layout, if it renders conversations of several turns as the template does."""
    for first in ("",) if layout.refuses else ("", "s"):
        for turns in range(TURNS):
            messages = _messages(first + "ua" * turns + "u")
            if layout.render(messages) != chat.render(messages, reply=True):
                raise TemplateUnusable(detail=f"the template is more than turns: {len(messages)} messages")
    return layout


class _Left(TemplateUnusable):
    """The template leaves a message out."""


def _pieces(chat: ChatFormat, roles: str, *, reply: bool) -> list[str]:
    """What stands before, between and after the contents of a conversation: one more than it has messages."""
    messages = _messages(roles)
    text = chat.render(messages, reply=reply)
    ends, position = [0], 0
    for content in (m["content"] for m in messages):
        if text.count(content) != 1:
            raise _Left(detail=f"a message is written {text.count(content)} times")
        if (begin := text.index(content)) < position:
            raise TemplateUnusable(detail="messages are written in another order")
        position = begin + len(content)
        ends += [begin, position]
    ends.append(len(text))
    return [text[begin:end] for begin, end in list(pairwise(ends))[::2]]


def _messages(roles: str) -> list[Message]:
    """s = system, u = user, a = assistant; contents that no template contains and nothing trims."""
    names = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": names[role], "content": f"⟦{i}⟧"} for i, role in enumerate(roles)]


def _trims(chat: ChatFormat) -> bool:
    content = " \n⟦0⟧ \n"
    return content not in chat.render([{"role": "user", "content": content}], reply=True)


def _shared(one: str, other: str, special: Sequence[str]) -> str:
    """The beginning two texts share, never ending inside a special token."""
    parts = re.compile("(" + "|".join(map(re.escape, special)) + ")") if special else re.compile("()")
    shared = []
    for a, b in zip(parts.split(one), parts.split(other), strict=False):
        if a != b:
            shared.append("" if a in special or b in special else _prefix(a, b))
            break
        shared.append(a)
    return "".join(shared)


def _prefix(one: str, other: str) -> str:
    return next((one[:i] for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(one, other, key=len))
