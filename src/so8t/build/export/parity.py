"""Is the GGUF the model that was trained? Greedy tokens and tokenization, llama.cpp against transformers (SPEC O2)."""

from __future__ import annotations

import asyncio
import random
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from so8t.ask.hf import HuggingFace, Step
from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve

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
    """How many greedy continuations and tokenizations agree. `ties` = continuations that part at a tie."""

    prompts: int
    equal: int
    ties: int
    tokens: int
    strings: int
    strings_equal: int
    worst_logprob_difference: float
    strings_composed: int = 0  # agree once composed (NFC): all that prompt.neutralise lets through

    @property
    def passed(self) -> bool:
        return self.equal + self.ties == self.prompts and self.strings_equal + self.strings_composed == self.strings

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
    """Start llama.cpp on the file and hold it against the model in this process."""
    with serve(gguf, context) as address:
        return asyncio.run(_compare(address, reference, prompts, strings, tokens))


async def _compare(
    address: str, reference: HuggingFace, prompts: Sequence[str], strings: Sequence[str], tokens: int
) -> Parity:
    backend = LlamaCpp(address)
    try:
        results = []
        for prompt in prompts:
            ids = reference.encode(prompt)
            results.append(
                _continuation(reference.greedy(ids, tokens), await backend.greedy(ids, tokens), reference.ends)
            )
        same = [reference.encode(s) == await backend.tokenize(s) for s in strings]
        apart = [s for s, agrees in zip(strings, same, strict=True) if not agrees]
        whole = [c for s in apart if (c := unicodedata.normalize("NFC", s)) != s]
        composed = [reference.encode(s) == await backend.tokenize(s) for s in whole]
    finally:
        await backend.close()
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
