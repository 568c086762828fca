"""Files that ship inside the package: policies, requests, corpus."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from so8t.core.errors import SourceMissing, SourceUnreadable

MAX_POLICY_BYTES = 1 << 20


def packaged(*parts: str) -> Path:
    """A file or folder below so8t/resources."""
    return Path(str(resources.files("so8t.resources").joinpath(*parts)))


def policy_text(name: str) -> tuple[str, str]:
    """(text, where) of a packaged policy by name, or of a file by path. Raises SourceMissing, SourceUnreadable."""
    path = packaged("policies", f"{name}.toml")
    if "/" in name or "\\" in name or name.endswith(".toml") or not path.is_file():
        path = Path(name).expanduser()
    if not path.is_file():
        raise SourceMissing(where=path)
    data = path.read_bytes()
    if len(data) > MAX_POLICY_BYTES:
        raise SourceUnreadable(where=path, detail=f"> {MAX_POLICY_BYTES} bytes")
    try:
        return data.decode("utf-8"), str(path)
    except UnicodeDecodeError as error:
        raise SourceUnreadable(where=path, detail=f"UTF-8, byte {error.start}") from error
