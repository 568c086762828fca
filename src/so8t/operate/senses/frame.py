"""How an image lies in a model's input, and a place of the one in the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from so8t.operate.senses.eyes_file import InputFile

if TYPE_CHECKING:
    from PIL.Image import Image

GREY = 114  # beside a letterboxed image


@dataclass(frozen=True, slots=True)
class Frame:
    """The input's size, and the part of it that the image takes, in pixels of the input."""

    width: int
    height: int
    left: float = 0.0
    top: float = 0.0
    across: float = 0.0
    down: float = 0.0

    def x(self, value: float) -> float:
        """A place of the input as a part of the image's width, 0..1."""
        return float(min(max((value - self.left) / (self.across or self.width), 0.0), 1.0))

    def y(self, value: float) -> float:
        return float(min(max((value - self.top) / (self.down or self.height), 0.0), 1.0))


def framed(image: Image, spec: InputFile) -> tuple[Image, Frame]:
    """The image in the size of the input."""
    from PIL import Image

    height, width = spec.size
    if spec.fit == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR), Frame(width, height)
    scale = min(width / image.width, height / image.height)
    across, down = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    left, top = (width - across) // 2, (height - down) // 2
    made = Image.new(image.mode, (width, height), (GREY,) * len(image.getbands()))
    made.paste(image.resize((across, down), Image.Resampling.BILINEAR), (left, top))
    return made, Frame(width, height, left, top, across, down)


def tensor(image: Image, spec: InputFile, dtype: type[np.generic]) -> np.ndarray[Any, Any]:
    """[1, C, H, W] or [1, H, W, C], scaled and normalised. An input of bytes is given the pixels as they are."""
    pixels: Any = np.atleast_3d(np.asarray(image))
    if spec.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    if dtype is not np.uint8:
        scaled = pixels.astype(np.float32) * np.float32(spec.scale)
        if spec.mean:
            scaled = scaled - np.array(spec.mean, np.float32)
        if spec.std:
            scaled = scaled / np.array(spec.std, np.float32)
        pixels = scaled
    ordered = pixels.transpose(2, 0, 1) if spec.layout == "NCHW" else pixels
    made: np.ndarray[Any, Any] = np.ascontiguousarray(ordered[None].astype(dtype))
    return made
