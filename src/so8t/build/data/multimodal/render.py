"""A page as a grey image, as a scanner gives it: table or columns, stamp, skew, blur, speckles, faded ink."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from so8t.build.data.multimodal.pages import Page
from so8t.core.errors import PackageMissing, SourceUnreadable

WIDTH, MARGIN, SIZE, LEADING = 1000, 60, 26, 46
LETTERS = 32  # of a horizontal line
COLUMN = 22  # characters of a vertical one
PITCH, STEP = 41, 32  # pixels from column to column, and from character to character in one
_INK, _PAPER, _STAMP = 20, 250, 90
SHADE = 17  # grey levels apart: 16 shades, as document scanners give them, are a third of the bytes of 256
GRAIN = np.float32(6.0)  # standard deviation of a scanner's noise, in grey levels
# strength of (skew in degrees, blur radius in pixels, speckles per thousand pixels, contrast)
NOISE = {"clean": (0.0, 0.0, 0.0, 1.0), "light": (0.8, 0.5, 0.6, 0.85), "heavy": (1.8, 0.8, 2.0, 0.65)}
_HANGING = frozenset("。、")
_SMALL = frozenset("ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ")
_UPRIGHT = str.maketrans("、。ー「」【】()（）:：", "︑︒｜﹁﹂︻︼︵︶︵︶︓︓")


def render(page: Page, font: Path | None = None) -> Image.Image:
    """[height, width] grey. Depends on the page (its seed included) and the font alone.

    Raises PackageMissing without a font, SourceUnreadable for one that is none.
    """
    face = _face(str(font or font_path()))
    drawn = _vertical(page, face) if page.vertical else _horizontal(page, face)
    return _scanned(drawn, page)


def font_path() -> Path:
    """Noto Sans CJK JP (SIL Open Font Licence 1.1) from its package."""
    try:
        folder = resources.files("noto_cjk_sans_jp_regular")
    except ModuleNotFoundError:
        raise PackageMissing(detail='noto-cjk-sans-jp-regular: pip install "so8t[ocr]"') from None
    return Path(str(folder / "NotoSansCJKjp-Regular.otf"))


@cache
def _face(path: str) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(path, SIZE)
    except OSError as error:
        raise SourceUnreadable(where=path, detail=f"font: {error}") from error


def _wrapped(text: str, length: int) -> list[str]:
    """A line ends after `length` characters; a full stop or comma hangs over its end (JIS X 4051)."""
    lines = []
    while text:
        end = length + 1 if text[length : length + 1] in _HANGING else length
        lines.append(text[:end])
        text = text[end:]
    return lines


def _horizontal(page: Page, face: ImageFont.FreeTypeFont) -> Image.Image:
    """Title and stamp, a ruled table of the fields, paragraphs, and the note in a box."""
    body = [line for sentence in page.body for line in _wrapped(sentence, LETTERS)]
    note = _wrapped(page.note, LETTERS - 4)
    height = 2 * MARGIN + LEADING * (4 + len(page.fields) + len(body) + len(note))
    image = Image.new("L", (WIDTH, height), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), page.title, font=face, fill=_INK)
    stamp = page.stamp
    left = WIDTH - MARGIN - int(face.getlength(stamp)) - 24
    draw.rectangle((left, MARGIN - 8, WIDTH - MARGIN, MARGIN + LEADING - 4), outline=_STAMP, width=3)
    draw.text((left + 12, MARGIN), stamp, font=face, fill=_STAMP)
    y = MARGIN + 2 * LEADING
    for label, value in page.fields:
        draw.rectangle((MARGIN, y - 6, WIDTH - MARGIN, y + LEADING - 6), outline=_INK)
        draw.line((MARGIN + 220, y - 6, MARGIN + 220, y + LEADING - 6), fill=_INK)
        draw.text((MARGIN + 14, y), label, font=face, fill=_INK)
        draw.text((MARGIN + 236, y), value, font=face, fill=_INK)
        y += LEADING
    y += LEADING // 2
    for line in body:
        draw.text((MARGIN, y), line, font=face, fill=_INK)
        y += LEADING
    if note:
        y += LEADING // 4
        box = (MARGIN + 30, y - 8, WIDTH - MARGIN - 30, y + LEADING * len(note) - 4)
        draw.rectangle(box, outline=_INK, fill=_PAPER - 15)
    for line in note:
        draw.text((MARGIN + 46, y), line, font=face, fill=_INK)
        y += LEADING
    return image


def _vertical(page: Page, face: ImageFont.FreeTypeFont) -> Image.Image:
    """Columns from right to left, as letters and old forms are written.

    The stamp has no box here: tesseract took a boxed column for a picture and left it out.
    """
    columns = [(piece, line) for line in page.lines for piece in _wrapped(line.replace(" ", ""), COLUMN)]
    width = 2 * MARGIN + PITCH * len(columns)
    image = Image.new("L", (max(width, 400), 2 * MARGIN + STEP * COLUMN), _PAPER)
    draw = ImageDraw.Draw(image)
    x = image.width - MARGIN - SIZE
    for column, line in columns:
        ink = _STAMP if line == page.stamp else _INK
        for row, character in enumerate(column.translate(_UPRIGHT)):
            # Small kana hang in the upper right of their square (JIS X 4051).
            right, up = (SIZE // 8, SIZE // 8) if character in _SMALL else (0, 0)
            place = (x + SIZE / 2 + right, MARGIN + STEP * row - up)
            draw.text(place, character, font=face, fill=ink, anchor="ma")
        x -= PITCH
    return image


def _scanned(image: Image.Image, page: Page) -> Image.Image:
    skew, blur, speckles, contrast = NOISE[page.noise]
    rng = np.random.default_rng(page.seed)
    if skew:
        angle = float(rng.uniform(-skew, skew))
        image = image.rotate(angle, resample=Image.Resampling.BICUBIC, fillcolor=_PAPER)
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 1.0)) * blur))
    pixels = 255 - (255 - np.asarray(image, np.float32)) * np.float32(contrast)
    if speckles:
        spots = rng.integers(pixels.size, size=round(pixels.size * speckles / 1000))
        pixels.ravel()[spots] = rng.uniform(0, 255, len(spots))
        pixels += GRAIN * rng.standard_normal(pixels.shape, np.float32)
    shades = np.clip(np.rint(pixels / SHADE), 0, 255 // SHADE).astype(np.uint8)
    return Image.fromarray(shades * SHADE)
