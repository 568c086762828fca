"""What near and exact duplicates are found by: one hash of the whole text, and MinHash bands of its 5-grams (SPEC D4).

MinHash: Broder 1997; banding: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", ch. 3. All texts are read
through dedup_key: width, case, spaces and invisible characters make no difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rensa
import xxhash
from numpy.typing import NDArray

from so8t.decide.codes import Codes

SHINGLE = 5
BANDS, ROWS = 16, 6  # a pair of Jaccard 0.8 shares a band with probability 1 - (1 - 0.8^6)^16 = 0.992
COLUMNS = 1 + BANDS  # column 0 is the exact hash
SEED = 42
Keys = NDArray[np.uint64]

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))


@dataclass(frozen=True, slots=True)
class Shingles:
    """The hash of the 5-gram at each place of some texts, text i's at offsets[i] to offsets[i + 1]."""

    hashes: NDArray[np.uint32]
    offsets: NDArray[np.int64]


def signatures(folded: Codes, hashed: Shingles) -> Keys:
    """[texts, COLUMNS]: two texts may be duplicates when they agree in any column; 0 = this column says nothing."""
    keys = np.zeros((len(folded), COLUMNS), np.uint64)
    if len(folded):
        keys[:, 0] = exact_hashes(folded, np.arange(len(folded)))
        keys[:, 1:] = _bands(folded, hashed)
    return keys


def exact_hashes(folded: Codes, chosen: NDArray[np.int64]) -> Keys:
    """XXH3-64 of the folded texts with the numbers `chosen`."""
    raw = folded.units.tobytes()
    spans = zip((folded.starts[chosen] * 2).tolist(), (folded.ends[chosen] * 2).tolist(), strict=True)
    return np.fromiter((xxhash.xxh3_64_intdigest(raw[a:b]) for a, b in spans), np.uint64, len(chosen))


def shingle_hashes(folded: Codes) -> Shingles:
    """A text shorter than a shingle is one: itself."""
    units = np.concatenate([folded.units, np.zeros(SHINGLE - 1, np.uint16)]).astype(np.uint32)
    count = len(folded.units)
    hashes = units[:count].copy()
    for j in range(1, SHINGLE):
        hashes *= np.uint32(0x9E3779B1)
        hashes ^= units[j : count + j]
    hashes ^= hashes >> np.uint32(15)
    hashes *= np.uint32(0x85EBCA6B)
    hashes ^= hashes >> np.uint32(13)
    short = np.flatnonzero(folded.lengths < SHINGLE)
    hashes[folded.starts[short]] = exact_hashes(folded, short).astype(np.uint32)  # theirs ran on into the next text
    sizes = np.maximum(folded.lengths - (SHINGLE - 1), 1)
    kept = np.arange(count, dtype=np.int32) < np.repeat((folded.starts + sizes).astype(np.int32), folded.lengths + 1)
    return Shingles(hashes[kept], np.concatenate([[0], np.cumsum(sizes)]))


def _bands(folded: Codes, hashed: Shingles) -> Keys:
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        hashed.hashes.astype(np.uint64), hashed.offsets.tolist(), BANDS * ROWS, SEED
    )
    values = np.array(matrix.to_rows(), np.uint64).reshape(len(folded), BANDS, ROWS)
    bands: Keys = np.zeros((len(folded), BANDS), np.uint64)
    for row in range(ROWS):
        bands ^= values[:, :, row]
        bands *= _MIX[0]
        bands ^= bands >> np.uint64(29)
    bands += np.arange(BANDS, dtype=np.uint64)
    bands *= _MIX[1]
    bands[folded.lengths == 0] = 0
    return bands


def shingle_sets(folded: Codes) -> list[Keys]:
    """The different 5-grams of every text as ascending 64-bit hashes, for the exact comparison."""
    units = np.concatenate([folded.units, np.zeros(SHINGLE - 1, np.uint16)]).astype(np.uint64)
    count = len(folded.units)
    hashes = units[:count].copy()
    for j in range(1, SHINGLE):
        hashes = hashes * _MIX[0] + units[j : count + j]
    hashes ^= hashes >> np.uint64(31)
    ends = np.maximum(folded.ends - (SHINGLE - 1), folded.starts + 1)
    short = np.flatnonzero(folded.lengths < SHINGLE)
    hashes[folded.starts[short]] = exact_hashes(folded, short)
    return [_different(hashes[a:b]) for a, b in zip(folded.starts.tolist(), ends.tolist(), strict=True)]


def _different(hashes: Keys) -> Keys:
    ordered: Keys = np.sort(hashes)
    fresh = np.ones(len(ordered), np.bool_)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return ordered[fresh]


def jaccard(a: Keys, b: Keys) -> float:
    """Of two such sets."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / max(1, len(a) + len(b) - shared)
