"""Recordings are decoded within limits and from a short list of containers; WebVTT comes out as its readers take it."""

from __future__ import annotations

import io
import math
import re
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import SourceUnreadable
from so8t.operate.senses.audio import RATE, container, decoded
from so8t.operate.senses.vtt import Cue, clock, written


def tone(seconds: float, rate: int = RATE) -> bytes:
    samples = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return made.getvalue()


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_a_recording_is_as_long_as_it_was(rate: int) -> None:
    samples = decoded(tone(2.0, rate), 10)
    assert abs(len(samples) / RATE - 2.0) < 0.02 and 0.45 < float(np.abs(samples).max()) < 0.55


@pytest.mark.parametrize("content", [
    b"", b"junk", b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", b"ffconcat version 1.0\nfile /etc/passwd\n",
    b"<?xml version=1>", b"RIFF\0\0\0\0AVI ", tone(0.1)[:20], b"OggS" + b"\0" * 50,
    b"ID3" + b"\0" * 50, b"\0\0\0\x20ftypM4A " + b"\0" * 50,
])  # fmt: skip
def test_what_is_no_recording_is_refused(content: bytes) -> None:
    with pytest.raises(SourceUnreadable):
        decoded(content, 10)


def test_no_more_is_decoded_than_may_be() -> None:
    with pytest.raises(SourceUnreadable, match="> 1 s"):
        decoded(tone(3.0), 1)


def test_playlists_have_no_name_here() -> None:
    assert container(b"#EXTM3U\n") == "" and container(b"ffconcat") == ""
    assert [container(head) for head in (b"fLaC", b"OggS", b"\xff\xfb\x90", b"\x1a\x45\xdf\xa3")] == [
        "flac", "ogg", "mp3", "matroska",
    ]  # fmt: skip


def test_times() -> None:
    assert clock(0) == "00:00:00.000" and clock(3661.5) == "01:01:01.500" and clock(59.9996) == "00:01:00.000"
    assert clock(360_000) == "100:00:00.000"


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60).filter(str.strip)


@given(st.lists(st.tuples(st.floats(0, 9e4), st.floats(0.001, 30), TEXT, st.floats(0, 1)), max_size=5), TEXT)
def test_what_is_said_comes_back_from_webvtt(said: list[tuple[float, float, str, float]], speaker: str) -> None:
    """Read as its readers do: blocks between blank lines, comments passed over, entities undone."""
    cues = [Cue(begin, begin + length, text, sure) for begin, length, text, sure in said]
    blocks = re.split(r"\n{2,}", written(cues, speaker, 0.6).strip("\n"))
    assert blocks[0] == "WEBVTT"
    found = [block.split("\n") for block in blocks[1:] if not block.startswith("NOTE")]
    assert len(found) == len(cues)
    for rows, cue in zip(found, cues, strict=True):
        _, times, words = rows
        assert re.fullmatch(r"\d{2,}:\d\d:\d\d\.\d{3} --> \d{2,}:\d\d:\d\d\.\d{3}", times)
        name, text = re.fullmatch(r"<v ([^<>]*)>([^<>]*)</v>", words).groups()  # type: ignore[union-attr]
        plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        assert plain == " ".join(cue.text.split()) and name


def test_doubtful_cues_are_marked_for_people() -> None:
    text = written([Cue(0, 1, "はい", 0.9), Cue(1, 2, "いいえ", 0.3), Cue(2, 3, "会議", math.nan)], "話者", 0.6)
    assert text.count("要確認") == 2 and "NOTE 確度 0.90\n" in text
