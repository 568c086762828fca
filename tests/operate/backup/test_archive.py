"""The inside of a backup: any tar reads it, and ours takes nothing but what we write."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import BackupBroken, SourceUnreadable
from so8t.operate.backup import archive

PLACE = Path("a.so8t")
LIMIT = 1 << 20


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    for name, content in files.items():
        archive.add(out, name, io.BytesIO(content), len(content), lambda n: None)
    archive.end(out)
    return out.getvalue()


def unpacked(raw: bytes) -> dict[str, bytes]:
    return {m.name: b"".join(m.pieces) for m in archive.members(io.BytesIO(raw), PLACE, LIMIT)}


names = st.from_regex(r"[a-z][a-z0-9_]{0,20}(/[a-z][a-z0-9]{0,20}){0,3}", fullmatch=True)


@given(st.dictionaries(names, st.binary(max_size=2000), max_size=6))
def test_round_trip_and_any_tar_reads_it(files: dict[str, bytes]) -> None:
    raw = packed(files)
    assert unpacked(raw) == files
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert {m.name: tar.extractfile(m).read() for m in tar} == files  # type: ignore[union-attr]


def test_a_file_larger_than_classic_headers_can_say() -> None:
    """Its header alone: nobody writes 9 GiB here."""

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise KeyboardInterrupt

    out = io.BytesIO()
    with pytest.raises(KeyboardInterrupt):
        archive.add(out, "gguf/model.gguf", Endless(), 9 << 30, lambda n: None)  # type: ignore[arg-type]
    member = next(archive.members(io.BytesIO(out.getvalue()), PLACE, 10 << 30))
    assert (member.name, member.size) == ("gguf/model.gguf", 9 << 30)


def test_a_file_that_became_shorter() -> None:
    with pytest.raises(SourceUnreadable, match="shorter"):
        archive.add(io.BytesIO(), "a", io.BytesIO(b"ab"), 3, lambda n: None)


def plain(name: str, content: bytes = b"x") -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))

    return add


def special(kind: bytes, target: str = "") -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("a")
        info.type, info.linkname = kind, target
        tar.addfile(info)

    return add


def twice(first: str, second: str) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        plain(first)(tar)
        plain(second)(tar)

    return add


@pytest.mark.parametrize(
    "add",
    [
        special(tarfile.SYMTYPE, "/etc/passwd"), special(tarfile.LNKTYPE, "../a"), special(tarfile.CHRTYPE),
        special(tarfile.BLKTYPE), special(tarfile.FIFOTYPE), special(tarfile.DIRTYPE), special(tarfile.CONTTYPE),
        special(tarfile.GNUTYPE_SPARSE), special(tarfile.AREGTYPE),
        plain("/etc/passwd"), plain("../a"), plain("a/../../b"), plain("./a"), plain("a//b"), plain(".hidden"),
        plain("con.txt"), plain("a\\b"), plain("c:a"), plain("a "), plain("名前"), plain(""), plain("a/"),
        twice("a", "a"), twice("a", "A"), plain("n" * 150), plain("p/" * 90 + "a"), plain("big", b"x" * (LIMIT + 1)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_a_backup_never_holds(add: Callable[[tarfile.TarFile], None], form: int) -> None:
    with pytest.raises(BackupBroken, match=r"plain file|name, number|tar header"):
        unpacked(foreign(add, form))


def foreign(add: Callable[[tarfile.TarFile], None], form: int) -> bytes:
    """What Python's own library makes, ended as ours is."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8") as tar:
        add(tar)
        size = tar.offset
    return out.getvalue()[:size] + b"\0" * 1024


def test_a_plain_file_made_by_another_program_is_read() -> None:
    """So what is refused above is refused for what it is."""
    assert unpacked(foreign(plain("a/b"), tarfile.GNU_FORMAT)) == {"a/b": b"x"}


def test_a_negative_size() -> None:
    info = tarfile.TarInfo("a")
    info.size = -512
    with pytest.raises(BackupBroken, match="no plain file"):
        unpacked(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[:-1], lambda raw: raw[:512], lambda raw: raw[:600], lambda raw: raw + b"\0",
        lambda raw: raw + b"\0" * 512, lambda raw: raw[:1000] + b"x" + raw[1001:], lambda raw: b"",
        lambda raw: raw[:-512], lambda raw: b"z" + raw[1:], lambda raw: raw[:-100] + b"x" * 100,
    ],
)  # fmt: skip
def test_a_stream_that_does_not_end_as_it_should(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BackupBroken):
        unpacked(change(packed({"a": b"abc"})))


def test_too_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    assert len(unpacked(packed({f"f{n}": b"" for n in range(3)}))) == 3
    with pytest.raises(BackupBroken):
        unpacked(packed({f"f{n}": b"" for n in range(4)}))
