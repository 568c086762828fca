"""Pages as a scanner gives them: rendered here, with as much noise as a test wants."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from so8t.build.data.multimodal.render import font_path

SIZE, MARGIN, LEADING = 34, 60, 58


def sheet(*lines: str, width: int = 1200) -> Image.Image:
    """Black on white, a line below the other."""
    face = ImageFont.truetype(str(font_path()), SIZE)
    image = Image.new("L", (width, 2 * MARGIN + LEADING * max(len(lines), 6)), 255)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + LEADING * number), line, font=face, fill=10)
    return image


def ruined(image: Image.Image, seed: int = 1, blur: float = 3.4, contrast: float = 0.5) -> Image.Image:
    """Out of focus, faded and grainy: what OCR guesses at."""
    rng = np.random.default_rng(seed)
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), np.float32)
    noisy = 255 - (255 - soft) * contrast + rng.normal(0, 34, soft.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", more: Sequence[Image.Image] = ()) -> bytes:
    made = io.BytesIO()
    options = {"save_all": True, "append_images": list(more)} if more else {}
    image.save(made, kind, **options, **({"resolution": 150} if kind == "PDF" else {}))
    return made.getvalue()
