"""Durable files: nothing half-written is ever taken for finished (write, fsync, rename), and bounded reading."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from so8t.core.errors import DiskFull, FileRefused, RecordInvalid, So8tError, SourceMissing, SourceUnreadable

MAX_LINE_BYTES = 4 << 20
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


def is_disk_full(error: BaseException | None) -> bool:
    """Also behind a library's own error: torch chains the system's, safetensors puts it into words."""
    while error is not None:
        if isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in _NO_SPACE):
            return True
        if "No space left on device" in str(error) or "not enough space on the disk" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def refused(error: OSError) -> So8tError | None:
    """What the system refused of a file, in our words; None for what is about no file."""
    if is_disk_full(error):
        return DiskFull(where=error.filename or "")
    if error.filename is None:
        return None
    return FileRefused(
        where=Path(os.fsdecode(error.filename)).absolute(), detail=error.strerror or type(error).__name__
    )


def sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows has no folder handles to sync; there the rename itself is journalled."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write, fsync, rename. Raises DiskFull and leaves the old file as it was."""
    with writing(path) as f:
        f.write(content)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to write piece by piece that appears whole when the block ends: fsync, rename. Raises DiskFull."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            raise DiskFull(where=path) from error
        raise


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write records one a line; returns how many."""
    lines = [json.dumps(r, ensure_ascii=False, sort_keys=True) for r in records]
    write_text(path, "".join(line + "\n" for line in lines))
    return len(lines)


def read_json(path: Path) -> Any:
    """Raises RecordInvalid with the line for broken JSON, SourceMissing for no file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SourceMissing(where=path) from None
    except UnicodeDecodeError as error:
        raise SourceUnreadable(where=path, detail=f"UTF-8, byte {error.start}") from error
    except (ValueError, RecursionError) as error:  # also a number of more digits than int() takes
        raise RecordInvalid(where=f"{path}:{getattr(error, 'lineno', 1)}", detail=f"JSON: {error}") from error


def read_bounded(path: Path, most: int) -> bytes:
    """All of a file of at most `most` bytes. Raises SourceMissing, SourceUnreadable."""
    try:
        with path.open("rb") as f:
            content = f.read(most + 1)
    except FileNotFoundError:
        raise SourceMissing(where=path) from None
    except OSError as error:
        raise SourceUnreadable(where=path, detail=type(error).__name__) from error
    if len(content) > most:
        raise SourceUnreadable(where=path, detail=f"> {most} bytes")
    return content


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 file, each bounded, so that a file of one endless line cannot fill the memory."""
    try:
        with path.open("rb") as f:
            number = 0
            while line := f.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise SourceUnreadable(where=f"{path}:{number}", detail=f"line > {MAX_LINE_BYTES} bytes")
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise SourceUnreadable(where=f"{path}:{number}", detail=f"UTF-8, byte {error.start}") from error
                yield number, text
    except FileNotFoundError:
        raise SourceMissing(where=path) from None


def parse_json_line(line: str, where: str) -> dict[str, Any]:
    """One JSON object; raises RecordInvalid for anything else, however deep or odd."""
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
        if "\\u" in line:
            json.dumps(record, ensure_ascii=False).encode("utf-8")  # half a surrogate pair could never be written again
    except (ValueError, RecursionError) as error:
        raise RecordInvalid(where=where, detail=f"JSON: {str(error)[:200]}") from error
    if not isinstance(record, dict):
        raise RecordInvalid(where=where, detail="JSON: not an object")
    return record


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are no JSON, and nobody else could read what we make of them."""
    raise ValueError(name)


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered JSON objects; blank lines are skipped, a broken one raises with its number."""
    for number, line in read_lines(path):
        if line.strip():
            yield number, parse_json_line(line, f"{path}:{number}")


def sha256_file(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def hash_folder(folder: Path, skip: frozenset[str] = frozenset()) -> dict[str, str]:
    """Relative POSIX path -> SHA-256 of every file below a folder; top-level names in `skip` are left out.

    Several files at once: hashlib lets go of the interpreter while it hashes.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    named = {name: p for p in files if (name := p.relative_to(folder).as_posix()).split("/")[0] not in skip}
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), "hash") as pool:
        return dict(zip(named, pool.map(sha256_file, named.values()), strict=True))


def fresh_folder(folder: Path) -> Path:
    """An empty folder in place of whatever was there."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def commit_folder(partial: Path, final: Path) -> None:
    """Make a folder written under another name appear whole: fsync all that is in it, then one rename."""
    for path in (*partial.rglob("*"), partial):
        if path.is_file():
            with path.open("rb+") as f:
                os.fsync(f.fileno())
        else:
            sync_folder(path)
    if final.exists():
        shutil.rmtree(final)
    os.replace(partial, final)
    sync_folder(final.parent)
