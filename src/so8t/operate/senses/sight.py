"""What a detector saw, as records and as the Japanese text that a request takes along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Seen:
    """One object, or the finding of an anomaly model. box: left, top, width, height as parts of the image.

    confidence 0..1 as the model gives it: it is no probability unless the model was calibrated. score: of an anomaly.
    """

    label: str
    confidence: float
    box: Box | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """An image as a detector sees it. confidence: of what it is least sure of; engine: detector or anomaly."""

    seen: tuple[Seen, ...]
    confidence: float
    engine: Literal["detector", "anomaly"]

    @property
    def text(self) -> str:
        """An object a line."""
        if not self.seen:
            return f"検出なし(確度 {self.confidence:.2f})"
        return "\n".join(map(_line, self.seen))

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text, "confidence": round(self.confidence, 4), "engine": self.engine,
            "seen": [{k: _rounded(v) for k, v in asdict(one).items() if v is not None} for one in self.seen],
        }  # fmt: skip


def _line(one: Seen) -> str:
    told = [f"確度 {one.confidence:.2f}"]
    if one.score is not None:
        told.append(f"指標 {one.score:.4g}")
    if one.box is not None:
        names = zip(("左", "上", "幅", "高さ"), one.box, strict=True)
        told.append("・".join(f"{name} {part * 100:.0f} %" for name, part in names))
    return f"検出: {one.label}({'、'.join(told)})"


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    return [round(part, 4) for part in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
