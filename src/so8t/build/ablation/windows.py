"""Texts one after another in windows longer than anything that was trained on, with the text that each token is of."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from so8t.core.types import Sample

ORDER_SEED = 8  # of the texts: the same for every training, whatever its own seed


@dataclass(frozen=True, slots=True)
class Window:
    """Token ids and, as long, the number of the text each of them belongs to."""

    ids: tuple[int, ...]
    texts: tuple[int, ...]


def long_windows(samples: Sequence[Sample], tokenizer: Any, length: int, count: int) -> list[Window]:
    """At most `count` full windows of `length` tokens; the rest of the texts is left out. [] where there is too little.

    The numbers are those of `samples`.
    """
    numbers = list(range(len(samples)))
    random.Random(ORDER_SEED).shuffle(numbers)
    windows: list[Window] = []
    ids: list[int] = []
    texts: list[int] = []
    for number in numbers:
        if len(windows) == count:
            break
        own = [*tokenizer(samples[number].text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        ids += own
        texts += [number] * len(own)
        while len(ids) >= length and len(windows) < count:
            windows.append(Window(tuple(ids[:length]), tuple(texts[:length])))
            ids, texts = ids[length:], texts[length:]
    return windows


def borders(length: int) -> list[tuple[int, int]]:
    """[0, 128), [128, 256), [256, 512) … up to `length`: where the loss is looked at by position."""
    edges = [0, 128]
    while edges[-1] < length:
        edges.append(2 * edges[-1])
    return [(low, min(high, length)) for low, high in itertools.pairwise(edges) if low < length]
