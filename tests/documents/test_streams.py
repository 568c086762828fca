"""Packed streams of any size in bounded memory, and lines of any length."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from so8t.documents.kinds import Packing
from so8t.documents.limits import DEFAULT, Limits
from so8t.documents.lines import lines
from so8t.documents.streams import blocks, whole
from so8t.documents.unreadable import Reason, Unreadable

PACK: dict[Packing, Callable[[bytes], bytes]] = {
    Packing.GZIP: gzip.compress,
    Packing.BZIP2: bz2.compress,
    Packing.XZ: lzma.compress,
    Packing.ZSTANDARD: zstandard.compress,
}
TEXT = "".join(f"{i} 行目の文です。\n" for i in range(60_000)).encode()  # over one block, and over bzip2's own
every_packing = pytest.mark.parametrize("packing", PACK)


def unpacked(content: bytes, packing: Packing, limits: Limits = DEFAULT) -> tuple[bytes, Reason | None]:
    """What comes out, and why no more does."""
    out = b""
    try:
        for block in blocks(io.BytesIO(content), packing, limits):
            assert block
            out += block
    except Unreadable as error:
        return out, error.reason
    return out, None


@every_packing
def test_streams_one_after_the_other_are_one_text(packing: Packing) -> None:
    packed = PACK[packing](TEXT) + PACK[packing](b"")
    assert unpacked(packed + PACK[packing](TEXT[:99]), packing) == (TEXT + TEXT[:99], None)
    assert unpacked(packed + bytes(4096), packing) == (TEXT, None)  # padding
    assert whole(io.BytesIO(packed), packing, Limits()) == TEXT


@every_packing
def test_a_truncated_stream_gives_what_is_there_and_says_so(packing: Packing) -> None:
    packed = PACK[packing](TEXT)
    out, reason = unpacked(packed[: len(packed) * 9 // 10], packing)
    assert reason is Reason.TRUNCATED and TEXT.startswith(out) and len(out) > len(TEXT) // 2
    assert unpacked(packed[:-1], packing)[1] is Reason.TRUNCATED


@every_packing
def test_a_damaged_stream_gives_what_comes_before(packing: Packing) -> None:
    packed = PACK[packing](TEXT)
    out, reason = unpacked(packed + b"not packed at all", packing)
    assert out == TEXT and reason is Reason.DAMAGED
    broken = bytearray(packed)
    broken[len(packed) // 2] ^= 0xFF
    out, reason = unpacked(bytes(broken), packing)
    assert reason is not None or out != TEXT or packing is Packing.ZSTANDARD


@every_packing
def test_limits_end_a_stream(packing: Packing) -> None:
    out, reason = unpacked(PACK[packing](TEXT), packing, Limits(stream_bytes=1 << 20))
    assert reason is Reason.TOO_LARGE and len(out) <= 1 << 20
    with pytest.raises(Unreadable, match="too large"):
        whole(io.BytesIO(PACK[packing](TEXT)), packing, Limits(whole_bytes=1 << 16))


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTANDARD])
def test_a_bomb_is_given_up_in_bounded_memory(packing: Packing) -> None:
    bomb = PACK[packing](bytes(100 << 20))
    tracemalloc.start()
    size = 0
    with pytest.raises(Unreadable, match="packed more than"):
        for block in blocks(io.BytesIO(bomb), packing, Limits()):
            size += len(block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size <= 97 << 20 and peak < 70 << 20


def test_trouble_in_reading_is_told_after_what_was_read() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(10)

    rows = list(lines(blocks(Failing(b"a\nb\nc" * 9), Packing.NONE, Limits()), 99))
    assert rows[:2] == [b"a", b"b"] and isinstance(rows[-1], Unreadable) and rows[-1].reason is Reason.NOT_READABLE


def test_a_line_of_a_gigabyte_is_read_past() -> None:
    def endless() -> Iterator[bytes]:
        yield b"first\n"
        block = b"x" * (1 << 20)
        for _ in range(1024):
            yield block
        yield b"\nlast"

    tracemalloc.start()
    first, long, last = lines(endless(), 4 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (first, last) == (b"first", b"last") and peak < 24 << 20
    assert isinstance(long, Unreadable) and long.reason is Reason.LONG_LINE


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"x", b"\n")), max_size=12), st.integers(1, 50))
def test_lines_do_not_depend_on_blocks(pieces: list[bytes], longest: int) -> None:
    content = b"".join(pieces)
    found = [row if isinstance(row, bytes) else None for row in lines(iter(pieces), longest)]
    expected = content.split(b"\n")
    expected = expected[:-1] if not expected[-1] else expected
    assert found == [row if len(row) <= longest else None for row in expected]
