"""The gate of SPEC O2: the same tokens in training, transformers, llama.cpp and Ollama, and stop tokens that stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from so8t.ask.hf import HuggingFace
from so8t.build.export.modelfile import Modelfile
from so8t.build.export.template.chat_layout import layout_of
from so8t.build.export.template.conversations import Conversation, conversations
from so8t.build.export.template.ollama import ollama_prompt
from so8t.build.export.template.server import ChatServer
from so8t.build.model.gguf_header import read_header
from so8t.build.model.losses import IGNORE
from so8t.build.model.tokenizer import chat_format
from so8t.build.train.dataset import encode
from so8t.core.errors import BackendProtocol, TemplateUnusable
from so8t.decide.prompt import ChatFormat, Message, neutralise

LONGEST = 1 << 20  # tokens: none of the gate's conversations is cut


@dataclass(frozen=True, slots=True)
class TurnsFound:
    """How many conversations have the same tokens everywhere, how many stop strings stop, and the first that do not.

    difference: "conversation 3, ollama, position 12: ..."; empty when all is equal.
    """

    conversations: int
    conversations_equal: int
    stops: int
    stops_working: int
    difference: str


async def check_turns(server: ChatServer, reference: HuggingFace, gguf: Path, modelfile: Modelfile) -> TurnsFound:
    """Hold a running llama.cpp, and the Modelfile that goes with its file, against the tokenizer and its template."""
    folder = Path(reference.tokenizer.name_or_path)
    chat, layout = chat_format(folder), layout_of(folder)
    tokens, asked = _Tokens(server, reference, chat, modelfile), conversations(chat, layout)
    apart = [await tokens.difference(conversation) for conversation in asked]
    ends = _Stops(server, reference, read_header(gguf).values)
    failed = [await ends.failure(stop, modelfile.stops, layout.end) for stop in modelfile.stops]
    said = [f"conversation {i}, {words}" for i, words in enumerate(apart) if words]
    said += [f"stop {stop!r}: {words}" for stop, words in zip(modelfile.stops, failed, strict=True) if words]
    if layout.end not in modelfile.stops:
        said.append(f"stop {layout.end!r}: not in the Modelfile")
    return TurnsFound(len(apart), apart.count(""), len(failed), failed.count(""), said[0] if said else "")


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The five ways on which a conversation becomes tokens."""

    server: ChatServer
    reference: HuggingFace
    chat: ChatFormat
    modelfile: Modelfile
    _read: dict[str, list[int]] = field(default_factory=dict)  # what llama.cpp made of a text: mostly one for all ways

    async def difference(self, conversation: Conversation) -> str:
        """The first way that parts from training, and where; empty when all agree."""
        if self.modelfile.system and conversation.messages[0]["role"] != "system":  # Ollama says its own first
            spoken = {"role": "system", "content": self.modelfile.system}
            conversation = Conversation((spoken, *conversation.messages))
        expected, answered = self._training(conversation)
        ways = {"transformers": self._transformers, "serving": self._serving, "llama.cpp": self._chat}
        for name, way in {**ways, "ollama": self._ollama}.items():
            try:
                found = await way(conversation.messages)
            except (BackendProtocol, TemplateUnusable) as error:
                return f"{name}: {error.detail}"
            if found != expected:
                return f"{name}, {self._apart(expected, found)}"
        if answered and (found := self._whole(conversation)) != answered:
            return f"transformers with the answer, {self._apart(answered, found)}"
        return ""

    def _training(self, conversation: Conversation) -> tuple[list[int], list[int]]:
        """Tokens of the prompt, and with the answer where it is a training record's; by the code that training runs."""
        if conversation.sample is None:
            return self.reference.encode(self.chat.render(conversation.messages, reply=True)), []
        made = encode(conversation.sample, self.reference.tokenizer, self.chat, conversation.style, LONGEST, 1.0)
        masked = [i for i, label in zip(made.ids, made.labels, strict=True) if label == IGNORE]
        return masked, list(made.ids)

    async def _transformers(self, messages: Sequence[Message]) -> list[int]:
        return self._templated(messages, reply=True)

    def _whole(self, conversation: Conversation) -> list[int]:
        sample = conversation.sample
        assert sample is not None and sample.response is not None
        content = f"{sample.decision}\n{neutralise(sample.response, self.chat.special)}"
        return self._templated([*conversation.messages, {"role": "assistant", "content": content}], reply=False)

    def _templated(self, messages: Sequence[Message], *, reply: bool) -> list[int]:
        """transformers' own way; with its own template, or the one we give to a base that brings none."""
        tokenizer = self.reference.tokenizer
        template = tokenizer.chat_template or self.chat.template
        try:
            ids = tokenizer.apply_chat_template(
                list(messages), chat_template=template, tokenize=True, add_generation_prompt=reply, return_dict=False
            )
        except Exception as error:  # a template is a program from outside: it may fail in any way
            raise BackendProtocol(detail=f"chat template: {error}") from error
        return [int(i) for i in ids]

    async def _serving(self, messages: Sequence[Message]) -> list[int]:
        """The text that judge/model.py sends, as llama.cpp reads it."""
        return await self._tokens(self.chat.render(messages, reply=True))

    async def _chat(self, messages: Sequence[Message]) -> list[int]:
        return await self._tokens(await self.server.chat_prompt(messages))

    async def _ollama(self, messages: Sequence[Message]) -> list[int]:
        return await self._tokens(ollama_prompt(self.modelfile.template, messages))

    async def _tokens(self, text: str) -> list[int]:
        if text not in self._read:
            self._read[text] = await self.server.prompt_tokens(text)
        return self._read[text]

    def _apart(self, expected: Sequence[int], found: Sequence[int]) -> str:
        pairs = enumerate(zip_longest(found, expected))
        place, (got, wanted) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        return f"position {place}: {self._named(got)} instead of {self._named(wanted)}"

    def _named(self, token: int | None) -> str:
        return "the end" if token is None else f"{token} {self.reference.tokenizer.decode([token])!r}"


@dataclass(frozen=True, slots=True)
class _Stops:
    """Whether stop strings are single special tokens, and stop a model that says them."""

    server: ChatServer
    reference: HuggingFace
    header: Mapping[str, Any]

    async def failure(self, stop: str, stops: Sequence[str], end: str) -> str:
        """What is wrong with one stop string; empty when nothing is. `end` must also end without being named."""
        ids = self.reference.encode(stop)
        if len(ids) != 1 or ids[0] not in self.reference.tokenizer.all_special_ids + self._special():
            return f"tokens {ids}, not one special token"
        if (theirs := await self.server.tokenize(stop)) != ids:
            return f"tokens {theirs} in llama.cpp, {ids} in transformers"
        if end == stop and ids[0] not in self._ends():
            return f"token {ids[0]} is neither eos nor eot of the GGUF: {self._ends()}"
        for named in ([], list(stops)) if end == stop else (list(stops),):
            kind, word, made = await self.server.forced(ids, ids[0], named)
            if made != 1 or not (kind == "eos" or (kind == "word" and word == stop)):
                return f"stop_type {kind!r} after {made} tokens"
        return ""

    def _special(self) -> list[int]:
        added = self.reference.tokenizer.added_tokens_decoder
        return [i for i, token in added.items() if token.special]

    def _ends(self) -> list[int]:
        keys = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
        return [int(self.header[key]) for key in keys if key in self.header]
