"""Texts at rest: only the key opens them, only beside their own entry, and the key shows nothing of itself."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import stat
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import TextKeyWrong
from so8t.core.sealing import KEY_BYTES, NONCE_BYTES, SALT_BYTES, TextKey, load, load_or_create

KEY = TextKey(bytes(range(KEY_BYTES)))
TEXT = "極秘の質問".encode()


@given(st.binary(max_size=2000))
def test_what_is_sealed_opens_again(text: bytes) -> None:
    digest, sealed = KEY.seal(text)
    assert KEY.open(sealed, digest) == text
    assert len(sealed) == NONCE_BYTES + SALT_BYTES + len(text) + 16


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_any_flipped_bit_is_refused(place: int, bit: int) -> None:
    digest, sealed = KEY.seal(TEXT)
    broken = bytearray(sealed)
    broken[place % len(broken)] ^= 1 << bit
    assert KEY.open(bytes(broken), digest) is None
    other = bytearray(digest)
    other[place % len(other)] ^= 1 << bit
    assert KEY.open(sealed, bytes(other)) is None


def test_the_same_text_never_looks_the_same() -> None:
    """Fresh salt and nonce: neither hash nor sealed bytes tell that two texts are equal, or confirm a guess."""
    (first, one), (second, two) = KEY.seal(TEXT), KEY.seal(TEXT)
    assert first != second and one[:NONCE_BYTES] != two[:NONCE_BYTES] and one != two
    assert TEXT not in one and sha256(TEXT).digest() != first


def test_a_text_opens_beside_its_own_entry_only() -> None:
    (first, one), (second, _) = KEY.seal(TEXT), KEY.seal(TEXT)
    assert KEY.open(one, first) == TEXT and KEY.open(one, second) is None


def test_another_key_opens_nothing() -> None:
    digest, sealed = KEY.seal(TEXT)
    assert TextKey.generate().open(sealed, digest) is None


@pytest.mark.parametrize("sealed", [b"", b"x", b"x" * NONCE_BYTES, b"x" * (NONCE_BYTES + 16), b"x" * 5000])
def test_garbage_is_refused_without_a_traceback(sealed: bytes) -> None:
    assert KEY.open(sealed, b"\0" * 32) is None and KEY.open(sealed, b"") is None


def test_the_key_shows_nothing_of_itself() -> None:
    raw = bytes(range(KEY_BYTES))
    shown = f"{KEY!r} {KEY} {KEY.id}"
    assert raw.hex() not in shown and base64.b64encode(raw).decode() not in shown and len(KEY.id) == 32
    assert KEY.id != sha256(raw).hexdigest()[:32]
    for copying in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            copying(KEY)


def test_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "text.key"
    made = load_or_create(path)
    assert load_or_create(path).id == made.id == load(path).id
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["text.key"]


def test_two_at_once_agree(tmp_path: Path) -> None:
    path, ids = tmp_path / "text.key", list[str]()
    threads = [threading.Thread(target=lambda: ids.append(load_or_create(path).id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8 and len(set(ids)) == 1


@pytest.mark.parametrize("content", [b"", b"secret!", base64.b64encode(b"x" * 31), b"\xff" * 5000, b"A" * 2000])
def test_a_file_that_is_no_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.key"
    path.write_bytes(content)
    with pytest.raises(TextKeyWrong) as caught:
        load_or_create(path)
    assert path.read_bytes() == content, "never replaced: it may be the only copy of something"
    assert "secret" not in caught.value.render("ja")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(TextKeyWrong, match="no such file"):
        load(tmp_path / "none")


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        TextKey(b"short")
