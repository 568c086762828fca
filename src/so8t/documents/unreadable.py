"""Why something could not be read. Readers raise it; `read` turns it into a Skipped and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from so8t.core.errors import PackageMissing, So8tError


class Reason(StrEnum):
    """The fixed set of `Skipped.reason`."""

    NOT_FOUND = "not found"
    NOT_READABLE = "not readable"
    UNKNOWN_KIND = "unknown kind"
    WRONG_KIND = "content of another kind"
    LINK = "link to a folder"
    NOT_FILE = "not a file"
    HIDDEN = "hidden"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    TOO_LARGE = "too large"
    LONG_LINE = "line too long"
    LONG_DOCUMENT = "document too long"
    TOO_MANY = "too many parts"
    TOO_DEEP = "too deep"
    ENTITIES = "entities refused"
    NOT_TEXT = "not text"
    NO_TEXT = "no text"
    SCANNED = "no text layer: scanned"
    BLANK = "blank page"
    ILLEGIBLE = "image without legible text"
    READER_FAILED = "the reader failed"
    BAD_RECORD = "bad record"
    UNKNOWN_DOMAIN = "unknown domain"
    NOT_ARTICLE = "not an article"


class Unreadable(Exception):
    """Raised below `read` only. `detail` names the place inside the file or the limit that was passed."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else str(reason))


@contextmanager
def library_errors() -> Iterator[None]:
    """What a library raises for content it does not like, as Unreadable.

    Any exception at all: the office libraries promise none, and on a crafted file they raise whatever comes up. An
    OSError without a number is one of them: the system's own have one, bz2's and Arrow's for damaged data have not.
    """
    try:
        yield
    except (Unreadable, So8tError):
        raise
    except ImportError as error:
        raise PackageMissing(detail=f'{error.name}: pip install "so8t[data]"') from error
    except MemoryError as error:
        raise Unreadable(Reason.TOO_LARGE, "memory") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Unreadable(Reason.DAMAGED, f"{type(error).__name__}: {str(error)[:200]}") from error
