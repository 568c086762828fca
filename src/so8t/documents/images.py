"""Encoded images -> grey pixels, upright, on white: bounded before anything large is decoded."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from so8t.core.errors import PackageMissing, SourceMissing, SourceUnreadable

if TYPE_CHECKING:
    from PIL.Image import Image

Mode = Literal["L", "RGB"]
MAXIMUM_BYTES = 64 << 20
MAXIMUM_PIXELS = 80_000_000  # a double page at 600 dpi
MAXIMUM_SIDE = 30_000
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")  # what scanners write; Pillow's other readers stay closed
INSTALL = 'pip install "so8t[ocr]"'
INK = 40  # grey levels below the paper from which on a pixel is ink
BLANK = 0.0002  # greatest share of ink on a page that counts as blank: dust


def load_image(path: Path) -> Image:
    """The one image of a file. Its size is known before anything large is decoded.

    Raises SourceMissing, SourceUnreadable for what is no image of FORMATS, too large or of several pages (none is to be
    passed over in silence), PackageMissing without Pillow.
    """
    try:
        with path.open("rb") as source, _opened(source, path) as opened:
            if getattr(opened, "is_animated", False):
                raise SourceUnreadable(where=path, detail="several pages: one a file")
            return _plain(opened, "L")
    except FileNotFoundError:
        raise SourceMissing(where=path) from None
    except OSError as error:
        raise SourceUnreadable(where=path, detail=f"image: {type(error).__name__}") from error


def image_pages(content: bytes, where: object, most: int | None = None, mode: Mode = "L") -> Iterator[Image]:
    """Every page of an encoded image, for TIFF may hold many; the size of each is checked before it is decoded.
    mode: L = grey, RGB = in colour.

    Raises SourceUnreadable, also for more than `most`; PackageMissing. What came before a damaged page has been given.
    """
    with _opened(io.BytesIO(content), where) as opened:
        count = getattr(opened, "n_frames", 1)
        if most is not None and count > most:
            raise SourceUnreadable(where=where, detail=f"{count} pages > {most}")
        for number in range(count):
            opened.seek(number)
            _check_size(where, *opened.size)
            yield _plain(opened, mode)


def is_blank(grey: Image) -> bool:
    """Nothing but paper and dust: the back of a scanned sheet."""
    import numpy as np

    pixels = np.asarray(grey)
    return bool((pixels < np.median(pixels) - INK).mean() <= BLANK)


@contextmanager
def _opened(source: BinaryIO, where: object) -> Iterator[Image]:
    """Whatever a decoder raises for what it is given, as SourceUnreadable."""
    try:
        from PIL import Image
    except ImportError:
        raise PackageMissing(detail=f"pillow: {INSTALL}") from None
    try:
        size = source.seek(0, io.SEEK_END)
        source.seek(0)
        if size > MAXIMUM_BYTES:
            raise SourceUnreadable(where=where, detail=f"{size} bytes > {MAXIMUM_BYTES}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata, and bombs: our own limits follow
            with Image.open(source, formats=FORMATS) as opened:
                _check_size(where, *opened.size)
                yield opened
    except (SourceUnreadable, MemoryError):
        raise
    except Exception as error:  # a decoder may fail at a damaged file in any way
        raise SourceUnreadable(where=where, detail=f"image: {type(error).__name__}") from error


def _check_size(where: object, width: int, height: int) -> None:
    if width * height > MAXIMUM_PIXELS or max(width, height) > MAXIMUM_SIDE:
        limit = f"{MAXIMUM_PIXELS} pixels, {MAXIMUM_SIDE} a side"
        raise SourceUnreadable(where=where, detail=f"{width} x {height} > {limit}")


def _plain(opened: Image, mode: Mode) -> Image:
    """Upright, without transparency or a palette."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(opened)
    if upright.mode.startswith("I"):  # 16 bits a pixel, which Pillow would cut off at 255
        return upright.point(lambda value: value * (1 / 256)).convert("L").convert(mode)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert(mode)
    return upright.convert(mode)
