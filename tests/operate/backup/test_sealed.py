"""Every change of a backup file is found: flipped, cut, moved, doubled or added bytes, in header and chunks alike."""

from __future__ import annotations

import io
import secrets
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.core.errors import BackupBroken, BackupKeyWrong
from so8t.operate.backup import sealed
from so8t.operate.backup.locks import Lock, Opener, Passphrase, PrivateKey
from so8t.operate.backup.sealed import CHUNK, MAC, MAGIC, TAG, SealedReader, SealedWriter

KEY = PrivateKey(b"k" * 32)
WEAK = Passphrase("correct horse battery", log_n=4)
PLACE = Path("a.so8t")


def made(content: bytes, lock: Lock = KEY.recipient, pieces: int = 1 << 16) -> bytes:
    out = io.BytesIO()
    writer = SealedWriter(out, lock, {"made": "now"})
    for start in range(0, len(content), pieces):
        writer.write(content[start : start + pieces])
    writer.close()
    return out.getvalue()


def opened(raw: bytes, opener: Opener = KEY) -> bytes:
    reader = SealedReader(PLACE, io.BytesIO(raw), opener, lambda n: None)
    return b"".join(iter(lambda: reader.read(70_000), b""))


def begin(raw: bytes) -> int:
    """Where the chunks begin."""
    return raw.index(b"\n", len(MAGIC)) + 1 + MAC


CONTENT = secrets.token_bytes(2 * CHUNK + 12345)
THREE = made(CONTENT)  # chunks
SMALL = made(b"so8t")


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7])
def test_round_trip_at_the_edges_of_chunks(size: int) -> None:
    raw = made(CONTENT[:size])
    assert opened(raw) == CONTENT[:size]
    assert len(raw) - begin(raw) == size + TAG * max(1, -(-size // CHUNK))


@given(st.integers(0, 3 * CHUNK), st.integers(1, 2 * CHUNK))
@settings(max_examples=20)
def test_round_trip(size: int, pieces: int) -> None:
    content = (CONTENT * 2)[:size]
    assert opened(made(content, pieces=pieces)) == content


def test_the_same_content_twice_is_not_the_same_file() -> None:
    assert SMALL[begin(SMALL) :] != (again := made(b"so8t"))[begin(again) :]


@given(st.integers(0, len(SMALL) - 1), st.integers(0, 7))
@settings(max_examples=400)
def test_any_flipped_bit_of_a_small_file(at: int, bit: int) -> None:
    raw = bytearray(SMALL)
    raw[at] ^= 1 << bit
    with pytest.raises((BackupBroken, BackupKeyWrong)):
        opened(bytes(raw))


@given(st.integers(0, len(THREE) - 1), st.integers(0, 7))
@settings(max_examples=60)
def test_any_flipped_bit_of_a_large_file(at: int, bit: int) -> None:
    raw = bytearray(THREE)
    raw[at] ^= 1 << bit
    with pytest.raises((BackupBroken, BackupKeyWrong)):
        opened(bytes(raw))


def test_every_byte_of_a_header_with_a_passphrase() -> None:
    raw = made(b"so8t", WEAK)
    assert opened(raw, WEAK) == b"so8t"
    for at in range(begin(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1
        with pytest.raises((BackupBroken, BackupKeyWrong)):
            opened(bytes(changed), WEAK)


def test_cut_at_every_boundary_and_beside_it() -> None:
    first = begin(THREE)
    edges = [0, len(MAGIC), first - MAC, first, *(first + n * (CHUNK + TAG) for n in (1, 2)), len(THREE)]
    for edge in edges:
        for end in (edge - 1, edge, edge + 1):
            if 0 <= end < len(THREE):
                with pytest.raises((BackupBroken, BackupKeyWrong)):
                    opened(THREE[:end])


def chunks(raw: bytes) -> tuple[bytes, list[bytes]]:
    first = begin(raw)
    return raw[:first], [raw[at : at + CHUNK + TAG] for at in range(first, len(raw), CHUNK + TAG)]


@pytest.mark.parametrize(
    "order", [(1, 0, 2), (0, 0, 1, 2), (0, 2), (1, 2), (0, 1, 2, 2), (2,), (0, 1, 2, 0), (0, 1, 1)], ids=str
)
def test_moved_doubled_and_missing_chunks(order: tuple[int, ...]) -> None:
    head, found = chunks(THREE)
    with pytest.raises(BackupBroken):
        opened(head + b"".join(found[n] for n in order))


def test_chunks_of_another_backup_of_the_same_key() -> None:
    head, _ = chunks(THREE)
    _, other = chunks(made(CONTENT))
    with pytest.raises(BackupBroken, match="chunk 0"):
        opened(head + b"".join(other))


def test_something_added_at_the_end() -> None:
    with pytest.raises(BackupBroken):
        opened(SMALL + b"\0")


def test_no_byte_is_given_out_before_it_was_authenticated() -> None:
    raw = bytearray(THREE)
    raw[-1] ^= 1
    reader = SealedReader(PLACE, io.BytesIO(bytes(raw)), KEY, lambda n: None)
    got = b""
    with pytest.raises(BackupBroken, match="chunk 2"):
        while True:
            got += reader.read(CHUNK)
    assert got == CONTENT[: 2 * CHUNK]


def test_a_writer_that_was_not_closed_leaves_nothing_whole() -> None:
    out = io.BytesIO()
    SealedWriter(out, KEY.recipient, {}).write(CONTENT)
    with pytest.raises(BackupBroken):
        opened(out.getvalue())


def test_an_empty_chunk_hides_nothing_behind_it() -> None:
    """Its maker had the key; what follows would otherwise be taken for the end."""
    out = io.BytesIO()
    writer = SealedWriter(out, KEY.recipient, {})
    writer.write(CONTENT[: CHUNK + 1])
    writer._held.clear()
    writer.close()
    with pytest.raises(BackupBroken, match="chunk 1"):
        opened(out.getvalue())


def test_wrong_keys() -> None:
    with pytest.raises(BackupKeyWrong, match="made for"):
        opened(SMALL, PrivateKey(b"x" * 32))
    with pytest.raises(BackupKeyWrong, match="recipient"):
        opened(SMALL, WEAK)
    with pytest.raises(BackupKeyWrong, match="passphrase"):
        opened(made(b"a", WEAK), KEY)
    with pytest.raises(BackupKeyWrong):
        opened(made(b"a", WEAK), Passphrase("correct horse batterz", log_n=4))


@pytest.mark.parametrize("log_n", [0, 19, 40, -1, "17", None, True])
def test_a_file_cannot_demand_any_amount_of_memory(log_n: object) -> None:
    with pytest.raises(BackupBroken, match="scrypt"):
        WEAK.open({"by": "scrypt", "log_n": log_n, "r": 8, "p": 1, "salt": "AAAA"})


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"PK\x03\x04", MAGIC, MAGIC + b"\n", MAGIC + b"[]\n", MAGIC + b"{}\n", MAGIC + b'{"lock":1}\n',
        MAGIC + b"[" * 3000 + b"\n", MAGIC + b" " * 5000 + b"{}\n", MAGIC + b"\xff\n",
    ],
)  # fmt: skip
def test_what_is_no_backup(raw: bytes) -> None:
    with pytest.raises(BackupBroken):
        opened(raw)


def test_the_last_chunk_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "MAX_CHUNKS", 2)
    with pytest.raises(BackupBroken, match="too many"):
        opened(THREE)
