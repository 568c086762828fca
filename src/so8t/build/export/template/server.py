"""What the gate asks of a running llama.cpp beyond serving: its own chat template, BOS and all, and forced tokens."""

from __future__ import annotations

from collections.abc import Sequence

from so8t.ask.llamacpp import PATHS, UNREADABLE, LlamaCpp
from so8t.ask.wire import Wire
from so8t.core.errors import BackendProtocol
from so8t.decide.prompt import Message


class ChatServer(LlamaCpp):
    """llama.cpp's server with the requests of its chat endpoint made one by one.

    A connection for each request: the model beside us computes for seconds, and the server hangs up by then.
    """

    def __init__(self, address: str, seconds: float = 60.0) -> None:
        super().__init__(address, seconds)
        self.wire = Wire(address, (*PATHS, "/apply-template"), seconds=seconds, keep=False)

    async def chat_prompt(self, messages: Sequence[Message]) -> str:
        """The text that /v1/chat/completions would make of a conversation, by the GGUF's template."""
        answer = await self.wire.post("/apply-template", {"messages": list(messages)})
        if not isinstance(prompt := answer.get("prompt"), str):
            raise BackendProtocol(where=self.address, detail="/apply-template prompt")
        return prompt

    async def prompt_tokens(self, text: str) -> list[int]:
        """Tokens of a text as a prompt: with the BOS that the GGUF asks for, as every completion has it."""
        answer = await self.wire.post("/tokenize", {"content": text, "add_special": True, "parse_special": True})
        try:
            return [int(t) for t in answer["tokens"]]
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/tokenize {error}") from error

    async def forced(self, prompt: Sequence[int], token: int, stop: Sequence[str]) -> tuple[str, str, int]:
        """(stop type, stop string, tokens made) when the model wants this token and no other.

        llama.cpp leaves control tokens out of its text unless they are named, Ollama does not.
        """
        body = {
            "prompt": list(prompt), "n_predict": 3, "temperature": 0, "logit_bias": [[token, 1e4]], "stop": list(stop),
            "preserved_tokens": list(stop), "cache_prompt": False,
        }  # fmt: skip
        answer = await self.wire.post("/completion", body)
        try:
            return str(answer["stop_type"]), str(answer["stopping_word"]), int(answer["tokens_predicted"])
        except UNREADABLE as error:
            raise BackendProtocol(where=self.address, detail=f"/completion {error}") from error
