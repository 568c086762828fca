"""A part: some thousand documents in a row, cleaned, split, judged and signed in one pure function (SPEC D2-D4).

What comes out depends on the documents and the recipe alone, so parts may be made by any process on any machine.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray

from so8t.build.data.quality import Reason, plan_scores, score_many
from so8t.build.data.repair import AT_ONCE, repaired, split_long, without_boilerplate
from so8t.build.data.sample_lines import text_line
from so8t.build.data.signatures import COLUMNS, Keys, shingle_hashes, signatures
from so8t.core.types import Domain, Split
from so8t.decide.codes import encode, encode_folded
from so8t.decide.domain import DOMAINS, DomainModel
from so8t.decide.linear import LONGEST, grams
from so8t.documents.document import Document, Skipped

PART_DOCUMENTS = 2000
# Of a row: its signature, its domain as number in DOMAINS and how sure that is, its quality.
KNOWN = np.dtype(
    [("keys", np.uint64, COLUMNS), ("domain", np.uint8), ("confidence", np.float32), ("quality", np.float32)]
)
SHOWN = 20  # rejected texts of a part that are kept for people to look at
BINS = 20  # of the quality histograms
Item = Document | Skipped


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a part is made by."""

    scorer: str
    minimum_quality: float
    longest: int
    validation_share: float
    domain_model: bytes

    @property
    def digest(self) -> str:
        key = orjson.dumps([self.scorer, self.minimum_quality, self.longest, self.validation_share])
        return hashlib.sha256(key + self.domain_model).hexdigest()


@dataclass(slots=True)
class Counts:
    """What became of the items of a part; counts of parts add up."""

    documents: int = 0
    pieces: int = 0
    kept: int = 0
    characters: int = 0
    boilerplate_lines: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    kept_quality: Counter[str] = field(default_factory=Counter)
    dropped_quality: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        for name in ("documents", "pieces", "kept", "characters", "boilerplate_lines"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("dropped", "reasons", "kept_quality", "dropped_quality", "lengths"):
            getattr(self, name).update(getattr(other, name))

    def to_json(self) -> dict[str, Any]:
        return {name: (dict(v) if isinstance(v := getattr(self, name), Counter) else v) for name in self.__slots__}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Counts:
        values: dict[str, Any] = {k: Counter(v) if isinstance(v, dict) else v for k, v in record.items()}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Part:
    """Kept samples as JSON lines, what is known of each row, some rejected texts, skipped items, and the counts."""

    rows: bytes
    known: NDArray[np.void]
    rejected: tuple[dict[str, Any], ...]
    skipped: tuple[Skipped, ...]
    counts: Counts

    def known_bytes(self) -> bytes:
        """NumPy's .npy, which can be mapped."""
        buffer = io.BytesIO()
        np.save(buffer, self.known, allow_pickle=False)
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Piece:
    document: Document
    text: str


def make_part(items: Sequence[Item], recipe: Recipe) -> Part:
    """See the module."""
    counts = Counts()
    skipped = tuple(item for item in items if isinstance(item, Skipped))
    counts.dropped.update(item.reason for item in skipped)
    pieces = _pieces([item for item in items if isinstance(item, Document)], recipe.longest, counts)
    rows: list[bytes] = []
    known = [np.zeros(0, KNOWN)]
    rejected: list[dict[str, Any]] = []
    for first in range(0, len(pieces), AT_ONCE):
        some = pieces[first : first + AT_ONCE]
        judged = _judge([piece.text for piece in some], recipe)
        for i, piece in enumerate(some):
            if not judged.good[i]:
                rejected.append(_rejected(counts, piece, judged, i))
                continue
            domain = piece.document.domain or judged.domains[i][0]
            rows.append(_line(piece, domain, judged.keys[i], recipe.validation_share))
        _count(counts, some, judged)
        known.append(_known(some, judged))
    return Part(b"".join(rows), np.concatenate(known), tuple(rejected[:SHOWN]), skipped, counts)


def _known(pieces: Sequence[_Piece], judged: _Judged) -> NDArray[np.void]:
    """Of the good ones."""
    known = np.zeros(len(pieces), KNOWN)
    known["keys"] = judged.signatures
    known["quality"] = judged.value
    pairs = [(p.document.domain, 1.0) if p.document.domain else d for p, d in zip(pieces, judged.domains, strict=True)]
    known["domain"] = [DOMAINS.index(domain) for domain, _ in pairs]
    known["confidence"] = [confidence for _, confidence in pairs]
    return known[judged.good]


@dataclass(frozen=True, slots=True)
class _Judged:
    """Of some texts: quality, whether that is enough, why not, domain with confidence, signatures."""

    value: list[float]
    good: list[bool]
    reasons: Callable[[int], Sequence[Reason]]
    domains: Sequence[tuple[Domain, float]]
    signatures: Keys
    keys: list[int]


def _judge(texts: Sequence[str], recipe: Recipe) -> _Judged:
    raw = encode(texts)
    folded = encode_folded(texts, raw)
    hashed, looked_at = shingle_hashes(folded), grams(folded, LONGEST)
    reasons: Callable[[int], Sequence[Reason]] = _plan_reasons
    if recipe.scorer == "plan":
        value = plan_scores(texts)
    else:
        scores = score_many(texts, raw, hashed, looked_at)
        value, reasons = scores.value, scores.reasons
    good = (value >= recipe.minimum_quality).tolist()
    domains = _model(recipe.domain_model).classify_many(looked_at)
    signed = signatures(folded, hashed)
    return _Judged(value.tolist(), good, reasons, domains, signed, signed[:, 0].tolist())


def _plan_reasons(_: int) -> Sequence[Reason]:
    return (("計画書の点", "score of the plan"),)


def _count(counts: Counts, pieces: Sequence[_Piece], judged: _Judged) -> None:
    lengths = [len(piece.text) for piece, good in zip(pieces, judged.good, strict=True) if good]
    counts.kept += len(lengths)
    counts.characters += sum(lengths)
    counts.lengths.update(str(n // 100 * 100) for n in lengths)
    counts.dropped["quality"] += len(pieces) - len(lengths)
    bins = [f"{min(int(value * BINS), BINS - 1) / BINS:.2f}" for value in judged.value]
    counts.kept_quality.update(itertools.compress(bins, judged.good))
    counts.dropped_quality.update(b for b, good in zip(bins, judged.good, strict=True) if not good)


def _rejected(counts: Counts, piece: _Piece, judged: _Judged, i: int) -> dict[str, Any]:
    reasons = judged.reasons(i)
    counts.reasons.update(f"{ja.partition('(')[0]}\t{en.partition(' (')[0]}" for ja, en in reasons)
    return {
        "place": piece.document.place, "text": piece.text[:300], "quality": judged.value[i],
        "reasons": [list(reason) for reason in reasons],
    }  # fmt: skip


def _pieces(documents: Sequence[Document], longest: int, counts: Counts) -> list[_Piece]:
    counts.documents += len(documents)
    texts, counts.boilerplate_lines = without_boilerplate(repaired([d.text for d in documents]))
    pieces = [
        _Piece(document, piece)
        for document, text in zip(documents, texts, strict=True)
        for piece in split_long(text, longest)
    ]
    counts.dropped["empty"] += sum(not text for text in texts)
    counts.pieces += len(pieces)
    return pieces


_MODELS: dict[bytes, DomainModel] = {}


def _model(data: bytes) -> DomainModel:
    """Read once a process."""
    if data not in _MODELS:
        _MODELS.clear()
        _MODELS[data] = DomainModel.from_bytes(data)
    return _MODELS[data]


def _line(piece: _Piece, domain: Domain, key: int, validation_share: float) -> bytes:
    """Pieces of one document go into one split."""
    document = piece.document
    place = xxhash.xxh3_64_intdigest(f"{document.source}\0{document.place}".encode("utf-8", "surrogatepass"))
    split = Split.VALIDATION if place / 2**64 < validation_share else Split.TRAIN
    return text_line(key, piece.text, document.source, document.license, domain, split, document.place)
