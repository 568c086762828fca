"""A transformers model as a backend: the reference the GGUF is held against. Needs torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from so8t.ask.backend import Generation
from so8t.core.errors import BackendProtocol

Step = tuple[int, torch.Tensor]  # a greedy token and the logits [vocabulary] it was chosen from


class HuggingFace:
    """Takes a loaded causal model and its tokenizer; runs them in this process."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a turn or a text."""
        ids = self.model.config.eos_token_id
        return frozenset(ids if isinstance(ids, list) else [ids])

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        tokens = [t for label in labels for t in self.encode(label)[:1]]
        if len(set(tokens)) != len(labels):
            raise BackendProtocol(detail=f"labels begin alike: {labels}")
        with torch.no_grad():  # a decorator would leave the body of a coroutine outside
            logits = self.model(torch.tensor([self.encode(prompt)])).logits[0, -1].float()
        scores = torch.log_softmax(logits, -1)
        return [float(scores[t]) for t in tokens]

    async def generate(self, prompt: str, maximum_tokens: int, stop: Sequence[str] = ()) -> Generation:
        begin = time.perf_counter()
        made = [token for token, _ in self.greedy(self.encode(prompt), maximum_tokens)]
        text = self.tokenizer.decode(made, skip_special_tokens=False)
        cuts = [text.find(s) for s in stop if s in text]
        end = min(cuts, default=len(text))
        return Generation(text[:end], len(made), bool(cuts), time.perf_counter() - begin)

    @torch.no_grad()
    def greedy(self, prompt: Sequence[int], count: int) -> list[Step]:
        """`count` greedy tokens, also past an end token."""
        ids, cache, made = torch.tensor([list(prompt)]), None, []
        for _ in range(count):
            output = self.model(ids, past_key_values=cache, use_cache=True)
            logits, cache = output.logits[0, -1].float(), output.past_key_values
            token = int(logits.argmax())
            made.append((token, logits))
            ids = torch.tensor([[token]])
        return made

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    async def tokenize(self, text: str) -> list[int]:
        return self.encode(text)

    async def close(self) -> None:
        return None
