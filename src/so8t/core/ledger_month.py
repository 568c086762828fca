"""Sealed months: the entries of a month (no texts) in one file, and a signed seal of it, to be kept apart.

A month is Japan's. Its entries are those from the first one dated in it or later, up to the first one dated after it:
contiguous whatever the clock did, and no month can be sealed before an entry of a later one closes it. Each line holds
the bytes that were hashed, as `so8t ledger export` writes them.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from so8t.core import signing
from so8t.core.errors import LedgerBroken, LedgerError, RecordInvalid, SourceEmpty, UsageError
from so8t.core.files import parse_json_line, write_bytes, writing
from so8t.core.ledger_format import MAGIC, utc
from so8t.core.ledger_read import line_of, reading
from so8t.core.ledger_report import Findings, Report
from so8t.core.ledger_verify import verify
from so8t.core.ledger_walk import parse
from so8t.core.sealing import TextKey
from so8t.core.types import canonical_json

JAPAN = timezone(timedelta(hours=9))
MAX_SEAL_BYTES = 4096
MAX_LINE_BYTES = 64 << 20
_LINE = re.compile(rb'\{"body":(\{.*\}),"hash":"([0-9a-f]{64})"\}\n', re.S)


@dataclass(frozen=True, slots=True)
class Seal:
    """A month of one ledger: entries first..last, `prev` the hash before them, `head` the last one's; `sha256` is of
    the whole file."""

    ledger_id: str
    month: str
    first: int
    last: int
    count: int
    prev: str
    head: str
    sha256: str
    signature: str = ""

    @property
    def message(self) -> bytes:
        return MAGIC + b" month" + canonical_json(asdict(replace(self, signature=""))).encode()

    def signed_with(self, key: Ed25519PrivateKey) -> Seal:
        return replace(self, signature=signing.sign(key, self.message))

    def is_signed(self, key: Ed25519PublicKey) -> bool:
        return signing.is_signed(key, self.message, self.signature)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises FileNotFoundError, or RecordInvalid for anything that is no seal."""
        with path.open("rb") as f:
            raw = f.read(MAX_SEAL_BYTES)
        try:
            seal = cls(**parse_json_line(raw.decode("ascii"), str(path)))
            ok = all(type(getattr(seal, name)) is kind for name, kind in _TYPES.items())
        except (UnicodeDecodeError, TypeError) as error:
            raise RecordInvalid(where=path, detail="not a seal") from error
        if not ok:
            raise RecordInvalid(where=path, detail="not a seal")
        return seal


_TYPES = {name: int if name in ("first", "last", "count") else str for name in Seal.__dataclass_fields__}


def seal_path_of(file: Path) -> Path:
    return file.with_suffix(".seal")


def bounds(month: str) -> tuple[str, str]:
    """(from, up to) of a month "2026-10" in Japan, as the ledger writes times. Raises UsageError."""
    try:
        if not re.fullmatch("[0-9]{4}-[0-9]{2}", month):
            raise ValueError
        start = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=JAPAN)
        end = (start + timedelta(days=32)).replace(day=1)
    except (ValueError, OverflowError):
        raise UsageError(detail="--month YYYY-MM") from None
    return utc(start), utc(end)


def seal_month(path: Path, month: str, out: Path, key: Ed25519PrivateKey) -> Seal:
    """Write `out`/month.jsonl, then its seal. The same month again gives the same seal and writes nothing.

    Raises LedgerBroken unless the whole ledger verifies: a seal must not lend its signature to a forgery. Raises
    SourceEmpty for a month without entries, UsageError for one that no later entry closes yet.
    """
    report = verify(path, None, key.public_key())
    if not report.ok:
        raise LedgerBroken(where=path, detail=f"seq {report.problems[0].seq}: {report.problems[0].en}")
    first, last, prev = _range(path, month)
    file = out / f"{month}.jsonl"
    if seal_path_of(file).exists():
        return _same(Seal.read(seal_path_of(file)), report.ledger_id, first, last, prev)
    out.mkdir(parents=True, exist_ok=True)
    digest, head = _write(path, file, first, last)
    seal = Seal(report.ledger_id, month, first, last, last - first + 1, prev.hex(), head.hex(), digest).signed_with(key)
    write_bytes(seal_path_of(file), canonical_json(asdict(seal)).encode() + b"\n")
    return seal


def _range(path: Path, month: str) -> tuple[int, int, bytes]:
    """First and last entry of a month, and the hash before them."""
    start, end = bounds(month)
    with reading(path) as source:
        ((first,),) = source.select("SELECT min(seq) FROM entries WHERE time >= ?", start)
        ((after,),) = source.select("SELECT min(seq) FROM entries WHERE time >= ?", end)
        if first is None or first == after:
            raise SourceEmpty(where=path, detail=month)
        if after is None:
            raise UsageError(
                where=path, detail=(f"--month {month}: 翌月の記録がまだありません", f"--month {month}: not closed yet")
            )
        ((prev,),) = source.select("SELECT prev FROM entries WHERE seq = ?", first)
    return first, after - 1, prev


def _same(seal: Seal, ledger_id: str, first: int, last: int, prev: bytes) -> Seal:
    if (seal.ledger_id, seal.first, seal.last, seal.prev) != (ledger_id, first, last, prev.hex()):
        raise LedgerError(where=seal.month, detail="already sealed otherwise")
    return seal


def _write(path: Path, file: Path, first: int, last: int) -> tuple[str, bytes]:
    """(SHA-256 of the file, hash of the last entry)."""
    digest, head = hashlib.sha256(), b""
    with reading(path) as source, writing(file) as f:
        for row in source.entries(first, last):
            head, line = row[8], line_of(row[6], row[8]).encode()
            digest.update(line)
            f.write(line)
    return digest.hexdigest(), head


def verify_month(file: Path, public_key: Ed25519PublicKey | None = None) -> Report:
    """Check a sealed month alone: signature, file, and the chain inside. Never raises for what is in the files."""
    begin, found = time.perf_counter(), Findings()
    seal = _read_seal(file, public_key, found)
    entries, head = _check_lines(file, seal, found) if seal else (0, b"")
    problems = found.sorted()
    seconds = time.perf_counter() - begin
    return Report(
        not problems, entries, problems[0].seq if problems else None, problems, head.hex(),
        seal.last if seal else None, 0, public_key is not None, seconds, seal.ledger_id if seal else "",
    )  # fmt: skip


def _read_seal(file: Path, key: Ed25519PublicKey | None, found: Findings) -> Seal | None:
    try:
        seal = Seal.read(seal_path_of(file))
    except FileNotFoundError:
        found.add(1, "seal_missing", seal_path_of(file).name)
        return None
    except (RecordInvalid, OSError):
        found.add(1, "seal_broken", seal_path_of(file).name)
        return None
    if not 1 <= seal.first <= seal.last or seal.count != seal.last - seal.first + 1:
        found.add(1, "seal_broken", seal_path_of(file).name)
        return None
    if key is not None and not seal.is_signed(key):
        found.add(seal.first, "seal_signature", seal_path_of(file).name)
    return seal


def _check_lines(file: Path, seal: Seal, found: Findings) -> tuple[int, bytes]:
    """(entries, hash of the last): the chain from the seal's `prev` to its `head`, and the file's own hash."""
    digest, seq, before = hashlib.sha256(), seal.first - 1, len(found)
    try:
        head = bytes.fromhex(seal.prev)
        for line in _lines(file):
            digest.update(line)
            seq += 1
            parts = _LINE.fullmatch(line)
            body, stated = (parts[1], bytes.fromhex(parts[2].decode())) if parts else (b"", b"")
            if hashlib.sha256(head + body).digest() != stated or parse(body).get("seq") != seq:
                found.add(seq, "hash", f"{file.name}:{seq - seal.first + 1}")
            head = stated
    except FileNotFoundError:
        found.add(seal.first, "seal_missing", file.name)
        return 0, b""
    except (OSError, ValueError) as error:
        found.add(seq + 1, "unreadable", type(error).__name__)
        return seq - seal.first + 1, b""
    if seq < seal.last or (seq == seal.last and head.hex() != seal.head):
        found.add(min(seq + 1, seal.last), "cut", f"{file.name}: {seq - seal.first + 1} / {seal.count}")
    if digest.hexdigest() != seal.sha256 and len(found) == before:
        found.add(seal.first, "seal_file", file.name)
    return seq - seal.first + 1, head


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as f:
        while line := f.readline(MAX_LINE_BYTES):
            yield line


def verify_with_seals(
    path: Path,
    folder: Path,
    anchor_path: Path | None = None,
    public_key: Ed25519PublicKey | None = None,
    text_key: TextKey | None = None,
    *,
    expected: tuple[int, str] | None = None,
) -> Report:
    """The live ledger, every sealed month in a folder, and the one against the others."""
    found, seals = Findings(), list[Seal]()
    for file in sorted({p.with_suffix(".jsonl") for p in (*folder.glob("*.seal"), *folder.glob("*.jsonl"))}):
        found.problems += verify_month(file, public_key).problems
        if seal := _read_seal(file, None, Findings()):
            seals.append(seal)
    if not seals:
        found.add(1, "seal_missing", str(folder))
    seals.sort(key=lambda seal: seal.first)
    for before, after in pairwise(seals):
        if after.first != before.last + 1:
            found.add(before.last + 1, "seal_gap", f"{before.month} / {after.month}")
    pairs = tuple(pair for s in seals for pair in ((s.first - 1, s.prev), (s.last, s.head)))
    report = verify(path, anchor_path, public_key, text_key, expected=expected, more=pairs)
    for seal in seals:
        if seal.ledger_id != report.ledger_id:
            found.add(seal.first, "other_ledger", f"{seal.month}: {seal.ledger_id} / {report.ledger_id}")
    found.problems += report.problems
    problems = found.sorted()
    first = problems[0].seq if problems else None
    return replace(report, ok=not problems, problems=problems, first_bad=first)
