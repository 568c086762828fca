"""Making a backup, also while the server runs: snapshots first, then everything through one cipher into one file."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

from so8t.core import signing
from so8t.core.bundle import open_bundle
from so8t.core.errors import AlreadyThere, DiskFull
from so8t.core.files import is_disk_full, writing
from so8t.core.ledger_format import utc
from so8t.core.progress import Progress, Task
from so8t.core.serve_config import ServeConfig
from so8t.operate.backup import archive
from so8t.operate.backup.contents import (
    ACCOUNTS,
    ANCHOR,
    LEDGER,
    MANIFEST,
    Part,
    attached_parts,
    ledger_path,
    still_parts,
)
from so8t.operate.backup.locks import Lock
from so8t.operate.backup.sealed import SealedWriter
from so8t.operate.backup.snapshot import LedgerCopy, copy_accounts, copy_ledger

OVERHEAD = 1.001  # tags, headers, padding


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that is durable. `size` in bytes; seq and head of the newest ledger entry in it."""

    path: Path
    size: int
    files: int
    seq: int
    head: str
    with_keys: bool


@dataclass(frozen=True, slots=True)
class Backup:
    """What to save, and how. `settings`: the so8t.toml itself; `bundle` None = leave it out."""

    config: ServeConfig
    settings: Path | None
    bundle: Path | None
    with_keys: bool = False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def create(self, to: Path, lock: Lock, progress: Progress) -> Made:
        """Appears under its name when all of it is on the disk, and not before; never in place of something.

        Raises AlreadyThere, SourceMissing, LedgerBroken, LedgerUnavailable, AccountsBroken, AccountsUnavailable,
        BundleBroken, DiskFull.
        """
        if to.exists():
            raise AlreadyThere(where=to)
        if self.bundle is not None:
            open_bundle(self.bundle)
        still = still_parts(self.config, self.settings, self.bundle, with_keys=self.with_keys)
        made = utc(self.now())
        with _beside(ledger_path(self.config)) as work:
            ledger = self._snapshots(work, progress)
            copied = [Part(name, work / name) for name in (ACCOUNTS, LEDGER, ANCHOR) if (work / name).exists()]
            parts = [*copied, *still, *attached_parts(self.config)]
            manifest = self._manifest(made, ledger, parts)
            to.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write(to, lock, made, manifest, parts, progress)
            except OSError as error:
                if is_disk_full(error):
                    raise DiskFull(where=to) from error
                raise
        seq, head = ledger.anchor.seq, ledger.anchor.head
        return Made(to, to.stat().st_size, len(parts) + 1, seq, head, self.with_keys)

    def _snapshots(self, work: Path, progress: Progress) -> LedgerCopy:
        """Accounts first: no change of them is committed before the ledger has its entry."""
        if (users := Path(self.config.identity.users)).is_file():
            copy_accounts(users, work / ACCOUNTS)
        public = signing.public_path(Path(self.config.ledger.key))
        key = signing.load_public(public) if public.is_file() else None
        with progress.task("ledger", 0, "pages") as task:
            return copy_ledger(ledger_path(self.config), work / LEDGER, key, lambda done, of: _at(task, done, of))

    def _manifest(self, made: str, ledger: LedgerCopy, parts: list[Part]) -> bytes:
        facts: dict[str, Any] = {
            "format": 1, "made": made, "so8t": version("so8t"), "with_keys": self.with_keys,
            "bundle": str(self.bundle) if self.bundle else None,
            "ledger": {
                "id": ledger.anchor.ledger_id, "seq": ledger.anchor.seq, "head": ledger.anchor.head,
                "time": ledger.anchor.time, "from": str(ledger_path(self.config)), "signed": ledger.report.signed,
            },
            "files": [part.name for part in parts],
        }  # fmt: skip
        return json.dumps(facts, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def _write(to: Path, lock: Lock, made: str, manifest: bytes, parts: list[Part], progress: Progress) -> None:
    sizes = [part.path.stat().st_size for part in parts]
    total = len(manifest) + sum(sizes)
    if (free := shutil.disk_usage(to.parent).free) < total * OVERHEAD:
        raise DiskFull(where=to.parent, detail=f"{total >> 20} MiB are needed, {free >> 20} are free")
    with writing(to) as out, progress.task("backup", total >> 20, "MiB") as task:
        bytes_done = _Mebibytes(task)
        sealed = SealedWriter(out, lock, {"made": made})
        archive.add(sealed, MANIFEST, BytesIO(manifest), len(manifest), bytes_done)
        for part, size in zip(parts, sizes, strict=True):
            with part.path.open("rb") as source:
                archive.add(sealed, part.name, source, size, bytes_done)
        archive.end(sealed)
        sealed.close()


class _Mebibytes:
    """Counts bytes; the task is told whole mebibytes."""

    def __init__(self, task: Task) -> None:
        self._task, self._bytes = task, 0

    def __call__(self, more: int) -> None:
        self._bytes += more
        self._task.advance((self._bytes >> 20) - self._task.done)


def _at(task: Task, done: int, of: int) -> None:
    task.total = of
    task.advance(done - task.done)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder of our own (mode 0700) on the disk of a file, gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix=".so8t-backup-", dir=path.parent) as folder:
        yield Path(folder)
