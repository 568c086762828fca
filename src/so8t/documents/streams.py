"""Bounded decompression: any size in, blocks of about a megabyte out, and what is there before an error is told."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from so8t.documents.kinds import Packing
from so8t.documents.limits import Limits
from so8t.documents.unreadable import Reason, Unreadable, library_errors

BLOCK = 1 << 20  # bytes out at a time
INPUT = 1 << 14  # bytes in at a time: what an error in the middle may cost
RATIO_FROM = 64 << 20  # a small file may be as repetitive as it likes
XZ_MEMORY = 256 << 20  # xz -9 takes 65 MiB
ZSTANDARD_WINDOW = 1 << 27  # zstd --long=27, the largest that its own tool accepts by default
ZSTANDARD_INPUT = 1 << 10  # four bytes may become 128 KiB, and the library knows no limit of its own


class Decompressor(Protocol):
    """One stream, member or frame; bz2.BZ2Decompressor and lzma.LZMADecompressor are this already."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        # A full block may mean that more waits inside although all input is used up.
        self.needs_input = not self._stream.unconsumed_tail and len(out) < max_length
        return out


class _Zstandard:
    def __init__(self) -> None:
        import zstandard

        self._stream = zstandard.ZstdDecompressor(max_window_size=ZSTANDARD_WINDOW).decompressobj()
        self._waiting = b""

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data + self._waiting

    def decompress(self, data: bytes, max_length: int) -> bytes:
        waiting, at, size, out = self._waiting + data, 0, 0, []
        while at < len(waiting) and size < max_length and not self._stream.eof:
            out.append(self._stream.decompress(waiting[at : at + ZSTANDARD_INPUT]))
            at += ZSTANDARD_INPUT
            size += len(out[-1])
        self._waiting = waiting[at:]
        return b"".join(out)


_DECOMPRESSORS: dict[Packing, Callable[[], Decompressor]] = {
    Packing.GZIP: _Gzip,
    Packing.BZIP2: bz2.BZ2Decompressor,
    Packing.XZ: lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY),
    Packing.ZSTANDARD: _Zstandard,
}


def blocks(source: BinaryIO, packing: Packing, limits: Limits) -> Iterator[bytes]:
    """The unpacked content piece by piece, no piece empty. Raises Unreadable, after all that could be unpacked, where
    the file cannot be read on, is truncated or damaged, or passes `stream_bytes` or `ratio`."""
    read = 0
    for block in _unpacked(source, packing) if packing else iter(lambda: _read(source, BLOCK), b""):
        if not block:
            continue
        read += len(block)
        if read > limits.stream_bytes:
            raise Unreadable(Reason.TOO_LARGE, f"> {limits.stream_bytes} bytes")
        if packing and read > RATIO_FROM and read > limits.ratio * source.tell():
            raise Unreadable(Reason.TOO_LARGE, f"packed more than 1:{limits.ratio}")
        yield block


def whole(source: BinaryIO, packing: Packing, limits: Limits) -> bytes:
    """The unpacked content in one piece. Raises Unreadable as `blocks` does, and for more than `whole_bytes`."""
    parts, size = [], 0
    for block in blocks(source, packing, limits):
        size += len(block)
        if size > limits.whole_bytes:
            raise Unreadable(Reason.TOO_LARGE, f"> {limits.whole_bytes} bytes")
        parts.append(block)
    return b"".join(parts)


def _unpacked(source: BinaryIO, packing: Packing) -> Iterator[bytes]:
    """All streams of a file, one after the other; zeros between or after them are padding."""
    data = _read(source, INPUT)
    while data:
        with library_errors():
            stream = _DECOMPRESSORS[packing]()
        while not stream.eof:
            yield _step(stream, data)
            data = b""
            if stream.needs_input and not stream.eof:
                data = _read(source, INPUT)
                if not data:
                    raise Unreadable(Reason.TRUNCATED, f"in the middle of {packing} data")
        data = stream.unused_data
        while not data.lstrip(b"\0") and (more := _read(source, INPUT)):
            data = more
        data = data.lstrip(b"\0")


def _read(source: BinaryIO, size: int) -> bytes:
    try:
        return source.read(size)
    except OSError as error:
        raise Unreadable(Reason.NOT_READABLE, error.strerror or type(error).__name__) from error


def _step(stream: Decompressor, data: bytes) -> bytes:
    with library_errors():
        return stream.decompress(data, BLOCK)
