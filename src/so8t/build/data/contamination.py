"""Plain texts that hold an evaluation request word for word: whoever learns from them has seen the examination.

Overlap of long n-grams, as in the decontamination of GPT-3 (Brown et al. 2020, appendix C), on folded characters.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from so8t.decide.codes import Codes, encode_folded

WINDOW = 24  # characters; a shorter request is too common a phrase to count
SHARE = 0.5  # of a request's windows stand in the text
BATCH = 2000
_FACTOR = 0x9E3779B97F4A7C15
Hashes = NDArray[np.uint64]


def containing(texts: Sequence[str], held: Sequence[str]) -> dict[int, int]:
    """Number of a text -> number of a held request of which it contains at least SHARE."""
    owners: dict[int, list[int]] = defaultdict(list)
    sizes = []
    for number, hashes in enumerate(_windows_of_each(held)):
        sizes.append(len(hashes))
        for value in set(hashes.tolist()):
            owners[value].append(number)
    known = np.array(sorted(owners), np.uint64)
    found: dict[int, int] = {}
    for first in range(0, len(texts) if len(known) else 0, BATCH):
        for i, hashes in enumerate(_windows_of_each(texts[first : first + BATCH])):
            hits = np.intersect1d(hashes, known)
            counts = Counter(number for value in hits.tolist() for number in owners[value])
            for number, count in counts.items():
                if count >= SHARE * sizes[number]:
                    found[first + i] = number
                    break
    return found


def _windows_of_each(texts: Sequence[str]) -> list[Hashes]:
    folded = encode_folded([text.replace("\0", "") for text in texts])
    hashes = _windows(folded)
    ends = np.maximum(folded.ends - WINDOW + 1, folded.starts)
    return [hashes[a:b] for a, b in zip(folded.starts.tolist(), ends.tolist(), strict=True)]


def _windows(folded: Codes) -> Hashes:
    """[total] polynomial hash of the WINDOW units from each place, put together from those of 1, 2, 4, 8 and 16."""
    padded = np.concatenate([folded.units, np.zeros(WINDOW, np.uint16)]).astype(np.uint64)
    lengths = {1: padded}
    size = 1
    while size < WINDOW // 2 + 1:
        lengths[2 * size] = _joined(lengths[size], lengths[size], size)
        size *= 2
    whole = _joined(lengths[16], lengths[8], 16)
    whole ^= whole >> np.uint64(29)
    return whole[: len(folded.units)]


def _joined(left: Hashes, right: Hashes, offset: int) -> Hashes:
    factor = np.uint64(pow(_FACTOR, offset, 1 << 64))
    moved = np.concatenate([right[offset:], np.zeros(offset, np.uint64)])
    joined: Hashes = left * factor + moved
    return joined
