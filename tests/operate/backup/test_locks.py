"""Keys and passphrases of backups: made once, read strictly, shown nowhere."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from so8t.core.errors import AlreadyThere, BackupBroken, ConfigValueInvalid
from so8t.operate.backup.locks import (
    SCRYPT_LOG_N,
    Passphrase,
    PrivateKey,
    Recipient,
    make_key,
    read_passphrase,
    read_private_key,
    read_recipient,
)


def test_a_key_and_its_public_half(tmp_path: Path) -> None:
    recipient = make_key(tmp_path / "backup.key")
    assert (
        read_recipient(tmp_path / "backup.key.pub") == recipient == read_private_key(tmp_path / "backup.key").recipient
    )
    if os.name == "posix":
        assert (tmp_path / "backup.key").stat().st_mode & 0o777 == 0o600
    stated, secret = recipient.close()
    assert read_private_key(tmp_path / "backup.key").open(stated) == secret
    assert recipient.close()[1] != secret


@pytest.mark.parametrize("taken", ["backup.key", "backup.key.pub"])
def test_no_key_is_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(AlreadyThere):
        make_key(tmp_path / "backup.key")
    assert (tmp_path / taken).read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_the_two_halves_are_not_taken_for_each_other(tmp_path: Path) -> None:
    make_key(tmp_path / "backup.key")
    with pytest.raises(ConfigValueInvalid) as caught:
        read_recipient(tmp_path / "backup.key")
    assert (tmp_path / "backup.key").read_text().strip().split(":")[1] not in str(caught.value)
    with pytest.raises(ConfigValueInvalid):
        read_private_key(tmp_path / "backup.key.pub")


@pytest.mark.parametrize(
    "content", [b"", b"so8t-backup-public-1:", b"so8t-backup-public-1:AAAA\n", b"\xff", b"x" * 9999]
)
def test_what_is_no_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    with pytest.raises(ConfigValueInvalid):
        read_recipient(path)
    with pytest.raises(ConfigValueInvalid):
        read_recipient(tmp_path / "none")


def test_a_passphrase_is_the_same_whatever_typed_it(tmp_path: Path) -> None:
    """「が」 may come as one character or as two; Windows ends lines its own way and begins files with a mark."""
    phrase = "ガラスの温室で育てた葡萄と林檎を数える"
    composed, apart = tmp_path / "a", tmp_path / "b"
    composed.write_text(phrase + "\n", encoding="utf-8")
    apart.write_bytes(b"\xef\xbb\xbf" + unicodedata.normalize("NFD", phrase).encode() + b"\r\nsecond line")
    assert read_passphrase(composed) == read_passphrase(apart) == Passphrase(phrase)
    assert read_passphrase(composed).log_n == SCRYPT_LOG_N == 17


def test_a_short_passphrase_is_refused_without_showing_it(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("hunter2hunter2\n")
    with pytest.raises(ConfigValueInvalid, match="16 characters") as caught:
        read_passphrase(tmp_path / "p")
    assert "hunter2" not in str(caught.value)


def test_nothing_secret_is_shown() -> None:
    assert repr(Passphrase("correct horse battery")) == "Passphrase(log_n=17)"
    assert repr(PrivateKey(b"k" * 32)) == "PrivateKey()"


def test_points_that_everybody_can_open() -> None:
    with pytest.raises(ConfigValueInvalid, match="usable"):
        Recipient(b"\0" * 32).close()
    key = PrivateKey(b"k" * 32)
    with pytest.raises(BackupBroken, match="ephemeral"):
        key.open({"by": "x25519", "recipient": key.recipient.id, "ephemeral": "A" * 43 + "="})
    with pytest.raises(BackupBroken):
        key.open({"by": "x25519", "recipient": key.recipient.id, "ephemeral": None})
