"""Whose fault it is that a file could not be read: its sender is told of his own mistakes, and of ours as ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from so8t.core.errors import ReaderFailed, RecordInvalid, SourceUnreadable

logger = logging.getLogger("so8t.serve")


@contextmanager
def blamed(where: str) -> Iterator[None]:
    """Raises RecordInvalid (400) where the file is to blame, and lets ReaderFailed (503) through, once it is logged."""
    try:
        yield
    except SourceUnreadable as error:
        raise RecordInvalid(where=where, detail=error.detail) from error
    except ReaderFailed as error:
        logger.error("reading of %s failed: %s %s", where, error.detail, error.where)
        raise
