"""Images through an object or anomaly detector that the user brings, on ONNX Runtime (plan 3.3).

A folder with an ONNX file and an eyes.toml (eyes_file.py) that names it, its SHA-256, its input and its output. What is
seen is text with confidences: data for the judges, like a page's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from so8t.core.config import read_settings
from so8t.core.errors import PackageMissing, SenseUnusable
from so8t.documents.images import Mode, image_pages
from so8t.operate.senses import detections
from so8t.operate.senses.eyes_file import NAME, EyesFile
from so8t.operate.senses.frame import framed, tensor
from so8t.operate.senses.sight import Sight
from so8t.operate.senses.weights import read_pinned

INSTALL = 'pip install "so8t[eyes]"'
LARGEST_SIDE = 4096
TYPES: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8, "tensor(double)": np.float64,
}  # fmt: skip


class Eyes:
    """Raises ConfigUnreadable, ConfigKeyUnknown, ConfigValueInvalid, SenseUnusable, PackageMissing when it is made."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.file = eyes_file(folder)
        self._session = _session(read_pinned(folder, self.file.weights, self.file.sha256), folder, threads)
        given = self._session.get_inputs()
        name = self.file.input.name or (given[0].name if len(given) == 1 else "")
        if name not in {one.name for one in given}:
            raise SenseUnusable(where=folder, detail=f"input.name: {', '.join(one.name for one in given)}")
        self._input = next(one for one in given if one.name == name)
        if self._input.type not in TYPES:
            raise SenseUnusable(where=folder, detail=f"{name}: {self._input.type}")

    def look(self, content: bytes, where: object = "image") -> Sight:
        """At the first page of an encoded image. Raises SourceUnreadable, SenseUnusable."""
        mode: Mode = "L" if self.file.input.channels == "L" else "RGB"
        image, frame = framed(next(image_pages(content, where, 1, mode)), self.file.input)
        fed = {self._input.name: tensor(image, self.file.input, TYPES[self._input.type])}
        names = [one.name for one in self._session.get_outputs()]
        try:
            outputs = dict(zip(names, self._session.run(None, fed), strict=True))
        except Exception as error:  # a model from outside may fail in any way
            raise SenseUnusable(where=self.file.weights, detail=f"{type(error).__name__}: {error}"[:300]) from error
        if self.file.kind == "detections":
            return detections.objects(outputs, self.file.detections, self.file.labels, frame)
        return detections.anomaly(outputs, self.file.anomaly, self.file.labels, frame)


def eyes_file(folder: Path) -> EyesFile:
    """Raises ConfigUnreadable, ConfigKeyUnknown, ConfigValueInvalid, SenseUnusable."""
    file = read_settings(EyesFile, folder / NAME)
    _check(file, folder / NAME)
    return file


def _session(weights: bytes, folder: Path, threads: int) -> Any:
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError:
        raise PackageMissing(detail=f"onnxruntime: {INSTALL}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
    try:
        return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SenseUnusable(where=folder, detail=f"{type(error).__name__}: {error}"[:300]) from error


def _check(file: EyesFile, where: Path) -> None:
    """Raises SenseUnusable for values that cannot be meant."""
    channels = len(file.input.channels)
    wrong = [
        ("input.size", len(file.input.size) != 2 or not all(0 < side <= LARGEST_SIDE for side in file.input.size)),
        ("input.mean", len(file.input.mean) not in (0, channels)),
        ("input.std", len(file.input.std) not in (0, channels) or 0 in file.input.std),
        ("labels", not file.labels or any(not label.strip() or len(label) > 40 for label in file.labels)),
        ("labels", file.kind == "anomaly" and len(file.labels) != 2),
        (
            "anomaly.threshold",
            file.kind == "anomaly" and not (file.anomaly.threshold > 0 and file.anomaly.softness > 0),
        ),
        ("detections.least", not 0 <= file.detections.least <= 1 or not 0 <= file.detections.nms <= 1),
    ]
    for key, bad in wrong:
        if bad:
            raise SenseUnusable(where=where, detail=key)
