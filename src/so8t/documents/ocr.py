"""Images to text: rapidocr with its packaged weights for horizontal pages, tesseract's jpn_vert for vertical ones.

Nothing is downloaded: the weights lie in the rapidocr package and are named one by one. tesseract is a system program,
called with a list of arguments; where it or its language data is missing, vertical pages cannot be read. Neither engine
opens a file of the user's: an image is checked and decoded first (images.py), and they are given its pixels.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from so8t.core.errors import PackageMissing, ReaderFailed
from so8t.documents.images import INSTALL, load_image

if TYPE_CHECKING:
    from PIL.Image import Image

MAXIMUM_CHARACTERS = 100_000
MAXIMUM_OUTPUT = 16 << 20  # bytes of tesseract's table
SECONDS = 120
VERTICAL_MODEL = "jpn_vert"
TALL = 1.5  # a line this much higher than wide is a column
_MODELS = {
    "Det.model_path": "PP-OCRv6_det_small.onnx",
    "Rec.model_path": "PP-OCRv6_rec_small.onnx",
    "Cls.model_path": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
}
Orientation = Literal["horizontal", "vertical"]
Point = Sequence[float]


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands on an image; confidence 0..1 is the engine's mean over its lines, weighted by their length."""

    text: str
    confidence: float
    engine: str
    orientation: Orientation = "horizontal"


@dataclass(frozen=True, slots=True)
class Line:
    """A line as the detector framed it. corners: left top, right top, right bottom, left bottom, in pixels."""

    corners: Sequence[Point]
    text: str
    score: float

    @property
    def left(self) -> float:
        return min(x for x, _ in self.corners)

    @property
    def middle(self) -> float:
        return sum(y for _, y in self.corners) / 4

    @property
    def across(self) -> Point:
        """From the left to the right end of the upper edge."""
        return [end - start for start, end in zip(self.corners[0], self.corners[1], strict=True)]

    @property
    def height(self) -> float:
        return self.corners[3][1] - self.corners[0][1]


class Ocr:
    """`threads` of the processor for one page; the weights are loaded at the first one."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._engine: Any = None

    @property
    def loaded(self) -> bool:
        """Horizontal pages can be read: what is missing after that is tesseract."""
        return self._engine is not None

    def read(self, image: Path) -> Reading:
        """Raises SourceUnreadable for what is no image or too large, PackageMissing without the engine it needs,
        ReaderFailed where that engine breaks."""
        return self.read_grey(load_image(image), image)

    def read_grey(self, grey: Image, where: object) -> Reading:
        """The same of an image in memory; `where` names it in errors."""
        lines = self._lines(grey, where)
        if orientation(lines) == "vertical":
            return self._columns(grey, where)
        return Reading(in_order(lines)[:MAXIMUM_CHARACTERS], _mean([(n.score, len(n.text)) for n in lines]), "rapidocr")

    def _lines(self, grey: Image, where: object) -> list[Line]:
        import numpy as np

        try:
            if self._engine is None:
                self._engine = _load(self._threads)
            # Without the classifier of upside-down lines: on upright scans it turned short names on their heads.
            found = self._engine(np.asarray(grey), use_det=True, use_cls=False, use_rec=True)
        except PackageMissing:
            raise
        except Exception as error:  # of the engine, on pixels that were checked and decoded before
            raise ReaderFailed(where=where, detail=f"rapidocr: {type(error).__name__}") from error
        if found.boxes is None or found.txts is None:
            return []
        return [Line(*line) for line in zip(found.boxes.tolist(), found.txts, found.scores, strict=True)]

    def _columns(self, grey: Image, where: object) -> Reading:
        program = shutil.which("tesseract")
        if program is None or not reads_vertical():
            raise PackageMissing(where=where, detail=f"tesseract, {VERTICAL_MODEL}")
        pixels = io.BytesIO()
        grey.save(pixels, "PNG")
        command = [program, "stdin", "stdout", "-l", VERTICAL_MODEL, "--psm", "5", "tsv"]
        environment = {**os.environ, "OMP_THREAD_LIMIT": str(self._threads)}
        try:
            with tempfile.TemporaryFile() as table:
                subprocess.run(
                    command, input=pixels.getvalue(), stdout=table, stderr=subprocess.DEVNULL, env=environment,
                    timeout=SECONDS, check=True,
                )  # fmt: skip
                table.seek(0)
                return from_table(table.read(MAXIMUM_OUTPUT).decode("utf-8", "replace"))
        except (subprocess.SubprocessError, OSError) as error:
            raise ReaderFailed(where=where, detail=f"tesseract: {type(error).__name__}") from error


def orientation(lines: Sequence[Line]) -> Orientation:
    """Vertical where columns cover more of the page than lines do; what is about square says nothing."""
    tall = wide = 0.0
    for line in lines:
        width = max(x for x, _ in line.corners) - line.left
        if line.height > TALL * width:
            tall += line.height * width
        elif width > TALL * line.height:
            wide += line.height * width
    return "vertical" if tall > wide else "horizontal"


def in_order(lines: Sequence[Line]) -> str:
    """From top to bottom; what stands at the same height from left to right on one line. A skewed page is set upright
    first, or the right end of one row would be taken for its neighbour's."""
    slope = _slope(lines)
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda found: _level(found, slope)):
        if rows and _level(line, slope) - _level(rows[-1][0], slope) < rows[-1][0].height / 2:
            rows[-1].append(line)
        else:
            rows.append([line])
    return "\n".join(" ".join(p.text for p in sorted(row, key=lambda found: found.left)) for row in rows)


def _level(line: Line, slope: float) -> float:
    return line.middle - slope * sum(x for x, _ in line.corners) / 4


def _slope(lines: Sequence[Line]) -> float:
    """How far the lines fall a pixel to the right; the longer a line, the more it says."""
    run = sum(line.across[0] for line in lines)
    return sum(line.across[1] for line in lines) / run if run > 0 else 0.0


@cache
def reads_vertical() -> bool:
    """tesseract and its data for vertical Japanese are there."""
    program = shutil.which("tesseract")
    if program is None:
        return False
    command = [program, "--list-langs"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL, check=False)
    except (subprocess.SubprocessError, OSError):
        return False
    return VERTICAL_MODEL in done.stdout.decode("utf-8", "replace").split()


def _load(threads: int) -> Any:
    try:
        import rapidocr
    except ImportError:
        raise PackageMissing(detail=f"rapidocr: {INSTALL}") from None
    folder = Path(rapidocr.__file__).parent / "models"
    missing = [name for name in _MODELS.values() if not (folder / name).is_file()]
    if missing:
        raise PackageMissing(detail=f"rapidocr {', '.join(missing)}: {INSTALL}")
    parameters: dict[str, Any] = {key: str(folder / name) for key, name in _MODELS.items()}
    for kind in ("intra", "inter"):
        parameters[f"EngineConfig.onnxruntime.{kind}_op_num_threads"] = threads
    return rapidocr.RapidOCR(params=parameters | {"Global.log_level": "error"})


def _mean(scores: Sequence[tuple[float, int]]) -> float:
    """Of (score, weight); 0 for nothing."""
    weight = sum(n for _, n in scores)
    return sum(score * n for score, n in scores) / weight if weight else 0.0


def from_table(table: str) -> Reading:
    """tesseract's TSV: a word a row, with block, paragraph, line, confidence in percent and text."""
    texts: dict[tuple[str, ...], str] = {}
    scores: list[tuple[float, int]] = []
    for row in table.splitlines()[1:]:
        cells = row.split("\t")
        if len(cells) == 12 and cells[11].strip() and (percent := _number(cells[10])) >= 0:
            key = tuple(cells[1:5])
            texts[key] = texts.get(key, "") + cells[11].strip()
            scores.append((min(percent, 100.0) / 100, len(cells[11])))
    return Reading("\n".join(texts.values())[:MAXIMUM_CHARACTERS], _mean(scores), "tesseract", "vertical")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0
