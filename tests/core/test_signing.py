"""Ed25519 keys in files: made once, private to the owner, never mistaken for something else."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core import signing
from so8t.core.errors import SignatureInvalid


def test_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.key"
    first = signing.load_or_create(path)
    content = path.read_bytes()
    assert signing.load_or_create(path).private_bytes_raw() == first.private_bytes_raw()
    assert path.read_bytes() == content
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = signing.load_public(signing.public_path(path))
    assert signing.public_path(path).name == "a.key.pub"
    assert public.public_bytes_raw() == first.public_key().public_bytes_raw()
    assert first.private_bytes_raw() not in signing.public_path(path).read_bytes()


def test_two_keys_differ(tmp_path: Path) -> None:
    a, b = signing.load_or_create(tmp_path / "a"), signing.load_or_create(tmp_path / "b")
    assert a.private_bytes_raw() != b.private_bytes_raw()
    assert signing.is_signed(a.public_key(), b"m", signing.sign(a, b"m"))
    assert not signing.is_signed(b.public_key(), b"m", signing.sign(a, b"m"))
    assert not signing.is_signed(a.public_key(), b"n", signing.sign(a, b"m"))


@pytest.mark.parametrize("content", [b"", b"short", b"!!!!", b"QUJD\n", bytes(range(128, 192))])
def test_what_is_no_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    with pytest.raises(SignatureInvalid) as caught:
        signing.load_or_create(path)
    assert caught.value.where == str(path)
    with pytest.raises(SignatureInvalid):
        signing.load_public(path)
    assert path.read_bytes() == content  # a broken key is not replaced behind the owner's back


def test_a_missing_public_key(tmp_path: Path) -> None:
    with pytest.raises(SignatureInvalid):
        signing.load_public(tmp_path / "no.pub")


def test_a_fingerprint_to_read_out() -> None:
    key = signing.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    other = signing.Ed25519PrivateKey.from_private_bytes(bytes(31) + b"x").public_key()
    assert re.fullmatch(r"(?:[0-9a-f]{4} ){7}[0-9a-f]{4}", signing.fingerprint(key))
    digest = hashlib.sha256(key.public_bytes_raw()).hexdigest()
    assert digest.startswith(signing.fingerprint(key).replace(" ", ""))
    assert signing.fingerprint(key) != signing.fingerprint(other)


def test_a_huge_file_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "k.pub"
    with path.open("wb") as f:
        f.truncate(1 << 40)
    with pytest.raises(SignatureInvalid):
        signing.load_public(path)


def test_a_signature_has_one_spelling() -> None:
    key = signing.Ed25519PrivateKey.from_private_bytes(bytes(32))
    good = signing.sign(key, b"m")
    assert good.endswith("==") and good[-3] in "AQgw"
    other = good[:-3] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[good[-3]] + "=="
    assert base64.b64decode(other) == base64.b64decode(good)
    assert signing.is_signed(key.public_key(), b"m", good) and not signing.is_signed(key.public_key(), b"m", other)


@given(st.text(max_size=120))
def test_any_text_is_merely_no_signature(text: str) -> None:
    key = signing.Ed25519PrivateKey.from_private_bytes(bytes(32))
    assert signing.is_signed(key.public_key(), b"m", text) is False
