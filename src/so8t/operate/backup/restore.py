"""Opening a backup: into a new folder, or only to see that it could be. Nothing is called good that was not checked.

What is checked: every byte by its chunk, the ledger's chain and anchor, the accounts, every file of the bundle against
its listing. The ledger's public key lies in the backup too; only one that is pinned elsewhere (`ledger_key`) says who
signed, for with a recipient's public key anybody can make a backup file.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from so8t.core import signing
from so8t.core.bundle import LISTING, SIGNATURE, payload_digest
from so8t.core.bundle_listing import MAX_LISTING_BYTES, parse_listing, parse_object, read_bounded
from so8t.core.errors import AlreadyThere, BackupBroken, BundleBroken, DiskFull, LedgerBroken
from so8t.core.files import is_disk_full, sync_folder
from so8t.core.ledger_report import Report
from so8t.core.ledger_verify import verify as verify_ledger
from so8t.core.progress import Progress
from so8t.operate.backup import archive
from so8t.operate.backup.contents import ACCOUNTS, ANCHOR, BUNDLE, LEDGER, LEDGER_PUBLIC, MANIFEST
from so8t.operate.backup.locks import Opener
from so8t.operate.backup.sealed import SealedReader
from so8t.operate.backup.snapshot import check_accounts

MAX_MANIFEST_BYTES = 4 << 20
NEEDED = frozenset({MANIFEST, LEDGER, ANCHOR, LEDGER_PUBLIC, ACCOUNTS, f"{BUNDLE}/{LISTING}"})  # to check, on a disk
Digests = dict[str, str]  # name -> SHA-256


@dataclass(frozen=True, slots=True)
class Checked:
    """A backup in which everything is as it should be. `pinned`: the ledger's key was given, not taken from it."""

    made: str
    files: int
    ledger: Report
    people: int | None
    payload_digest: str | None
    with_keys: bool
    pinned: bool


def restore(file: Path, to: Path, opener: Opener, progress: Progress, ledger_key: Path | None = None) -> Checked:
    """A new folder with all of it, that appears when it is checked and on the disk.

    Raises AlreadyThere, BackupKeyWrong, BackupBroken, LedgerBroken, BundleBroken, AccountsBroken, DiskFull.
    """
    if to.exists():
        raise AlreadyThere(where=to)
    to.parent.mkdir(parents=True, exist_ok=True)
    _require_room(to.parent, file.stat().st_size)
    with _folder(to.parent, f".{to.name}.partial-") as partial:
        checked = _unpack_and_check(file, partial, opener, progress, ledger_key, lambda name: True)
        for folder in (*(p for p in partial.rglob("*") if p.is_dir()), partial):
            sync_folder(folder)
        if to.exists():
            raise AlreadyThere(where=to)
        os.rename(partial, to)
        sync_folder(to.parent)
    return checked


def verify(
    file: Path, opener: Opener, progress: Progress, ledger_key: Path | None = None, work: Path | None = None
) -> Checked:
    """The same checks; only ledger and accounts lie on a disk meanwhile, below `work` (the system's, if not given)."""
    with _folder(work or Path(tempfile.gettempdir()), "so8t-verify-") as folder:
        return _unpack_and_check(file, folder, opener, progress, ledger_key, NEEDED.__contains__)


def _unpack_and_check(
    file: Path, folder: Path, opener: Opener, progress: Progress, ledger_key: Path | None, kept: Callable[[str], bool]
) -> Checked:
    try:
        digests = _unpack(file, folder, opener, progress, kept)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(where=folder) from error
        if isinstance(error, (FileExistsError, NotADirectoryError, IsADirectoryError)):
            raise BackupBroken(where=file, detail="two of its files are one here") from None
        raise
    manifest = _manifest(file, folder, digests)
    report, pinned = _check_ledger(folder, manifest, ledger_key)
    people = check_accounts(folder / ACCOUNTS) if ACCOUNTS in digests else None
    digest = _check_bundle(folder, digests)
    return Checked(
        str(manifest["made"]), len(digests), report, people, digest, bool(manifest.get("with_keys")), pinned,
    )  # fmt: skip


def _unpack(file: Path, folder: Path, opener: Opener, progress: Progress, kept: Callable[[str], bool]) -> Digests:
    """SHA-256 of every file by name, those that are `kept` written and synced."""
    digests: Digests = {}
    size = file.stat().st_size
    with file.open("rb") as source, progress.task("backup", size >> 20, "MiB") as task:
        done = 0

        def advanced(more: int) -> None:
            nonlocal done
            done += more
            task.advance((done >> 20) - task.done)

        for member in archive.members(SealedReader(file, source, opener, advanced), file, size):
            digest = sha256()
            if kept(member.name):
                _write(folder / member.name, _hashed(member.pieces, digest.update))
            else:
                for piece in member.pieces:
                    digest.update(piece)
            digests[member.name] = digest.hexdigest()
    return digests


def _hashed(pieces: Iterator[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "wb") as f:
        for piece in pieces:
            f.write(piece)
        f.flush()
        os.fsync(f.fileno())


def _manifest(file: Path, folder: Path, digests: Digests) -> dict[str, Any]:
    """What the backup says of itself, which must be what it holds."""
    try:
        manifest = parse_object(read_bounded(folder / MANIFEST, MAX_MANIFEST_BYTES), file)
    except BundleBroken as error:
        raise BackupBroken(where=file, detail=f"{MANIFEST}: {error.detail}") from None
    stated = manifest.get("files")
    if not isinstance(stated, list) or sorted(map(str, stated)) != sorted(digests.keys() - {MANIFEST}):
        raise BackupBroken(where=file, detail=f"{MANIFEST}: files")
    if not {LEDGER, ANCHOR} <= digests.keys() or not isinstance(manifest.get("ledger"), dict):
        raise BackupBroken(where=file, detail="no ledger")
    return manifest


def _check_ledger(folder: Path, manifest: dict[str, Any], pinned: Path | None) -> tuple[Report, bool]:
    own = folder / LEDGER_PUBLIC
    public = signing.load_public(pinned or own) if pinned or own.is_file() else None
    stated = manifest["ledger"]
    seq, head = stated.get("seq"), stated.get("head")
    if type(seq) is not int or not isinstance(head, str):
        raise BackupBroken(where=MANIFEST, detail="ledger")
    report = verify_ledger(folder / LEDGER, folder / ANCHOR, public, expected=(seq, head))
    if not report.ok:
        raise LedgerBroken(where=LEDGER, detail=f"seq {report.problems[0].seq}: {report.problems[0].en}")
    return report, pinned is not None


def _check_bundle(folder: Path, digests: Digests) -> str | None:
    """Its payload digest, once every file is as its listing says. Who signed the listing: `so8t bundle verify`."""
    found = {name.removeprefix(f"{BUNDLE}/"): d for name, d in digests.items() if name.startswith(f"{BUNDLE}/")}
    if not found:
        return None
    path = folder / BUNDLE / LISTING
    listing = parse_listing(read_bounded(path, MAX_LISTING_BYTES), path, (LISTING, SIGNATURE))
    files: Digests = listing["files"]
    for name in sorted({*files, *found} - {LISTING, SIGNATURE}):
        if files.get(name) != found.get(name):
            raise BundleBroken(where=f"{BUNDLE}/{name}", detail="changed, missing or not listed")
    if listing.get("payload_digest") != payload_digest(files):
        raise BundleBroken(where=f"{BUNDLE}/{LISTING}", detail="payload_digest")
    return str(listing["payload_digest"])


def _require_room(folder: Path, needed: int) -> None:
    if (free := shutil.disk_usage(folder).free) < needed:
        raise DiskFull(where=folder, detail=f"{needed >> 20} MiB are needed, {free >> 20} are free")


@contextmanager
def _folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder (mode 0700) that is gone when the block ends, unless it was renamed."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
