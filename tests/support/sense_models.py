"""Small models of known answer: a detector of coloured squares with weights set by hand, and an anomaly model fitted
on good parts that were drawn."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
from onnx_file import model, node
from PIL import Image, ImageDraw

SIDE, CELL = 64, 8
DETECTOR = """
kind = "detections"
labels = ["赤い部品", "青い部品"]
weights = "model.onnx"
sha256 = "{digest}"
[input]
size = [64, 64]
fit = "{fit}"
[detections]
boxes = "boxes"
scores = "scores"
nms = 0.2
"""
ANOMALY = """
kind = "anomaly"
labels = ["良品", "異常の疑い"]
weights = "model.onnx"
sha256 = "{digest}"
[input]
size = [32, 32]
channels = "L"
[anomaly]
output = "map"
threshold = {threshold}
"""


def _saved(folder: Path, content: bytes, text: str, **values: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "eyes.toml").write_text(text.format(digest=sha256(content).hexdigest(), **values), encoding="utf-8")
    return folder


def colour_detector(folder: Path, fit: str = "stretch") -> Path:
    """Windows of 16 x 16 at every 8 pixels; a window's score for a colour is a sigmoid of how much of it is so."""
    size = 2 * CELL
    kernel = np.full((2, 3, size, size), -0.5, np.float32) / size**2
    kernel[0, 0] = kernel[1, 2] = 1.0 / size**2  # red less half of the rest; blue less half of the rest
    steps = (SIDE - size) // CELL + 1
    at = np.arange(steps) * CELL
    left, top = (part.ravel() for part in np.meshgrid(at, at))
    boxes = np.stack([left, top, left + size, top + size], axis=1).astype(np.float32)
    nodes = [
        node("Conv", ["image", "kernel"], ["much"], kernel_shape=[size, size], strides=[CELL, CELL]),
        node("Mul", ["much", "steep"], ["steeper"]), node("Add", ["steeper", "less"], ["odds"]),
        node("Sigmoid", ["odds"], ["grid"]), node("Transpose", ["grid"], ["last"], perm=[0, 2, 3, 1]),
        node("Reshape", ["last", "rows"], ["scores"]), node("Identity", ["grid_boxes"], ["boxes"]),
    ]  # fmt: skip
    weights = {
        "kernel": kernel, "steep": np.float32(20).reshape(1), "less": np.float32(-12).reshape(1),
        "rows": np.array([-1, 2], np.int64), "grid_boxes": boxes,
    }  # fmt: skip
    content = model(
        nodes, weights, {"image": [1, 3, SIDE, SIDE]}, {"boxes": [steps**2, 4], "scores": ["n", 2]}
    )  # fmt: skip
    return _saved(folder, content, DETECTOR, fit=fit)


def square(colour: str, box: tuple[int, int, int, int], size: tuple[int, int] = (640, 640)) -> Image.Image:
    image = Image.new("RGB", size, (90, 90, 90))
    ImageDraw.Draw(image).rectangle(box, fill=colour)
    return image


def part(rng: np.random.Generator, *, good: bool) -> Image.Image:
    """A ring of metal on a belt, 96 x 96; a bad one has a notch in its rim or a filled hole."""
    image = Image.new("L", (96, 96), 60)
    draw = ImageDraw.Draw(image)
    draw.ellipse((12, 12, 84, 84), fill=190)
    draw.ellipse((36, 36, 60, 60), fill=60 if good or rng.random() < 0.5 else 190)
    if not good and image.getpixel((48, 48)) == 60:
        angle = rng.uniform(0, 2 * np.pi)
        x, y = 48 + 30 * np.cos(angle), 48 + 30 * np.sin(angle)
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=60)
    pixels = np.asarray(image, np.float32) * rng.uniform(0.97, 1.03) + rng.normal(0, 5, (96, 96))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def anomaly_model(folder: Path, seed: int = 5, goods: int = 60) -> Path:
    """Mean and spread of every pixel over good parts; the map is the mean distance in spreads over 4 x 4 pixels. The
    threshold lies a half above the greatest that other good parts reach."""
    rng = np.random.default_rng(seed)
    seen = np.stack([_small(part(rng, good=True)) for _ in range(goods)])
    mean, spread = seen.mean(axis=0), seen.std(axis=0) + 0.02
    checked = [_map(_small(part(rng, good=True)), mean, spread).max() for _ in range(goods)]
    nodes = [
        node("Sub", ["image", "mean"], ["away"]), node("Abs", ["away"], ["far"]),
        node("Div", ["far", "spread"], ["spreads"]),
        node("AveragePool", ["spreads"], ["map"], kernel_shape=[4, 4], strides=[4, 4]),
    ]  # fmt: skip
    weights = {"mean": mean[None, None].astype(np.float32), "spread": spread[None, None].astype(np.float32)}
    content = model(nodes, weights, {"image": [1, 1, 32, 32]}, {"map": [1, 1, 8, 8]})
    return _saved(folder, content, ANOMALY, threshold=float(max(checked) * 1.5))


def _small(image: Image.Image) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255


def _map(pixels: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return (np.abs(pixels - mean) / spread).reshape(8, 4, 8, 4).mean(axis=(1, 3))
