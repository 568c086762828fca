"""What OCR reads of scanned pages through the path of search and requests, and what its confidence is worth.

    python benchmarks/ocr_pages.py [--pages 10] [--out ocr_pages.json]

Pages of the five domains are rendered, made worse step by step (blur, faded ink, grain), packed as a scanned PDF and
read by documents/read.py, as the document search does. For each step: seconds a page, the character error rate, the
confidence. Then for each threshold: which share of pages with more than 5 % wrong characters lies below it (caught),
and which share of those with at most 2 % does (over-cautious).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from so8t.build.data.multimodal.accuracy import character_error_rate
from so8t.build.data.multimodal.pages import DOMAINS, group
from so8t.build.data.multimodal.render import render
from so8t.core.types import Levels
from so8t.decide.image_text import level_on
from so8t.documents.document import Document
from so8t.documents.limits import Limits
from so8t.documents.ocr_process import OcrProcess
from so8t.documents.read import read

STEPS = ((0.0, 1.0, 0.0), (0.8, 0.8, 12.0), (1.2, 0.7, 20.0), (1.5, 0.6, 26.0), (1.8, 0.55, 30.0), (2.1, 0.5, 34.0))
DPI = 120  # of the rendered pages, 1000 pixels wide: the reader renders them at 200
WRONG, RIGHT = 0.05, 0.02
THRESHOLDS = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97)


def worse(image: Image.Image, blur: float, contrast: float, grain: float, seed: int) -> Image.Image:
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)) if blur else image, np.float32)
    noise = np.random.default_rng(seed).normal(0, grain, soft.shape) if grain else 0.0
    return Image.fromarray(np.clip(255 - (255 - soft) * contrast + noise, 0, 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pages = [group(DOMAINS[n % 5], n, 8, Levels(), False)[0].page for n in range(options.pages)]
    ocr, rows, steps = OcrProcess(threads=1), [], []
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm.png"
        render(pages[0]).save(warm)
        list(read(warm, Limits(), ocr))
        for step in STEPS:
            found = [one(page, step, n, Path(folder), ocr) for n, page in enumerate(pages)]
            rows += found
            errors = [row["cer"] for row in found]
            steps.append(
                {
                    "blur": step[0], "contrast": step[1], "grain": step[2],
                    "seconds": round(float(np.mean([row["seconds"] for row in found])), 3),
                    "cer": round(float(np.mean(errors)), 4), "cer_worst": round(max(errors), 4),
                    "confidence": round(float(np.mean([row["confidence"] for row in found])), 4),
                    "confidence_least": round(min(row["confidence"] for row in found), 4),
                    "stamp_read": round(float(np.mean([row["stamp"] for row in found])), 3),
                }
            )  # fmt: skip
            print(json.dumps(steps[-1]), flush=True)
    ocr.close()
    bad, good = [r for r in rows if r["cer"] > WRONG], [r for r in rows if r["cer"] <= RIGHT]
    lost = [r for r in rows if not r["stamp"]]
    table = [
        {
            "threshold": t, "caught": share(bad, t), "stamp_lost_caught": share(lost, t),
            "over_cautious": share(good, t),
        }
        for t in THRESHOLDS
    ]  # fmt: skip
    for row in table:
        print(json.dumps(row))
    result = {
        "date": time.strftime("%Y-%m-%d"), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(), "rapidocr": version("rapidocr"), "onnxruntime": version("onnxruntime"),
        "pages": options.pages, "wrong": len(bad), "right": len(good), "stamps_lost": len(lost), "steps": steps,
        "thresholds": table,
    }  # fmt: skip
    if options.out:
        options.out.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    sys.stdout.flush()


def one(page: object, step: tuple[float, float, float], seed: int, folder: Path, ocr: OcrProcess) -> dict[str, float]:
    path, packed = folder / "page.pdf", io.BytesIO()
    worse(render(page), *step, seed).save(packed, "PDF", resolution=DPI)
    path.write_bytes(packed.getvalue())
    begin = time.perf_counter()
    documents = [item for item in read(path, Limits(), ocr) if isinstance(item, Document)]
    seconds = time.perf_counter() - begin
    text = documents[0].text if documents else ""
    confidence = documents[0].confidence if documents else 0.0
    stamped = level_on(text, Levels().names) == page.level
    cer = min(1.0, character_error_rate("".join(page.lines), text))
    return {"seconds": seconds, "cer": cer, "confidence": confidence or 0.0, "stamp": stamped}


def share(rows: list[dict[str, float]], threshold: float) -> float | None:
    """Of pages that a threshold holds to be doubtful."""
    return round(sum(row["confidence"] < threshold for row in rows) / len(rows), 3) if rows else None


if __name__ == "__main__":
    main()
