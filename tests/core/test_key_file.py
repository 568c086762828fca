"""One line of visible characters, whole or not at all; what else is in the file is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from so8t.core.errors import ConfigValueInvalid
from so8t.core.key_file import LONGEST, read_key, read_secret

BAD = [b"", b"\n", b"two words", b"two\nlines", b"\xff\xfe", b"x" * (LONGEST + 1), "鍵".encode(), b"x\x00",
       b"xxx" + b" " * LONGEST + b"\nmore"]  # fmt: skip


@pytest.mark.parametrize("content", BAD)
def test_a_bad_key_file_is_never_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigValueInvalid) as caught:
        read_key(path, "serve.upstream.key_file")
    assert caught.value.where == "serve.upstream.key_file"
    assert not any(word in str(caught.value) for word in ("two", "xxx", "鍵"))


def test_a_good_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for text, end in (("sk-abc", "\n"), ("x" * LONGEST, "\r\n")):
        path.write_bytes((text + end).encode())
        assert read_key(path) == text == read_key(str(path))
    with pytest.raises(ConfigValueInvalid, match="none"):
        read_key(tmp_path / "none")


def test_a_secret_may_hold_spaces_and_a_key_may_not(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"a client's secret\n")
    assert read_secret(path) == "a client's secret"
    with pytest.raises(ConfigValueInvalid):
        read_key(path)
    for bad in (b"", b"two\nlines", "鍵".encode(), b"x" * (LONGEST + 1)):
        path.write_bytes(bad)
        with pytest.raises(ConfigValueInvalid):
            read_secret(path)
