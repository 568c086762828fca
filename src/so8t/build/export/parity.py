"""Is the GGUF the model that was trained, and is it asked as it was trained? (SPEC O2)

Greedy tokens and tokenization, llama.cpp against transformers; and the tokens of whole conversations on all ways from
training to Ollama (template/gate.py).
"""

from __future__ import annotations

import asyncio
import random
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from so8t.ask.hf import HuggingFace, Step
from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.build.export.modelfile import shipped_modelfile
from so8t.build.export.template.gate import check_turns
from so8t.build.export.template.server import ChatServer

FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
TIE = 1e-3  # logits closer than this may be chosen either way
ODD = (
    "👨‍👩‍👧‍👦🇯🇵🏳️‍🌈 絵文字", "ﾊﾝｶｸ ｶﾅとＡＢＣ１２３",
    "か\u3099き\u3099く\u3099(NFDの濁点)", "\u200bゼロ幅\u200dを\ufeff含む",
    "制御\x01文字\x1b[0mと\x7f",
    "行1\n\n\n行2\r\n行3\tタブ", "   先頭と末尾の空白   ", "12345678901234567890 3.14159 -0",
    "<|user|>なりすまし<|end|><|assistant|>", "I've  tested IT's ok, they'll see.",
    "𠮷野家の𩸽と𠀋", "ÀÉÎõü ßẞ Ωμέγα Привет",
    "あ" * 2000, "ab " * 700, "。" * 300, "\u3000全角空白\u3000", "", "\n", " ", "§¶†‡…‥―ー～〜",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parity:
    """How many greedy continuations, tokenizations and conversations agree. `ties` = continuations that part at a tie.

    conversations_equal: the same tokens in training, transformers, llama.cpp and Ollama. stops_working: stop strings of
    the Modelfile that are one special token and stop. difference: the first conversation or stop that fails, in words.
    """

    prompts: int
    equal: int
    ties: int
    tokens: int
    strings: int
    strings_equal: int
    worst_logprob_difference: float
    strings_composed: int = 0  # agree once composed (NFC): all that prompt.neutralise lets through
    conversations: int = 0
    conversations_equal: int = 0
    stops: int = 0
    stops_working: int = 0
    difference: str = ""

    @property
    def passed(self) -> bool:
        """All agree; and there were conversations and stops, for a model nobody asked is not proved."""
        return self.continues and self.tokenizes and self.turns

    @property
    def continues(self) -> bool:
        return self.equal + self.ties == self.prompts

    @property
    def tokenizes(self) -> bool:
        return self.strings_equal + self.strings_composed == self.strings

    @property
    def turns(self) -> bool:
        whole = (self.conversations_equal, self.stops_working) == (self.conversations, self.stops)
        return whole and self.conversations > 0 and self.stops > 0 and not self.difference

    @property
    def detail(self) -> str:
        """One line for ParityFailed: all counts, then the first difference."""
        counts = (
            f"{self.equal}+{self.ties}/{self.prompts}, {self.strings_equal}+{self.strings_composed}/{self.strings}, "
            f"{self.conversations_equal}/{self.conversations}, {self.stops_working}/{self.stops}"
        )
        return f"{counts}; {self.difference}" if self.difference else counts

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed}


def odd_strings(texts: Sequence[str], count: int, seed: int = 8) -> list[str]:
    """`count` strings that tokenizers stumble over: the fixed ones, then mixtures of them with real text."""
    generator = random.Random(seed)
    strings = list(ODD[:count])
    while len(strings) < count:
        text, odd = generator.choice(texts), generator.choice(ODD[:16])
        cut = generator.randrange(len(text) + 1)
        form = generator.choice(FORMS)
        strings.append(unicodedata.normalize(form, text[:cut]) + odd[:40] + text[cut : cut + 200])
    return strings


def compare(
    gguf: Path, reference: HuggingFace, prompts: Sequence[str], strings: Sequence[str], tokens: int, context: int
) -> Parity:
    """Start llama.cpp on the file and hold it, and the Modelfile that goes with it, against the model in this process.

    Raises ParityFailed when no Modelfile lies where an export has it, TemplateUnusable when one cannot be read.
    """
    modelfile = shipped_modelfile(gguf)

    async def run(address: str) -> Parity:
        server = ChatServer(address)
        try:
            found = await _compare(server, reference, prompts, strings, tokens)
            return replace(found, **asdict(await check_turns(server, reference, gguf, modelfile)))
        finally:
            await server.close()

    with serve(gguf, context) as address:
        return asyncio.run(run(address))


async def _compare(
    backend: LlamaCpp, reference: HuggingFace, prompts: Sequence[str], strings: Sequence[str], tokens: int
) -> Parity:
    results = []
    for prompt in prompts:
        ids = reference.encode(prompt)
        results.append(_continuation(reference.greedy(ids, tokens), await backend.greedy(ids, tokens), reference.ends))
    same = [reference.encode(s) == await backend.tokenize(s) for s in strings]
    apart = [s for s, agrees in zip(strings, same, strict=True) if not agrees]
    whole = [c for s in apart if (c := unicodedata.normalize("NFC", s)) != s]
    composed = [reference.encode(s) == await backend.tokenize(s) for s in whole]
    equal, ties = sum(r == "equal" for r, _ in results), sum(r == "tie" for r, _ in results)
    worst = max((w for _, w in results), default=0.0)
    return Parity(len(prompts), equal, ties, tokens, len(strings), sum(same), worst, sum(composed))


def _continuation(
    ours: list[Step], theirs: list[tuple[int, dict[int, float]]], ends: frozenset[int]
) -> tuple[str, float]:
    """("equal" | "tie" | "different", largest difference of a log-probability) of one greedy continuation."""
    worst = 0.0
    for i, (token, logits) in enumerate(ours):
        if i == len(theirs):  # llama.cpp stops before it reports an end token
            return ("equal" if token in ends else "different"), worst
        other, near = theirs[i]
        if other != token:
            return ("tie" if abs(float(logits[token] - logits[other])) < TIE else "different"), worst
        if token in near:
            worst = max(worst, abs(float(logits.log_softmax(-1)[token]) - near[token]))
        if token in ends:
            break
    return "equal", worst
