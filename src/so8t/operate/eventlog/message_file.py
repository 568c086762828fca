"""The message file of event source SO8T: a DLL that holds two message tables and no code.

Written here byte for byte, so that the office machine needs no compiler and the same words always give the same file;
`so8t service messages --by mingw` makes one of the same text file with a compiler. Source: Microsoft, PE Format.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from so8t.core.errors import PackageMissing, RecordInvalid, SourceUnreadable
from so8t.core.files import read_bounded, write_bytes
from so8t.core.packaged import packaged
from so8t.operate.eventlog.messages import Table, decode_table, encode_table, packaged_messages

NAME = "so8t-messages.dll"
MINGW = "x86_64-w64-mingw32-"
MAX_FILE = 4 << 20
SECONDS = 120
RT_MESSAGETABLE = 11
_PAGE, _BLOCK = 0x1000, 0x200  # alignment in memory, in the file
_SUBFOLDER = 0x80000000  # in a resource directory: the offset is that of another directory


def write_message_file(path: Path) -> None:
    """The packaged messages as a DLL; the same bytes every time. Raises DiskFull, OSError.

    One that is there already is left alone: Windows may have it open, and then nobody can replace it.
    """
    made = dll({language: encode_table(table) for language, table in packaged_messages().items()})
    if not path.is_file() or path.read_bytes() != made:
        write_bytes(path, made)


def dll(tables: Mapping[int, bytes]) -> bytes:
    """A resource-only PE32+ DLL with one RT_MESSAGETABLE, number 1, in each language (LANGID)."""
    resources = _resources(tables)
    raw = resources + b"\0" * (-len(resources) % _BLOCK)
    whole = 2 * _PAGE + (len(resources) - 1) // _PAGE * _PAGE
    dos = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    # AMD64, one section, no time, no symbols, 240 bytes of optional header; executable, large addresses, DLL.
    coff = struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x2022)
    optional = struct.pack("<HBBIIIII", 0x20B, 1, 0, 0, len(raw), 0, 0, _PAGE)
    optional += struct.pack("<QIIHHHHHHIIII", 0x180000000, _PAGE, _BLOCK, 6, 0, 0, 0, 6, 0, 0, whole, _BLOCK, 0)
    optional += struct.pack("<HHQQQQII", 3, 0x540, 1 << 20, 1 << 12, 1 << 20, 1 << 12, 0, 16)
    optional += struct.pack("<16x2I104x", _PAGE, len(resources))  # the third of 16 directories: resources
    section = struct.pack("<8sIIIIIIHHI", b".rsrc", len(resources), _PAGE, len(raw), _BLOCK, 0, 0, 0, 0, 0x40000040)
    head = dos + b"PE\0\0" + coff + optional + section
    return head.ljust(_BLOCK, b"\0") + raw


def _resources(tables: Mapping[int, bytes]) -> bytes:
    """Type -> number -> language -> data, for a section that lies at _PAGE."""
    languages = sorted(tables)
    entries = 64 + 8 * len(languages)  # where the descriptions of the data begin, after three directories
    data = entries + 16 * len(languages)
    made = _folder([(RT_MESSAGETABLE, _SUBFOLDER | 24)]) + _folder([(1, _SUBFOLDER | 48)])
    made += _folder([(language, entries + 16 * i) for i, language in enumerate(languages)])
    described, content = b"", b""
    for language in languages:
        described += struct.pack("<IIII", _PAGE + data + len(content), len(tables[language]), 0, 0)
        content += tables[language] + b"\0" * (-len(tables[language]) % 8)
    return made + described + content


def _folder(entries: list[tuple[int, int]]) -> bytes:
    head = struct.pack("<IIHHHH", 0, 0, 0, 0, 0, len(entries))
    return head + b"".join(struct.pack("<II", *entry) for entry in entries)


def read_message_file(path: Path) -> dict[int, Table]:
    """Language -> table, of any DLL. Raises SourceMissing, SourceUnreadable, RecordInvalid."""
    raw = read_bounded(path, MAX_FILE)
    try:
        return {language: decode_table(data) for language, data in _message_tables(raw)}
    except (ValueError, struct.error) as error:
        raise RecordInvalid(where=path, detail=f"PE: {error}") from error


def _message_tables(raw: bytes) -> list[tuple[int, bytes]]:
    (start,) = struct.unpack_from("<I", raw, 60)
    if raw[:2] != b"MZ" or raw[start : start + 4] != b"PE\0\0":
        raise ValueError("not a PE file")
    _, sections, _, _, _, size, _ = struct.unpack_from("<HHIIIHH", raw, start + 4)
    (magic,) = struct.unpack_from("<H", raw, start + 24)
    at, _ = struct.unpack_from("<II", raw, start + 24 + (112 if magic == 0x20B else 96) + 16)
    for i in range(min(sections, 96)):
        _, _, address, length, offset = struct.unpack_from("<8sIIII", raw, start + 24 + size + 40 * i)
        if address <= at < address + length:
            return _found(raw[offset : offset + length], address, at - address)
    return []


def _found(section: bytes, address: int, root: int) -> list[tuple[int, bytes]]:
    found = []
    for kind, types in _entries(section, root, root):
        for _, languages in _entries(section, root, types) if kind == RT_MESSAGETABLE else []:
            for language, place in _entries(section, root, languages):
                at, length = struct.unpack_from("<II", section, place)
                if at < address or at - address + length > len(section):
                    raise ValueError("resource outside its section")
                found.append((language, section[at - address : at - address + length]))
    return found


def _entries(section: bytes, root: int, folder: int) -> list[tuple[int, int]]:
    """(number, place in the section) of a directory's entries; those with a name instead are of no use here."""
    named, numbered = struct.unpack_from("<HH", section, folder + 12)
    if named + numbered > 1024:
        raise ValueError("too many resources")
    pairs = [struct.unpack_from("<II", section, folder + 16 + 8 * i) for i in range(named + numbered)]
    return [(number, root + (place & ~_SUBFOLDER)) for number, place in pairs if not number & _SUBFOLDER]


def compile_message_file(path: Path) -> None:
    """The same by mingw: windmc, windres, gcc. Raises PackageMissing without them, SourceUnreadable if one refuses."""
    with tempfile.TemporaryDirectory(prefix="so8t-messages-") as work:
        source = packaged("windows", "so8t.mc").resolve()
        for tool, *arguments in (
            ("windmc", "-C", "65001", "-U", "-b", "-h", ".", "-r", ".", str(source)),
            ("windres", "so8t.rc", "-O", "coff", "-o", "so8t.o"),
            ("gcc", "-shared", "-nostdlib", "-Wl,--no-insert-timestamp,-e,0", "-s", "-o", NAME, "so8t.o"),
        ):
            _run(tool, arguments, work)
        write_bytes(path, (Path(work) / NAME).read_bytes())


def _run(tool: str, arguments: list[str], folder: str) -> None:
    program = shutil.which(MINGW + tool)
    if program is None:
        raise PackageMissing(detail=f"{MINGW}{tool} (mingw-w64)")
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False,
        timeout=SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise SourceUnreadable(where="so8t.mc", detail=f"{tool}: {done.stderr.strip()[-400:]}")
