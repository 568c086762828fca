"""Parquet: a row is a Document, read in small batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from so8t.documents.document import Document, Skipped
from so8t.documents.limits import Limits
from so8t.documents.records import row_document
from so8t.documents.streams import RATIO_FROM
from so8t.documents.unreadable import Reason, Unreadable, library_errors

_TEXT = ("text", "content")
_OTHERS = ("title", "source", "url", "license", "domain")
_BATCH = 64  # rows: with the longest record, 256 MiB
_ROW = 16  # what a row of nothing counts, so that a billion of them end


def columns(path: Path, name: str, limits: Limits) -> Iterator[Document | Skipped]:
    """Column text, or content, and what of title, source, url, license and domain there is. Raises Unreadable."""
    size, read = path.stat().st_size, 0
    for number, row in enumerate(_rows(path), 1):
        text = row["text"]
        read += _ROW + (len(text) if isinstance(text, str) else 0)
        if read > RATIO_FROM and read > limits.ratio * size:
            raise Unreadable(Reason.TOO_LARGE, f"packed more than 1:{limits.ratio}")
        if isinstance(text, str) and len(text) > limits.record_bytes:
            yield Skipped(f"{name}:{number}", Reason.LONG_LINE, f"> {limits.record_bytes} characters")
        else:
            yield row_document(row, f"{name}:{number}", limits)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with library_errors():
        from pyarrow.parquet import ParquetFile

        # Without pre-buffering a row group is read page by page, however large it is.
        with ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            names = set(file.schema_arrow.names)
            text = next((c for c in _TEXT if c in names), None)
            if text is None:
                raise Unreadable(Reason.NO_TEXT, "no column text or content")
            chosen = [text, *(c for c in _OTHERS if c in names)]
            for batch in file.iter_batches(_BATCH, columns=chosen, use_threads=False):
                for row in batch.to_pylist():
                    yield row | {"text": row[text]}
