"""New files through the rules, within limits: a few at a time, no link, no bomb, nothing twice."""

from __future__ import annotations

import io
import os
import struct
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yara_samples import BAD, zipped

from so8t.core.errors import ConfigValueInvalid
from so8t.operate.monitor import files as files_module
from so8t.operate.monitor import scan as scan_module
from so8t.operate.monitor.files import Files, folders_of
from so8t.operate.monitor.rules import Rules
from so8t.operate.monitor.scan import scan_file

MINER = BAD["miner_pool_address"][0][1]
RULES = Rules()
LONGEST = 1 << 20


class Told:
    """Notices that a test gives."""

    def __init__(self) -> None:
        self.paths: set[Path] = set()
        self.everything = False

    def start(self) -> None: ...
    def stop(self) -> None: ...

    def take(self) -> tuple[set[Path], bool]:
        found, self.paths = (self.paths, self.everything), set()
        self.everything = False
        return found


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def share(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    return folder


def watching(share: Path, clock: Clock | None = None) -> tuple[Files, Told]:
    told = Told()
    made = Files([share], RULES, LONGEST, 900, clock or Clock(), lambda folders: told)
    made.start()
    return made, told


def found(files: Files, looks: int = 1) -> list[str]:
    return [Path(f.subject).name for _ in range(looks) for f in files.look()]


def test_what_is_there_at_the_start_and_what_comes(share: Path) -> None:
    (share / "old.sh").write_bytes(MINER)
    files, told = watching(share)
    assert found(files, 2) == ["old.sh"] and not files.busy
    (share / "new.sh").write_bytes(MINER)
    assert found(files) == []  # nobody told of it
    told.paths = {share / "new.sh", share / "old.sh", share / "gone.sh"}
    assert found(files) == ["new.sh"] and files.searched == 2
    time.sleep(0.01)
    (share / "old.sh").write_bytes(MINER + b"\n")
    told.paths = {share / "old.sh"}
    assert found(files) == ["old.sh"]


def test_a_time_that_was_set_back_hides_nothing(share: Path) -> None:
    path = share / "a.sh"
    path.write_bytes(b"x" * len(MINER))
    os.utime(path, ns=(1, 1))
    files, told = watching(share)
    assert found(files) == []
    path.write_bytes(MINER)
    os.utime(path, ns=(1, 1))
    told.paths = {path}
    assert found(files) == ["a.sh"]


def test_the_rescan_sees_what_nobody_told_of(share: Path) -> None:
    clock = Clock()
    files, told = watching(share, clock)
    assert found(files) == []
    (share / "new.sh").write_bytes(MINER)
    clock.now = 899
    assert found(files) == []
    clock.now = 901
    assert found(files) == ["new.sh"]
    (share / "more.sh").write_bytes(MINER)
    told.everything = True
    assert found(files) == ["more.sh"]


def test_no_link_leads_out_and_no_pipe_holds_up(share: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.sh"
    outside.write_bytes(MINER)
    (share / "link.sh").symlink_to(outside)
    (share / "folder").symlink_to(tmp_path)
    os.mkfifo(share / "pipe.sh")
    files, told = watching(share)
    told.paths = {outside, share / "link.sh", share / "pipe.sh", share / "folder", share}
    assert found(files, 3) == [] and files.searched == 0
    assert scan_file(share / "link.sh", RULES, LONGEST).findings == []
    assert scan_file(share / "pipe.sh", RULES, LONGEST).findings == []


def test_many_files_take_several_looks(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "FILES_A_LOOK", 10)
    monkeypatch.setattr(files_module, "WALKED_A_LOOK", 25)
    for n in range(60):
        (share / f"{n:02}.sh").write_bytes(MINER)
    files, _ = watching(share)
    looks = [found(files) for _ in range(8)]
    assert max(map(len, looks)) == 10 and sorted(n for look in looks for n in look) == [f"{n:02}.sh" for n in range(60)]
    assert not files.busy


def test_a_look_reads_so_many_bytes(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "BYTES_A_LOOK", 1000)
    for n in range(5):
        (share / str(n)).write_bytes(bytes(600))
    files, _ = watching(share)
    files.look()
    assert files.searched == 2 and files.busy


def test_who_changes_everything_all_the_time_does_not_hide_a_file(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk goes on to its end however often it is asked to begin anew, and what waits is bounded."""
    monkeypatch.setattr(files_module, "WALKED_A_LOOK", 5)
    monkeypatch.setattr(files_module, "MOST_WAITING", 50)
    for n in range(40):
        (share / f"{n:02}").write_bytes(b"x")
    (share / "zz.sh").write_bytes(MINER)
    files, told = watching(share)
    names: list[str] = []
    for n in range(60):
        told.everything, told.paths = True, {share / f"nothing-{n}-{k}" for k in range(100)}
        names += found(files)
        assert files.waiting <= 50 + 5
    assert names == ["zz.sh"]


def test_what_is_remembered_is_bounded(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MOST_KNOWN", 10)
    for n in range(30):
        (share / str(n)).write_bytes(b"x")
    files, _ = watching(share)
    files.look()
    assert len(files._known) <= 10


def test_broken_rules_are_told_of_once(share: Path, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yar").write_text("rule {")
    files = Files([share], Rules(tmp_path / "rules"), LONGEST, 900, Clock(), lambda folders: Told())
    assert [f.kind for _ in range(3) for f in files.look()] == ["rules_broken"]


def test_the_real_notices(share: Path) -> None:
    files = Files([share], RULES, LONGEST, 900)
    files.start()
    try:
        assert found(files) == [] and files.problem == ""
        (share / "new.sh").write_bytes(MINER)
        names: list[str] = []
        begin = time.monotonic()
        while not names and time.monotonic() - begin < 30:
            time.sleep(0.05)
            names = found(files)
        assert names == ["new.sh"]
        files.stop()
        (share / "meanwhile.sh").write_bytes(MINER)
        files.start()  # as after an error of the watch
        assert found(files) == ["meanwhile.sh"]
    finally:
        files.stop()


def test_folders_that_are_none(share: Path) -> None:
    assert folders_of([str(share)]) == [share]
    for name in ("", str(share / "x")):
        with pytest.raises(ConfigValueInvalid, match=r"monitor\.folders"):
            folders_of([name])


# -- one file --------------------------------------------------------------------------------------------------------


def scanned(folder: Path, content: bytes, longest: int = LONGEST) -> tuple[list[str], str]:
    path = folder / "a.zip"
    path.write_bytes(content)
    scan = scan_file(path, RULES, longest)
    assert scan.bytes <= longest + scan_module.ALL_MEMBERS_BYTES
    return [f.kind for f in scan.findings], scan.unread


def test_the_beginning_of_a_large_file(share: Path) -> None:
    assert scanned(share, MINER + bytes(2000), 1000) == (["file_rule"], "")
    assert scanned(share, bytes(2000) + MINER, 1000) == ([], "")  # docs/monitor.md says so


def test_a_bomb_is_read_to_a_limit(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "MEMBER_BYTES", 10_000)
    monkeypatch.setattr(scan_module, "ALL_MEMBERS_BYTES", 25_000)
    bomb = zipped({str(n): bytes(1 << 20) for n in range(10)})
    kinds, unread = scanned(share, bomb)
    assert kinds == ["file_unread"] and unread == "zip member > 10000 bytes"


def test_members_are_counted(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "MEMBERS", 3)
    assert scanned(share, zipped({str(n): b"x" for n in range(5)}))[1] == "zip > 3 members"


def test_a_list_of_members_that_is_too_long_is_not_read(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "DIRECTORY_BYTES", 1000)
    assert scanned(share, zipped({f"{n:0100}": b"x" for n in range(50)}))[1] == "zip directory > 1000 bytes"


def wide(content: bytes, size: int | None = None, *, apart: bool = False) -> bytes:
    """The same archive with zip64 records, as torch writes them; `size`: a lie about the length of the list."""
    at = content.rindex(b"PK\x05\x06")
    members, length, begin = struct.unpack("<HII", content[at + 10 : at + 20])
    length = length if size is None else size
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, members, members, length, begin)
    padding = b"x" * 100 if apart else b""
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, at, 1)
    return content[:at] + record + padding + locator + content[at:]


def test_the_wide_form_is_read_too(share: Path) -> None:
    archive = zipped({"archive/data.pkl": MINER})
    assert scanned(share, wide(archive)) == (["file_rule"], "")
    for lie in (wide(archive, 1 << 40), wide(archive, 1 << 40, apart=True), wide(archive, (1 << 20) + 1)):
        assert scanned(share, lie)[1] == "zip directory > 1048576 bytes"


def test_a_large_archive_is_opened_where_it_lies(share: Path) -> None:
    """Models are larger than what is read of a file; what runs code in them is a small member."""
    assert scanned(share, zipped({"data.pkl": MINER, "weights": os.urandom(100_000)}), 1000) == (["file_rule"], "")


def test_an_encrypted_member(share: Path) -> None:
    content = bytearray(zipped({"a": MINER}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(mark) + offset
        content[at : at + 2] = struct.pack("<H", 1)
    assert scanned(share, bytes(content)) == (["file_unread"], "zip: encrypted")


@given(st.binary(max_size=300), st.integers(0, 2000), st.sampled_from([0, 1, 2]))
def test_no_damage_to_an_archive_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, way: int
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "x" * 500)
        archive.writestr("b/c.sh", MINER)
    whole = out.getvalue()
    at %= len(whole)
    damaged = [whole[:at] + noise + whole[at + len(noise) :], whole[:at] + noise, whole[:at] + noise + whole[at:]][way]
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(damaged)
    scan = scan_file(path, RULES, LONGEST)
    assert {f.kind for f in scan.findings} <= {"file_rule", "file_unread"}
