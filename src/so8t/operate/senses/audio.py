"""Recordings -> samples, on FFmpeg's libraries (PyAV, which comes with faster-whisper).

The container is told by the first bytes and named to FFmpeg, from a short list: its other readers - playlists, lists of
files, network addresses - stay closed. No more is decoded than may be.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from so8t.core.errors import PackageMissing, SourceUnreadable

RATE = 16_000  # samples a second: what Whisper hears
MAXIMUM_BYTES = 1 << 30
INSTALL = 'pip install "so8t[ears]"'
Samples: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]


def container(head: bytes) -> str:
    """FFmpeg's name of the container, by the first bytes; "" for one that is not read."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[4:8] == b"ftyp":
        return "mov"  # MP4, M4A
    magic = {b"fLaC": "flac", b"OggS": "ogg", b"ID3": "mp3", b"\x1a\x45\xdf\xa3": "matroska"}
    found = next((name for start, name in magic.items() if head.startswith(start)), "")
    layer = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4, 0xE6)  # an MPEG audio frame, any layer
    return found or ("mp3" if layer else "")


def decoded(content: bytes, seconds: float, where: object = "audio") -> Samples:
    """[n] one channel at RATE, -1..1. Raises SourceUnreadable for what is no recording or longer; PackageMissing."""
    if len(content) > MAXIMUM_BYTES:
        raise SourceUnreadable(where=where, detail=f"{len(content)} bytes > {MAXIMUM_BYTES}")
    name = container(content[:16])
    if not name:
        raise SourceUnreadable(where=where, detail="WAV, FLAC, MP3, OGG, MP4 or WebM expected")
    try:
        import av
    except ImportError:
        raise PackageMissing(detail=f"av: {INSTALL}") from None
    pieces, most = list[Samples](), round(seconds * RATE)
    try:
        with av.open(io.BytesIO(content), format=name, mode="r") as opened:
            for piece in _pieces(av, opened):
                pieces.append(piece)
                most -= len(piece)
                if most < 0:
                    raise SourceUnreadable(where=where, detail=f"> {seconds:g} s")
    except (SourceUnreadable, MemoryError):
        raise
    except Exception as error:  # a decoder may fail at a damaged file in any way
        raise SourceUnreadable(where=where, detail=f"audio: {type(error).__name__}") from error
    if not pieces:
        raise SourceUnreadable(where=where, detail="no sound")
    return np.concatenate(pieces)


def _pieces(av: Any, opened: Any) -> Iterator[Samples]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    for frame in opened.decode(audio=0):
        frame.pts = None  # damaged times would make the resampler fill the gaps
        for made in resampler.resample(frame):
            yield _floats(made)
    for made in resampler.resample(None):
        yield _floats(made)


def _floats(frame: Any) -> Samples:
    found: Samples = frame.to_ndarray().reshape(-1).astype(np.float32) / 32768
    return found
