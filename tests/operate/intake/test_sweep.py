"""Files that no entry needs go, after a real kill at every step; files that one needs, and files of others, stay."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killed_intake import ERASING, KEEPING, REQUEST, image
from office_server import SCORES, build

from so8t.ask.backend import FakeBackend
from so8t.core import sealing, signing
from so8t.core.errors import LedgerBroken, LedgerUnavailable
from so8t.core.ledger import Ledger
from so8t.core.ledger_read import LedgerReader, Stored
from so8t.core.ledger_verify import verify
from so8t.core.types import Request, canonical_json
from so8t.operate.intake import sweep as module
from so8t.operate.intake.intent import LARGEST
from so8t.operate.intake.kept import Kept, sealed_names
from so8t.operate.intake.sweep import MOST_NOTES, SAFE_SECONDS, Sweep
from so8t.operate.intake.verify import with_attachments

TESTS = Path(__file__).parents[2]


def files(kept: Kept) -> set[str]:
    """What lies in the folder, notes included."""
    return {path.relative_to(kept.folder).as_posix() for path in kept.folder.rglob("*") if path.is_file()}


def named(*entries: Stored | None) -> set[str]:
    return {f"{name[:2]}/{name}" for entry in entries if entry for name in sealed_names(entry.data)}


def aged(kept: Kept, seconds: float = 2 * SAFE_SECONDS) -> Kept:
    """All of it as if it had lain there for so long."""
    for path in kept.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (time.time() - seconds,) * 2)
    return kept


class Book:
    """A ledger with its images, as a gateway has it."""

    def __init__(self, folder: Path) -> None:
        self.path, self.key = folder / "ledger.db", sealing.load_or_create(folder / "text.key")
        self.ledger = Ledger(self.path, signing.load_or_create(folder / "ledger.key"), self.key)
        self.reader, self.kept = LedgerReader(self.path, self.key), Kept.beside(self.path)
        self.sweep = Sweep(self.kept, self.reader)

    def put(self, request_id: str, *contents: bytes) -> Callable[[], int]:
        """What makes the entry of it, later."""
        told, texts = self.kept.put(request_id, [image(content) for content in contents])
        body = {"request_id": request_id, "decision": "ALLOW", "attachments": told}
        return lambda: self.ledger.append_sync("decision", body, text={"query": "?", **texts}).seq


@pytest.fixture
def book(tmp_path: Path) -> Any:
    made = Book(tmp_path)
    yield made
    made.ledger.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("step", "needed"), {**KEEPING, **ERASING}.items())
def test_killed_at_every_step(tmp_path: Path, step: str, needed: bool) -> None:
    path = os.pathsep.join([str(TESTS / "support"), str(TESTS.parent / "src")])
    command = [sys.executable, "-m", "killed_intake", step, str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=120)
    assert done.returncode == -9, done.stderr
    book = Book(tmp_path)
    before = files(book.kept)
    assert book.sweep.once() == 0 and files(book.kept) == before and before  # too young to say
    aged(book.kept)
    removed = book.sweep.once()
    entries = book.reader.entries(request_id=REQUEST, kinds=("decision",))
    names = named(*entries)
    assert files(book.kept) == (names if needed else set()) and len(names) == (2 if needed or step == "erased" else 0)
    assert removed == {"one file": 1, "files": 2, "erased": 2}.get(step, 0)
    assert book.sweep.once() == 0
    book.ledger.close()
    assert with_attachments(verify(book.path), book.path).ok


def test_what_is_named_stays_for_ever(book: Book) -> None:
    seqs = [book.put(f"req-{n}", b"a", b"b")() for n in range(3)]  # as if killed before the note's end
    assert len(files(book.kept)) == 9
    for _ in range(2):
        aged(book.kept)
        assert book.sweep.once() == 0 and files(book.kept) == named(*map(book.reader.entry, seqs))


def test_another_gateway_is_about_to_name_it(book: Book) -> None:
    """Two gateways over one folder: the one sweeps while the other stands between its file and its entry."""
    other = Sweep(Kept(book.kept.folder), LedgerReader(book.path, book.key))
    orphaned, naming = book.put("req-lost", b"lost"), book.put("req-late", b"late")
    assert orphaned and other.once() == 0
    seq = naming()
    aged(book.kept)
    swept = list[int]()
    threads = [threading.Thread(target=lambda s=s: swept.append(s.once())) for s in (book.sweep, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(swept) == 2 and sum(swept) >= 1
    entry = book.reader.entry(seq)
    assert entry is not None and files(book.kept) == named(entry)
    assert book.kept.read(entry.data, book.reader.texts(seq), 0) == b"late"


def test_a_wrong_clock_of_one_gateway_makes_nothing_older(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.put("req-1", b"x")
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert book.sweep.once() == 0 and len(files(book.kept)) == 2


def test_a_ledger_that_cannot_be_asked_keeps_everything(book: Book, tmp_path: Path) -> None:
    book.put("req-1", b"x")
    aged(book.kept)
    (tmp_path / "other.db").write_bytes(b"no database")
    for reader in (LedgerReader(tmp_path / "other.db"), LedgerReader(tmp_path / "none.db")):
        with pytest.raises(Exception, match=r"L01|D01"):
            Sweep(book.kept, reader).once()
    assert len(files(book.kept)) == 2


def test_texts_that_do_not_open_keep_everything(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.put("req-1", b"x")()
    aged(book.kept)

    def broken(*_: Any) -> Any:
        raise LedgerBroken(where="ledger")

    monkeypatch.setattr(book.reader, "texts_of", broken)
    with pytest.raises(LedgerBroken):
        book.sweep.once()
    assert len(files(book.kept)) == 2


NAME = "ab" * 32


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"[" * 100_000, b'{"names": []}', canonical_json({"request_id": None, "names": [NAME]}).encode(),
    canonical_json({"request_id": "r", "names": ["../../etc/passwd"]}).encode(), b" " * (LARGEST + 1),
    canonical_json({"request_id": "r", "names": [NAME, "../x"]}).encode(),
    canonical_json({"request_id": "r", "names": ["cd" * 32]}).encode(), b"\xff\xfe",
])  # fmt: skip
def test_what_is_no_note_of_ours_moves_nothing(book: Book, content: bytes) -> None:
    kept = book.kept
    for path in (kept.path(NAME), kept.intents.folder / NAME):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"somebody's")
    (kept.intents.folder / NAME).write_bytes(content)
    (kept.intents.folder / "README").write_bytes(b"")
    aged(kept)
    assert book.sweep.once() == 0 and kept.path(NAME).read_bytes() == b"somebody's"
    assert (kept.intents.folder / "README").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_not_followed(book: Book, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / NAME).write_bytes(b"somebody's")
    (elsewhere / "secret").write_bytes(b"somebody's")
    kept = book.kept
    kept.intents.begin("req-none", [NAME, "cd" * 32])
    (kept.folder / "ab").symlink_to(elsewhere, target_is_directory=True)  # the file's folder
    (kept.folder / "cd").mkdir()
    kept.path("cd" * 32).symlink_to(elsewhere / "secret")  # the file itself
    (kept.intents.folder / ("ef" * 32)).symlink_to(elsewhere / "secret")  # a note
    aged(kept)
    assert book.sweep.once() == 1
    assert {path.name for path in elsewhere.iterdir()} == {NAME, "secret"}
    assert not kept.path("cd" * 32).is_symlink()
    (moved := tmp_path / "pending").mkdir()
    (moved / NAME).write_text(canonical_json({"request_id": "r", "names": [NAME]}), encoding="utf-8")
    os.utime(moved / NAME, (1, 1))
    for path in kept.intents.folder.iterdir():
        path.unlink()
    kept.intents.folder.rmdir()
    kept.intents.folder.symlink_to(moved, target_is_directory=True)  # all notes
    assert book.sweep.once() == 0 and (moved / NAME).exists()


def test_a_sweep_looks_at_no_more_than_it_may(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NOTES", 2)
    for n in range(5):
        book.put(f"req-{n}", b"x")
    aged(book.kept)
    assert [book.sweep.once() for _ in range(4)] == [2, 2, 1, 0] and MOST_NOTES == 1000


def test_it_says_what_it_removed(book: Book, caplog: pytest.LogCaptureFixture) -> None:
    book.put("req-1", b"a", b"b")
    aged(book.kept)
    with caplog.at_level(logging.WARNING, "so8t.serve"):
        book.sweep.once()
    assert [record.getMessage() for record in caplog.records] == [
        "images: removed 2 files that no entry of the ledger needs"
    ]


def test_a_server_begins_with_it(book: Book) -> None:
    book.put("req-1", b"x")
    aged(book.kept)

    async def main() -> None:
        task = asyncio.create_task(book.sweep.watch())
        for _ in range(100):
            await asyncio.sleep(0.05)
            if not files(book.kept):
                break
        task.cancel()

    asyncio.run(main())
    assert not files(book.kept)


def test_an_erasure_that_is_asked_for_again_takes_the_files(book: Book) -> None:
    """Of one killed before there were notes."""
    seq = book.put("req-1", b"x")()
    entry = book.reader.entry(seq)
    assert entry is not None
    book.kept.named(entry.data)
    book.ledger.erase(seq, "本人の求め").result(10)
    book.kept.erasing("req-1", entry.data)
    aged(book.kept)
    assert book.sweep.once() == 1 and not files(book.kept)


REQUESTED = Request("req-1", "要点は?", "社内限定", attachments=(image(b"the image"),))


def test_an_entry_that_came_through_in_spite_of_an_error_has_its_image(tmp_path: Path) -> None:
    """The database has the entry, the anchor could not be written: nobody is answered, and nothing is lost."""
    gateway, _, ledger, texts, _ = build(tmp_path, FakeBackend(SCORES, answer="はい。"))
    anchored = ledger._write_anchor

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "no space")

    ledger._write_anchor = full
    with pytest.raises(LedgerUnavailable):
        asyncio.run(gateway.ask(REQUESTED))
    ledger._write_anchor = anchored
    ledger.append_sync("note", {"event": "again"})
    with LedgerReader(ledger.path, texts) as reader:
        (entry,) = reader.entries(request_id="req-1", kinds=("decision",))
        assert Sweep(aged(gateway.kept), reader).once() == 0
        assert gateway.kept.read(entry.data, reader.texts(entry.seq), 0) == b"the image"
    ledger.close()
    assert with_attachments(verify(ledger.path), ledger.path).ok


def test_an_asker_who_leaves_while_it_is_written_loses_no_image(tmp_path: Path) -> None:
    gateway, _, ledger, texts, _ = build(tmp_path, FakeBackend(SCORES, answer="はい。"))
    at_work, go_on = threading.Event(), threading.Event()
    anchored = ledger._write_anchor

    def slow(*arguments: Any, **options: Any) -> None:
        at_work.set()
        go_on.wait(10)
        anchored(*arguments, **options)

    ledger._write_anchor = slow

    async def main() -> None:
        task = asyncio.create_task(gateway.ask(REQUESTED))
        await asyncio.to_thread(at_work.wait, 10)
        task.cancel()
        await asyncio.sleep(0.05)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    ledger.close()
    with LedgerReader(ledger.path, texts) as reader:
        (entry,) = reader.entries(request_id="req-1", kinds=("decision",))
        assert Sweep(aged(gateway.kept), reader).once() == 0
        assert gateway.kept.read(entry.data, reader.texts(entry.seq), 0) == b"the image"


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from so8t.core.errors import DiskFull
    from so8t.operate.intake import kept

    real, calls = kept.write_bytes, list[Path]()

    def full(path: Path, content: bytes) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise DiskFull(where=path)
        real(path, content)

    monkeypatch.setattr(kept, "write_bytes", full)
    with pytest.raises(LedgerUnavailable):
        Kept(tmp_path / "kept").put("req-1", [image(b"a"), image(b"b")])
    assert len(calls) == 2 and not files(Kept(tmp_path / "kept"))
