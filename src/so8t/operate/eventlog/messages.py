"""The words that Event Viewer shows, and the table in which a Windows message file holds them.

Source: Microsoft's description of message text files (.mc) and of MESSAGE_RESOURCE_DATA, BLOCK and ENTRY (winnt.h). We
read the few statements that our own file uses, so that a machine without a message compiler has the same words.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from so8t.core.errors import RecordInvalid
from so8t.core.packaged import packaged

JAPANESE, ENGLISH = 0x411, 0x409
UNICODE = 1  # MESSAGE_RESOURCE_UNICODE
MAX_TABLE = 1 << 20
_STATEMENT = re.compile(r"(MessageIdTypedef|SeverityNames|FacilityNames|SymbolicName|Severity|Facility)=\S+")
_NAMED = re.compile(r"LanguageNames=\((\w+)=(0x[0-9a-fA-F]+):\w+\)")
_KEY = re.compile(r"(MessageId|Language)=(\w+)")
Table = Mapping[int, str]  # id -> text with its inserts


@dataclass(frozen=True, slots=True)
class _Reading:
    """Where the reader stands between two statements."""

    names: dict[str, int]
    tables: dict[int, dict[int, str]]


def packaged_messages() -> dict[int, Table]:
    """Language (LANGID) -> its table, from the text file that ships with the package."""
    return read_messages(packaged("windows", "so8t.mc").read_text(encoding="utf-8"))


def read_messages(source: str) -> dict[int, Table]:
    """The tables of a message text file. Raises RecordInvalid for a statement that we do not use ourselves."""
    made = _Reading({}, {})
    lines = iter(enumerate(source.splitlines(), 1))
    number = 0
    for at, line in lines:
        if not line.strip() or line.startswith(";") or _STATEMENT.fullmatch(line):
            continue
        if named := _NAMED.fullmatch(line):
            made.names[named[1]] = int(named[2], 16)
        elif (key := _KEY.fullmatch(line)) is None:
            raise RecordInvalid(where=f"so8t.mc:{at}", detail=line[:80])
        elif key[1] == "MessageId":
            number = int(key[2])
        elif number and key[2] in made.names:
            text = []
            for _, part in lines:
                if part == ".":
                    break
                text.append(part + "\n")
            made.tables.setdefault(made.names[key[2]], {})[number] = "".join(text)
        else:
            raise RecordInvalid(where=f"so8t.mc:{at}", detail="no MessageId or unknown language")
    return dict(made.tables)


def encode_table(table: Table) -> bytes:
    """MESSAGE_RESOURCE_DATA with a block for each run of ids: what a message compiler writes into its .bin file."""
    runs: list[list[int]] = []
    for number in sorted(table):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    head, entries = struct.pack("<I", len(runs)), b""
    offset = 4 + 12 * len(runs)
    for run in runs:
        head += struct.pack("<III", run[0], run[-1], offset + len(entries))
        entries += b"".join(_entry(table[number]) for number in run)
    return head + entries


def _entry(text: str) -> bytes:
    raw = text.encode("utf-16-le") + b"\0\0"
    raw += b"\0" * (-len(raw) % 4)
    return struct.pack("<HH", 4 + len(raw), UNICODE) + raw


def decode_table(data: bytes) -> dict[int, str]:
    """Raises RecordInvalid for whatever leads out of the data."""
    try:
        (blocks,) = struct.unpack_from("<I", data)
        if len(data) > MAX_TABLE or blocks > len(data) // 12:
            raise ValueError("too large")
        found = {}
        for block in range(blocks):
            low, high, at = struct.unpack_from("<III", data, 4 + 12 * block)
            if high - low > len(data) // 4:
                raise ValueError("block longer than the data")
            for number in range(low, high + 1):
                length, flags = struct.unpack_from("<HH", data, at)
                if flags != UNICODE or length < 4 or at + length > len(data):
                    raise ValueError(f"entry {number}")
                found[number] = data[at + 4 : at + length].decode("utf-16-le").rstrip("\0")
                at += length
        return found
    except (ValueError, struct.error) as error:
        raise RecordInvalid(where="RT_MESSAGETABLE", detail=str(error)) from error


def rendered(text: str, *inserts: str) -> str:
    """What FormatMessage makes of it: %1 … %9, %n a new line, %0 the end without one, %% a per cent sign."""
    shown: list[str] = []
    for part in re.split(r"(%[0-9n%])", text):
        if part == "%0":
            return "".join(shown)
        if part == "%n":
            part = "\r\n"
        elif part == "%%":
            part = "%"
        elif len(part) == 2 and part[0] == "%" and part[1].isdigit():
            part = inserts[int(part[1]) - 1] if int(part[1]) <= len(inserts) else part
        shown.append(part)
    return "".join(shown)
