"""eyes.toml: how a detector's image is made ready and its answer read. It lies beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

NAME = "eyes.toml"


@dataclass(frozen=True, slots=True)
class InputFile:
    """[input]: pixels * scale, then (x - mean) / std for each channel.

    size: height, width. fit: stretch to it, or letterbox (keep the proportions, grey on the rest).
    """

    name: str = ""
    size: tuple[int, ...] = (320, 320)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    channels: Literal["RGB", "BGR", "L"] = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fit: Literal["stretch", "letterbox"] = "stretch"


@dataclass(frozen=True, slots=True)
class DetectionsFile:
    """[detections]: names of the outputs. boxes [N, 4]; scores [N] with classes [N], or [N, C] without.

    corners: xyxy, yxyx or cxcywh; unit: pixels of the input, or parts of 1. least: the score from which an object is
    told; nms: the greatest overlap (IoU) of two of one kind, 0 = the model has seen to that.
    """

    boxes: str = "boxes"
    scores: str = "scores"
    classes: str = ""
    corners: Literal["xyxy", "yxyx", "cxcywh"] = "xyxy"
    unit: Literal["pixels", "parts"] = "pixels"
    least: float = 0.3
    nms: float = 0.45
    most: int = 50


@dataclass(frozen=True, slots=True)
class AnomalyFile:
    """[anomaly]: `output` is a score or a map of scores [H, W]; above `threshold` something is wrong.

    softness: how far from the threshold, as a part of it, one is 73 % sure.
    """

    output: str = "score"
    threshold: float = 1.0
    softness: float = 0.1


@dataclass(frozen=True, slots=True)
class EyesFile:
    """weights: an ONNX file in the same folder, with its SHA-256. labels: of the classes, in their order; of an anomaly
    the words for good and for bad."""

    weights: str = "model.onnx"
    sha256: str = ""
    kind: Literal["detections", "anomaly"] = "detections"
    labels: tuple[str, ...] = ()
    input: InputFile = field(default_factory=InputFile)
    detections: DetectionsFile = field(default_factory=DetectionsFile)
    anomaly: AnomalyFile = field(default_factory=AnomalyFile)
