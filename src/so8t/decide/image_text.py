"""How an image enters a request: as the text that OCR read, under a line that says what it is (SPEC M10)."""

from __future__ import annotations

LONGEST = 1200  # characters of a page that a request carries


def with_image(query: str, image_type: str, level: str, text: str, confidence: float) -> str:
    """The query, then what stands on the image. Training and serving both call this."""
    read = text if len(text) <= LONGEST else text[:LONGEST] + "(以下略)"
    return f"{query}\n【画像: {image_type} / 区分 {level} / OCR確度 {confidence:.2f}】\n{read}"
