"""Images to text: rapidocr with its packaged weights for horizontal pages, tesseract's jpn_vert for vertical ones.

Nothing is downloaded: the weights lie in the rapidocr package and are named one by one. tesseract is a system program,
called with a list of arguments; where it or its language data is missing, vertical pages cannot be read.
"""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from so8t.core.errors import PackageMissing, SourceUnreadable

MAXIMUM_BYTES = 64 << 20
MAXIMUM_PIXELS = 80_000_000  # a double page at 600 dpi
MAXIMUM_CHARACTERS = 100_000
SECONDS = 120
VERTICAL_MODEL = "jpn_vert"
_MODELS = {
    "Det.model_path": "PP-OCRv6_det_small.onnx",
    "Rec.model_path": "PP-OCRv6_rec_small.onnx",
    "Cls.model_path": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands on an image; confidence 0..1 is the engine's mean over its lines, weighted by their length."""

    text: str
    confidence: float
    engine: str


@dataclass(frozen=True, slots=True)
class _Line:
    left: float
    top: float
    height: float
    text: str
    score: float


class Ocr:
    """`threads` of the processor for one page; the weights are loaded at the first horizontal page."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._engine: Any = None

    def read(self, image: Path, vertical: bool = False) -> Reading:
        """Raises SourceUnreadable for what is no image or too large, PackageMissing without an engine."""
        check_image(image)
        return self._tesseract(image) if vertical else self._rapidocr(image)

    def _rapidocr(self, image: Path) -> Reading:
        if self._engine is None:
            self._engine = _load(self._threads)
        found = self._engine(str(image))
        if found.txts is None:
            return Reading("", 0.0, "rapidocr")
        lines = [
            _Line(min(p[0] for p in box), min(p[1] for p in box), max(p[1] for p in box) - min(p[1] for p in box), t, s)
            for box, t, s in zip(found.boxes.tolist(), found.txts, found.scores, strict=True)
        ]
        return Reading(in_order(lines)[:MAXIMUM_CHARACTERS], _mean(lines), "rapidocr")

    def _tesseract(self, image: Path) -> Reading:
        program = shutil.which("tesseract")
        if program is None or not reads_vertical():
            raise PackageMissing(detail=f"tesseract, {VERTICAL_MODEL}")
        command = [program, str(image), "stdout", "-l", VERTICAL_MODEL, "--psm", "5", "tsv"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True, stdin=subprocess.DEVNULL)
        except (subprocess.SubprocessError, OSError) as error:
            raise SourceUnreadable(where=image, detail=f"tesseract: {type(error).__name__}") from error
        return _from_table(done.stdout.decode("utf-8", "replace"))


def check_image(image: Path) -> None:
    """Raises SourceUnreadable before anything large is decoded."""
    from PIL import Image

    if image.stat().st_size > MAXIMUM_BYTES:
        raise SourceUnreadable(where=image, detail=f"> {MAXIMUM_BYTES} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            with Image.open(image) as opened:
                width, height = opened.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SourceUnreadable(where=image, detail=f"image: {type(error).__name__}") from error
    if width * height > MAXIMUM_PIXELS:
        raise SourceUnreadable(where=image, detail=f"{width} x {height} pixels > {MAXIMUM_PIXELS}")


def in_order(lines: Sequence[_Line]) -> str:
    """From top to bottom; what stands at the same height from left to right on one line."""
    rows: list[list[_Line]] = []
    for line in sorted(lines, key=lambda found: found.top):
        if rows and line.top - rows[-1][0].top < 0.6 * rows[-1][0].height:
            rows[-1].append(line)
        else:
            rows.append([line])
    return "\n".join(" ".join(p.text for p in sorted(row, key=lambda found: found.left)) for row in rows)


@cache
def reads_vertical() -> bool:
    """tesseract and its data for vertical Japanese are there."""
    program = shutil.which("tesseract")
    if program is None:
        return False
    try:
        done = subprocess.run([program, "--list-langs"], capture_output=True, timeout=SECONDS, check=False)
    except (subprocess.SubprocessError, OSError):
        return False
    return VERTICAL_MODEL in done.stdout.decode("utf-8", "replace").split()


def _load(threads: int) -> Any:
    try:
        import rapidocr
    except ImportError:
        raise PackageMissing(detail='rapidocr: pip install "so8t[ocr]"') from None
    folder = Path(rapidocr.__file__).parent / "models"
    missing = [name for name in _MODELS.values() if not (folder / name).is_file()]
    if missing:
        raise PackageMissing(detail=f"rapidocr {', '.join(missing)}")
    parameters: dict[str, Any] = {key: str(folder / name) for key, name in _MODELS.items()}
    for kind in ("intra", "inter"):
        parameters[f"EngineConfig.onnxruntime.{kind}_op_num_threads"] = threads
    return rapidocr.RapidOCR(params=parameters | {"Global.log_level": "error"})


def _mean(lines: Sequence[_Line]) -> float:
    weight = sum(len(line.text) for line in lines)
    return sum(line.score * len(line.text) for line in lines) / weight if weight else 0.0


def _from_table(table: str) -> Reading:
    """tesseract's TSV: a word a row, with block, paragraph, line, confidence in percent and text."""
    texts: dict[tuple[str, ...], str] = {}
    scores: list[tuple[float, int]] = []
    for row in table.splitlines()[1:]:
        cells = row.split("\t")
        if len(cells) == 12 and cells[11].strip() and float(cells[10]) >= 0:
            key = tuple(cells[1:5])
            texts[key] = texts.get(key, "") + cells[11].strip()
            scores.append((float(cells[10]) / 100, len(cells[11])))
    weight = sum(n for _, n in scores)
    confidence = sum(s * n for s, n in scores) / weight if weight else 0.0
    return Reading("\n".join(texts.values())[:MAXIMUM_CHARACTERS], confidence, "tesseract")
