"""A model's output tensors -> what was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from so8t.core.errors import SenseUnusable
from so8t.operate.senses.eyes_file import AnomalyFile, DetectionsFile
from so8t.operate.senses.frame import Frame
from so8t.operate.senses.sight import Box, Seen, Sight

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
MOST_CANDIDATES = 100_000  # rows of a model's output


def objects(outputs: Mapping[str, Any], spec: DetectionsFile, labels: Sequence[str], frame: Frame) -> Sight:
    """The best `spec.most` objects. Raises SenseUnusable for outputs that are not as the file says."""
    boxes = _tensor(outputs, spec.boxes).reshape(-1, 4) if _tensor(outputs, spec.boxes).size else np.zeros((0, 4))
    scores, classes = _scores(outputs, spec, len(boxes))
    if len(boxes) > MOST_CANDIDATES:
        raise SenseUnusable(detail=f"{len(boxes)} boxes > {MOST_CANDIDATES}")
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise SenseUnusable(detail="an output is not finite")
    corners = _corners(boxes, spec, frame)
    chosen = _apart(corners, scores, classes, spec)
    seen = tuple(
        Seen(_label(labels, int(classes[n])), float(np.clip(scores[n], 0, 1)), _box(corners[n], frame)) for n in chosen
    )
    rest = float(scores.max()) if len(scores) else 0.0
    return Sight(seen, min((one.confidence for one in seen), default=1 - min(max(rest, 0.0), 1.0)), "detector")


def anomaly(outputs: Mapping[str, Any], spec: AnomalyFile, labels: Sequence[str], frame: Frame) -> Sight:
    """Good or bad, how sure, and where. Raises SenseUnusable."""
    found = _tensor(outputs, spec.output)
    if not found.size or not np.isfinite(found).all():
        raise SenseUnusable(detail=f"{spec.output}: no score")
    score = float(found.max())
    away = (score - spec.threshold) / (spec.softness * spec.threshold)
    bad = score > spec.threshold
    confidence = 1 / (1 + math.exp(-min(abs(away), 50.0)))
    where = _region(found.squeeze(), spec.threshold, frame) if bad else None
    return Sight((Seen(labels[1] if bad else labels[0], confidence, where, score),), confidence, "anomaly")


def _tensor(outputs: Mapping[str, Any], name: str) -> Array:
    if name not in outputs:
        raise SenseUnusable(detail=f"no output {name!r} ({', '.join(outputs)})")
    return np.asarray(outputs[name], np.float64)


def _scores(outputs: Mapping[str, Any], spec: DetectionsFile, count: int) -> tuple[Array, Array]:
    """[N] the score of each box and [N] its class."""
    scores = _tensor(outputs, spec.scores)
    if spec.classes:
        classes = _tensor(outputs, spec.classes).reshape(-1)
        scores = scores.reshape(-1)
    elif count and scores.size % count == 0:
        table = scores.reshape(count, -1)
        classes, scores = table.argmax(axis=1).astype(np.float64), table.max(axis=1)
    else:
        classes, scores = np.zeros(count), scores.reshape(-1)
    if len(scores) != count or len(classes) != count:
        raise SenseUnusable(detail=f"{count} boxes, {len(scores)} scores, {len(classes)} classes")
    return scores, classes


def _corners(boxes: Array, spec: DetectionsFile, frame: Frame) -> Array:
    """[N, 4] left, top, right, bottom in pixels of the input."""
    made = boxes.copy()
    if spec.corners == "yxyx":
        made = boxes[:, [1, 0, 3, 2]]
    elif spec.corners == "cxcywh":
        half = boxes[:, 2:] / 2
        made = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    if spec.unit == "parts":
        made = made * np.array([frame.width, frame.height] * 2)
    return made


def _apart(corners: Array, scores: Array, classes: Array, spec: DetectionsFile) -> list[int]:
    """Greedy non-maximum suppression within a class (Felzenszwalb et al. 2010), best first."""
    chosen: list[int] = []
    for n in np.argsort(-scores, kind="stable"):
        if scores[n] < spec.least or len(chosen) == spec.most:
            break
        rivals = [m for m in chosen if classes[m] == classes[n]] if spec.nms else []
        if all(overlap(corners[n], corners[m]) <= spec.nms for m in rivals):
            chosen.append(int(n))
    return chosen


def overlap(one: Sequence[float] | Array, other: Sequence[float] | Array) -> float:
    """Intersection over union of two boxes (left, top, right, bottom), 0..1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return float(width * height / (areas - width * height))


def _box(corners: Array, frame: Frame) -> Box:
    """As parts of the image, inside it."""
    left, right = (frame.x(value) for value in (corners[0], corners[2]))
    top, bottom = (frame.y(value) for value in (corners[1], corners[3]))
    return left, top, max(0.0, right - left), max(0.0, bottom - top)


def _region(scores: Array, threshold: float, frame: Frame) -> Box | None:
    """What encloses all that lies above the threshold; None for a single score."""
    if scores.ndim != 2 or scores.size == 1:
        return None
    rows, columns = np.nonzero(scores > threshold)
    down, across = frame.height / scores.shape[0], frame.width / scores.shape[1]
    left, right = columns.min() * across, (columns.max() + 1) * across
    top, bottom = rows.min() * down, (rows.max() + 1) * down
    return _box(np.array([left, top, right, bottom]), frame)


def _label(labels: Sequence[str], number: int) -> str:
    return labels[number] if 0 <= number < len(labels) else f"種類 {number}"
