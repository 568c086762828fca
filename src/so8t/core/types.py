"""The nouns every floor shares. Records are frozen; JSON in and out goes through to_json / from_json."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Self

from so8t.core.errors import LevelUnknown, RecordInvalid


class Domain(StrEnum):
    """The eight fields of plan 3.1."""

    DEFENSE = "defense"
    AEROSPACE = "aerospace"
    TRANSPORT = "transport"
    MEDICAL = "medical"
    FINANCE = "finance"
    BUSINESS = "business"
    INFORMATION_SYSTEM = "information_system"
    GENERAL = "general"


class Decision(StrEnum):
    """The three outcomes (LABELS.md), least severe first."""

    ALLOW = "ALLOW"
    ESCALATE = "ESCALATE"
    DENY = "DENY"

    @property
    def severity(self) -> int:
        return DECISIONS.index(self)


DECISIONS: tuple[Decision, ...] = (Decision.ALLOW, Decision.ESCALATE, Decision.DENY)


class Split(StrEnum):
    """Where a sample may be used; families never cross."""

    TRAIN = "train"
    VALIDATION = "validation"
    CALIBRATION = "calibration"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Levels:
    """Classification levels, lowest first (plan 3.2 policy_state)."""

    names: tuple[str, ...] = ("公開", "社内限定", "部外秘", "極秘")

    def rank(self, name: str) -> int:
        """Position of a level; raises LevelUnknown rather than guessing."""
        try:
            return self.names.index(name)
        except ValueError:
            raise LevelUnknown(detail=f"{name!r} ({' < '.join(self.names)})") from None

    def gap(self, clearance: str, classification: str) -> int:
        """How many levels the material lies above the asker (<= 0: may read)."""
        return self.rank(classification) - self.rank(clearance)


@dataclass(frozen=True, slots=True)
class Sample:
    """One training or evaluation record: plain text, or a judged request with its answer.

    kind "text" uses `text`; kind "request" uses `text` as the query and `decision`, `response`. modality "multimodal"
    = the request is about an image (plan 3.3): its path in the run, its kind, what OCR read, and its level.
    """

    id: str
    kind: str
    text: str
    source: str
    license: str
    domain: Domain
    split: Split
    family: str
    pair: str | None = None
    decision: Decision | None = None
    response: str | None = None
    clearance: str | None = None
    classification: str | None = None
    register: str | None = None
    attack: str | None = None
    identity_contract: Mapping[str, Any] | None = None
    policy_state: Mapping[str, Any] | None = None
    policy_ref: str | None = None
    escalation_target: str | None = None
    modality: str | None = None
    image_path: str | None = None
    image_type: str | None = None
    ocr_content: str | None = None
    safety_level: str | None = None

    @property
    def sha256(self) -> str:
        """Hash of content(): the same content is the same hash in any run."""
        return hashlib.sha256(canonical_json(self.content()).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        content = self.content()
        kept = {"id": self.id} | {k: v for k, v in content.items() if v is not None}
        return kept | {"sha256": hashlib.sha256(canonical_json(content).encode()).hexdigest()}

    def content(self) -> dict[str, Any]:
        """Everything but the id; what only images have, only where there is one."""
        fields = _SAMPLE_FIELDS if self.modality is None else _SAMPLE_FIELDS + _IMAGE_FIELDS
        return {name: getattr(self, name) for name in fields}

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str = "") -> Self:
        """Raises RecordInvalid on a missing field, a bad value, or a hash that does not match."""
        known = {f.name for f in dataclasses.fields(cls)}
        values = {k: v for k, v in record.items() if k in known}
        try:
            values["domain"] = Domain(values["domain"])
            values["split"] = Split(values["split"])
            if values.get("decision") is not None:
                values["decision"] = Decision(values["decision"])
            sample = cls(**values)
        except (KeyError, ValueError, TypeError) as error:
            raise RecordInvalid(where=where, detail=str(error)) from error
        if record.get("sha256", sample.sha256) != sample.sha256:
            raise RecordInvalid(where=where, detail=f"sha256 {sample.id}")
        return sample


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier turn of a conversation, as the client tells it: any of them may be made up."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A passage of one of the office's documents that an answer may be taken from: data, never an order."""

    id: str
    place: str
    classification: str
    text: str


@dataclass(frozen=True, slots=True)
class Floor:
    """What is known of a request beside its words and demands at least `decision`: a mail that leaves the company, an
    image that was hardly readable. Bound like a hard rule; `rule` is its id in the verdict."""

    rule: str
    decision: Decision
    reason: str


@dataclass(frozen=True, slots=True)
class PageText:
    """What a machine read, saw or heard on one page, image or recording. confidence 0..1; page from 1."""

    page: int
    text: str
    confidence: float
    engine: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a request. What was read of it is part of the query: judged like any pasted document.

    `content` b"" = it is not kept (an earlier turn's, which was kept then). name: as the asker called it.
    """

    media_type: str
    pages: tuple[PageText, ...]
    name: str = ""
    content: bytes = field(default=b"", repr=False)

    @property
    def confidence(self) -> float:
        """Of its least certain page; 0 for one of which nothing was read."""
        return min((page.confidence for page in self.pages), default=0.0)


@dataclass(frozen=True, slots=True)
class Request:
    """What an employee asks, with who asks and what is touched; `history` is what was said before, oldest first.

    documents: what an answer is to be taken from. They are not judged; `classification` covers their levels.
    attachments: images and recordings whose text stands in the query or in the history.
    floors: what is known beside the words. task: what is to be made ("minutes", "mail"), "" = an answer; order: what it
    needs to know for that, as JSON.
    agent: which of the office's agents is to answer; "" = none of them. It may only be stricter (judge/narrowing.py).
    """

    id: str
    query: str
    clearance: str = "社内限定"
    classification: str | None = None
    domain: Domain | None = None
    user: str = "anonymous"
    history: tuple[Turn, ...] = ()
    documents: tuple[Excerpt, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    floors: tuple[Floor, ...] = ()
    task: str = ""
    order: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Opinion:
    """One judge's view. decision and probabilities None = the judge abstains.

    settled: a person has decided this very request before (judge/ruling.py).
    """

    judge: str
    decision: Decision | None = None
    probabilities: Mapping[Decision, float] | None = None
    rules: tuple[str, ...] = ()
    reason: str = ""
    ms: float = 0.0
    failed: bool = False
    floor: Decision | None = None
    settled: bool = False

    @property
    def abstains(self) -> bool:
        return self.decision is None and not self.failed

    def to_json(self) -> dict[str, Any]:
        return {
            "judge": self.judge,
            "decision": self.decision,
            "probabilities": _rounded(self.probabilities),
            "rules": list(self.rules),
            "reason": self.reason,
            "ms": round(self.ms, 3),
            "failed": self.failed,
        } | ({"settled": True} if self.settled else {})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the three opinions come to (DESIGN.md "How three opinions become one verdict")."""

    request_id: str
    decision: Decision
    probabilities: Mapping[Decision, float]
    opinions: tuple[Opinion, ...]
    rules: tuple[str, ...] = ()
    reason: str = ""
    policy_ref: str | None = None
    escalation_target: str | None = None
    policy_digest: str = ""
    payload_digest: str = ""
    domain: Domain | None = None

    @property
    def confidence(self) -> float:
        """Probability of the decision."""
        return self.probabilities[self.decision]

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.request_id,
            "decision": self.decision,
            "confidence": round(self.confidence, 6),
            "probabilities": _rounded(self.probabilities),
            "opinions": [o.to_json() for o in self.opinions],
            "rules": list(self.rules),
            "reason": self.reason,
            "policy_ref": self.policy_ref,
            "escalation_target": self.escalation_target,
            "policy_digest": self.policy_digest,
            "payload_digest": self.payload_digest,
            "domain": self.domain,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """What leaves the gateway: the verdict, its ledger entry, and the text shown.

    `cut`: the answer reached its token limit. `withheld`: why it was not released, or "". Tokens 0 = not told. made: of
    a task, what the text was written from.
    """

    verdict: Verdict
    text: str
    ledger_seq: int
    ledger_head: str
    ms: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0
    prompt_tokens: int = 0
    cut: bool = False
    withheld: str = ""
    failed: str = ""
    made: Mapping[str, Any] | None = None


_IMAGE_FIELDS = ("modality", "image_path", "image_type", "ocr_content", "safety_level")
_SAMPLE_FIELDS = tuple(f.name for f in dataclasses.fields(Sample) if f.name not in ("id", *_IMAGE_FIELDS))
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN. What is hashed is this."""
    return _CANONICAL.encode(value)


def _rounded(probabilities: Mapping[Decision, float] | None) -> dict[str, float] | None:
    return None if probabilities is None else {d.value: round(probabilities[d], 6) for d in DECISIONS}
