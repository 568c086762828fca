"""One key more in the header of a finished GGUF: the file is copied, its tensors move as they are."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import gguf

from so8t.build.export.check import open_header
from so8t.build.model.gguf_header import Header
from so8t.core.errors import GgufInvalid
from so8t.core.files import writing

COUNTS = 24  # bytes of magic, version, number of tensors, number of keys: the keys follow
BLOCK = 1 << 24


def add_uint32(source: Path, out: Path, key: str, value: int) -> None:
    """Write `out` = `source` with `key`. Raises GgufInvalid for a broken source or a key that it has, DiskFull."""
    header = open_header(source)
    if key in header.values or not header.tensors:
        raise GgufInvalid(where=source, detail=f"{key} is there already" if header.tensors else "no tensors")
    start = min(info.offset for info in header.tensors.values())
    name = key.encode("utf-8")
    added = struct.pack("<Q", len(name)) + name + struct.pack("<II", gguf.GGUFValueType.UINT32, value)
    with source.open("rb") as before, writing(out) as after:
        head = before.read(start)
        head = head[: _end(head, header)]
        keys = struct.unpack_from("<Q", head, COUNTS - 8)[0]
        made = head[: COUNTS - 8] + struct.pack("<Q", keys + 1) + added + head[COUNTS:]
        alignment = int(header.values.get("general.alignment", gguf.GGUF_DEFAULT_ALIGNMENT))
        after.write(made + b"\0" * (-len(made) % alignment))
        before.seek(start)
        shutil.copyfileobj(before, after, BLOCK)


def _end(head: bytes, header: Header) -> int:
    """Where the tensor infos end and the padding begins: behind the last info, whose name is searched from the end."""
    name, info = list(header.tensors.items())[-1]
    encoded = name.encode("utf-8")
    begin = head.rfind(struct.pack("<Q", len(encoded)) + encoded)
    return begin + 8 + len(encoded) + 4 + 8 * len(info.shape) + 4 + 8  # dimensions, type, offset
