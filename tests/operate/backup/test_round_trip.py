"""A backup made, checked and restored: all of it, nothing over anything else, and no half of one."""

from __future__ import annotations

import errno
import io
import json
import shutil
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t.core import sealing, signing
from so8t.core.bundle import open_bundle
from so8t.core.errors import (
    AlreadyThere,
    BackupBroken,
    BackupKeyWrong,
    BundleBroken,
    DiskFull,
    LedgerBroken,
    SourceMissing,
)
from so8t.core.files import hash_folder
from so8t.core.ledger import Ledger
from so8t.core.ledger_read import LedgerReader
from so8t.core.progress import Progress
from so8t.operate.backup import archive
from so8t.operate.backup import restore as restoring
from so8t.operate.backup.locks import Passphrase, PrivateKey
from so8t.operate.backup.restore import restore, verify
from so8t.operate.backup.sealed import SealedReader, SealedWriter

WEAK = Passphrase("correct horse battery", log_n=4)


@pytest.fixture
def file(site: Any, tmp_path: Path, quiet: Progress) -> Path:
    to = tmp_path / "out" / "office.so8t"
    site.backup().create(to, site.key.recipient, quiet)
    return to


def contents(file: Path, key: PrivateKey) -> dict[str, bytes]:
    with file.open("rb") as source:
        reader = SealedReader(file, source, key, lambda n: None)
        return {m.name: b"".join(m.pieces) for m in archive.members(reader, file, 1 << 30)}


def sealed(file: Path, key: PrivateKey, parts: dict[str, bytes]) -> Path:
    """A backup file as somebody with the recipient's public key might make it."""
    with file.open("wb") as out:
        writer = SealedWriter(out, key.recipient, {"made": "now"})
        for name, content in parts.items():
            archive.add(writer, name, io.BytesIO(content), len(content), lambda n: None)
        archive.end(writer)
        writer.close()
    return file


def test_everything_comes_back(site: Any, file: Path, tmp_path: Path, quiet: Progress) -> None:
    checked = restore(file, tmp_path / "back", site.key, quiet, site.public)
    assert (checked.ledger.entries, checked.people, checked.pinned, checked.with_keys) == (21, 1, True, False)
    back = tmp_path / "back"
    assert hash_folder(back / "bundle") == hash_folder(site.bundle)
    assert open_bundle(back / "bundle").payload_digest == checked.payload_digest
    for name in ("policy.toml", "so8t.toml", "ledger.key.pub", "bundle.key.pub"):
        assert (back / name).read_bytes() == (site.folder / name).read_bytes()
    assert json.loads((back / "manifest.json").read_text())["ledger"]["head"] == site.ledger.head.head
    assert not list(tmp_path.glob(".*")) and not list(Path(site.config.ledger.path).parent.glob(".so8t-*"))


def test_work_goes_on_from_what_came_back(site: Any, file: Path, tmp_path: Path, quiet: Progress) -> None:
    """With the keys, which went another way, the ledger opens, its texts read, and it is appended to."""
    restore(file, tmp_path / "back", site.key, quiet)
    texts = sealing.load(site.folder / "text.key")
    path = tmp_path / "back" / "ledger.db"
    with Ledger(path, signing.load_or_create(site.folder / "ledger.key"), texts) as again:
        assert again.append_sync("note", {"event": "restored"}).seq == 22
    assert LedgerReader(path, texts).texts(5) == {"query": "依頼 3"}


def test_private_keys_only_when_asked(site: Any, file: Path, tmp_path: Path, quiet: Progress) -> None:
    secrets = {name: (site.folder / name).read_bytes().strip() for name in ("ledger.key", "text.key", "upstream.key")}
    inside = contents(file, site.key)
    assert not any(secret in content for secret in secrets.values() for content in inside.values())
    site.backup(with_keys=True).create(tmp_path / "keys.so8t", site.key.recipient, quiet)
    inside = contents(tmp_path / "keys.so8t", site.key)
    assert {inside[f"keys/{name}"].strip() for name in secrets} == set(secrets.values())
    assert verify(tmp_path / "keys.so8t", site.key, quiet).with_keys


def test_nothing_readable_is_in_the_file(site: Any, file: Path) -> None:
    raw = file.read_bytes()
    assert not any(word.encode() in raw for word in ("ledger.db", "so8t.toml", "佐藤", "SQLite format", "port = 8008"))


def test_verify_keeps_nothing(site: Any, file: Path, tmp_path: Path, quiet: Progress) -> None:
    work = tmp_path / "work"
    work.mkdir()
    assert verify(file, site.key, quiet, site.public, work).files == 11
    assert list(work.iterdir()) == []


def test_with_a_passphrase_and_without_a_bundle(site: Any, tmp_path: Path, quiet: Progress) -> None:
    made = site.backup(bundle=None).create(tmp_path / "a.so8t", WEAK, quiet)
    assert made.seq == 21 and verify(tmp_path / "a.so8t", WEAK, quiet).payload_digest is None
    with pytest.raises(BackupKeyWrong):
        verify(tmp_path / "a.so8t", Passphrase("correct horse batterz", log_n=4), quiet)


def test_nothing_is_overwritten(site: Any, file: Path, tmp_path: Path, quiet: Progress) -> None:
    before = file.read_bytes()
    with pytest.raises(AlreadyThere):
        site.backup().create(file, site.key.recipient, quiet)
    (tmp_path / "back").mkdir()
    with pytest.raises(AlreadyThere):
        restore(file, tmp_path / "back", site.key, quiet)
    assert file.read_bytes() == before and list((tmp_path / "back").iterdir()) == []


def test_while_a_writer_is_at_work(site: Any, tmp_path: Path, quiet: Progress) -> None:
    done, acknowledged = threading.Event(), [0]

    def write() -> None:
        while not done.is_set():
            acknowledged.append(site.ledger.append_sync("note", {"n": 1}, text={"query": "依頼"}).seq)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            newest = acknowledged[-1]
            site.backup().create(tmp_path / f"{number}.so8t", site.key.recipient, quiet)
            checked = verify(tmp_path / f"{number}.so8t", site.key, quiet, site.public)
            assert checked.ledger.ok and checked.ledger.entries >= newest
    finally:
        done.set()
        writer.join()


# -- what breaks off -------------------------------------------------------------------------------------------------


class Failing:
    """A disk that takes so many bytes and no more, or a person who has had enough."""

    def __init__(self, after: int, error: BaseException) -> None:
        self._left, self._error, self._write = after, error, SealedWriter.write

    def __call__(self, writer: SealedWriter, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise self._error
        self._write(writer, data)


@pytest.mark.parametrize("after", [0, 600, 20_000, 50_000])
@pytest.mark.parametrize(
    ("error", "expected"),
    [(OSError(errno.ENOSPC, "full"), DiskFull), (KeyboardInterrupt(), KeyboardInterrupt), (OSError(5, "io"), OSError)],
)
def test_nothing_that_looks_finished_is_left(
    site: Any, tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException,
    expected: type[BaseException],
) -> None:  # fmt: skip
    failing = Failing(after, error)
    monkeypatch.setattr(SealedWriter, "write", lambda writer, data: failing(writer, data))
    (tmp_path / "out").mkdir()
    with pytest.raises(expected):
        site.backup().create(tmp_path / "out" / "a.so8t", site.key.recipient, quiet)
    assert list((tmp_path / "out").iterdir()) == []
    assert not list(Path(site.config.ledger.path).parent.glob(".so8t-*"))
    site.ledger.append_sync("note", {"event": "the office works on"})


def test_no_room_for_the_backup_is_said_before_it_begins(
    site: Any, tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda p: real._replace(free=10 if p.name == "out" else 1 << 40))
    with pytest.raises(DiskFull, match="0 are free"):
        site.backup().create(tmp_path / "out" / "a.so8t", site.key.recipient, quiet)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_restore_that_breaks_off_leaves_no_folder(
    site: Any, file: Path, tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def write(path: Path, pieces: Any) -> None:
        if path.name == "model-Q8_0.gguf":
            raise error
        real(path, pieces)

    real = restoring._write
    monkeypatch.setattr(restoring, "_write", write)
    with pytest.raises((DiskFull, KeyboardInterrupt)):
        restore(file, tmp_path / "back", site.key, quiet)
    assert {p.name for p in tmp_path.iterdir()} == {"site", "out"}


def test_what_is_configured_must_be_there(site: Any, tmp_path: Path, quiet: Progress) -> None:
    (site.folder / "policy.toml").unlink()
    with pytest.raises(SourceMissing, match=r"policy\.toml"):
        site.backup().create(tmp_path / "a.so8t", site.key.recipient, quiet)
    assert not (tmp_path / "a.so8t").exists()


def test_a_changed_bundle_is_not_saved(site: Any, tmp_path: Path, quiet: Progress) -> None:
    (site.bundle / "policy.toml").write_bytes(b"x = 2\n")
    with pytest.raises(BundleBroken, match="changed"):
        site.backup().create(tmp_path / "a.so8t", site.key.recipient, quiet)


# -- what is not as it says ------------------------------------------------------------------------------------------


def dropped(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda parts: parts.pop(name) and None


def replaced(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda parts: parts.update({name: content})


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    """Gone from the backup and from what it says of itself."""

    def change(parts: dict[str, bytes]) -> None:
        manifest = json.loads(parts["manifest.json"])
        manifest["files"].remove(name)
        parts["manifest.json"] = json.dumps(manifest).encode()
        del parts[name]

    return change


def restated(**ledger: object) -> Callable[[dict[str, bytes]], None]:
    """It says of its ledger what is not so."""

    def change(parts: dict[str, bytes]) -> None:
        manifest = json.loads(parts["manifest.json"])
        manifest["ledger"] |= ledger
        parts["manifest.json"] = json.dumps(manifest).encode()

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (dropped("manifest.json"), BackupBroken), (dropped("so8t.toml"), BackupBroken),
        (replaced("more", b""), BackupBroken), (replaced("manifest.json", b"{}"), BackupBroken),
        (replaced("manifest.json", b"[" * 9000), BackupBroken), (without("ledger.db"), BackupBroken),
        (without("ledger.anchor"), BackupBroken), (replaced("ledger.anchor", b"x" * 512), LedgerBroken),
        (replaced("ledger.db", b"SQLite format 3\0" + b"x" * 999), LedgerBroken),
        (replaced("bundle/policy.toml", b"x = 2\n"), BundleBroken),
        (restated(seq=22), LedgerBroken), (restated(head="00" * 32), LedgerBroken), (restated(seq="21"), BackupBroken),
        (without("bundle/policy.toml"), BundleBroken), (without("bundle/bundle.json"), BundleBroken),
    ],
)  # fmt: skip
def test_a_backup_made_by_somebody_else(
    site: Any, file: Path, tmp_path: Path, quiet: Progress, change: Any, expected: type[Exception]
) -> None:
    """It decrypts, for a recipient's public key is public; what is in it is checked all the same."""
    parts = contents(file, site.key)
    change(parts)
    forged = sealed(tmp_path / "forged.so8t", site.key, parts)
    for work in (lambda: verify(forged, site.key, quiet), lambda: restore(forged, tmp_path / "back", site.key, quiet)):
        with pytest.raises(expected):
            work()
    assert not (tmp_path / "back").exists() and not list(tmp_path.glob(".*"))


def test_another_ledger_is_found_by_the_pinned_key_alone(
    site: Any, file: Path, tmp_path: Path, quiet: Progress
) -> None:
    """Whoever brings a whole ledger of his own, with his own public key, is believed only without --key."""
    parts = contents(file, site.key)
    own = signing.load_or_create(tmp_path / "own.key")
    with Ledger(tmp_path / "own.db", own, sealing.TextKey.generate()) as ledger:
        head = ledger.append_sync("note", {"n": 1})
    manifest = json.loads(parts["manifest.json"]) | {"ledger": {"seq": head.seq, "head": head.head}}
    parts |= {"ledger.db": (tmp_path / "own.db").read_bytes(), "ledger.anchor": (tmp_path / "own.anchor").read_bytes()}
    parts |= {"ledger.key.pub": (tmp_path / "own.key.pub").read_bytes(), "manifest.json": json.dumps(manifest).encode()}
    forged = sealed(tmp_path / "forged.so8t", site.key, parts)
    assert verify(forged, site.key, quiet).pinned is False
    with pytest.raises(LedgerBroken):
        verify(forged, site.key, quiet, site.public)


def test_two_files_that_are_one_on_this_disk(site: Any, tmp_path: Path, quiet: Progress) -> None:
    forged = sealed(tmp_path / "forged.so8t", site.key, {"a": b"", "a/b": b""})
    with pytest.raises(BackupBroken):
        restore(forged, tmp_path / "back", site.key, quiet)


def test_large_files_take_no_more_memory(site: Any, tmp_path: Path, quiet: Progress) -> None:
    with (site.folder / "so8t.toml").open("r+b") as f:
        f.truncate(48 << 20)
    tracemalloc.start()
    try:
        site.backup(bundle=None).create(tmp_path / "a.so8t", site.key.recipient, quiet)
        restore(tmp_path / "a.so8t", tmp_path / "back", site.key, quiet)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "back" / "so8t.toml").stat().st_size == 48 << 20
    assert peak < 16 << 20


def test_the_time_left_is_shown(site: Any, tmp_path: Path) -> None:
    with (site.folder / "so8t.toml").open("r+b") as f:
        f.truncate(8 << 20)
    stream, now = io.StringIO(), iter(range(10_000))
    progress = Progress(stream=stream, lang="en", clock=lambda: float(next(now)))
    site.backup().create(tmp_path / "a.so8t", site.key.recipient, progress)
    verify(tmp_path / "a.so8t", site.key, progress)
    assert stream.getvalue().count("/8 MiB") >= 4 and " left" in stream.getvalue()
