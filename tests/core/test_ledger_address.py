"""Where a PostgreSQL ledger may lie: literal addresses, certificates elsewhere, no password in any message."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import ConfigValueInvalid, SourceMissing
from so8t.core.ledger_address import MAX_ADDRESS_BYTES, Address, parse_address, read_address
from so8t.core.ledger_store import is_address_file

GOOD = [
    ("postgres://u:p%40ss@127.0.0.1/so8t", Address("127.0.0.1", 5432, "u", "so8t", "p@ss")),
    ("postgresql://u@[::1]:6000/d", Address("::1", 6000, "u", "d")),
    ("postgres://u@/d?socket=/run/postgresql", Address("/run/postgresql", 5432, "u", "d")),
    ("postgres://u:p@10.0.0.5:5433/d?ca=/etc/ca.pem", Address("10.0.0.5", 5433, "u", "d", "p", "/etc/ca.pem")),
]


@pytest.mark.parametrize(("text", "address"), GOOD)
def test_good(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("postgres://u:geheim@db.example/d", "literal IP"),
        ("postgres://u:geheim@localhost/d", "literal IP"),
        ("postgres://u:geheim@/d", "literal IP"),
        ("postgres://u:geheim@10.0.0.5/d", r"\?ca="),
        ("postgres://u:geheim@127.0.0.1/", "database"),
        ("postgres://u:geheim@127.0.0.1/a/b", "database"),
        ("postgres://127.0.0.1/d", "postgres://user"),
        ("http://u:geheim@127.0.0.1/d", "postgres://user"),
        ("postgres://u:geheim@127.0.0.1:99999/d", "not an address"),
        ("postgres://u:geheim@[::1/d", "not an address"),
        ("postgres://u:geheim@127.0.0.1/d?sslmode=disable", "sslmode"),
        ("postgres://u:geheim@127.0.0.1/d?socket=/tmp", "socket"),
        ("postgres://u:geheim@/d?socket=relative", "socket"),
        ("postgres://u:geheim@127.0.0.1/d#x", "postgres://user"),
    ],
)
def test_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "ledger.url"
    path.write_text(text)
    with pytest.raises(ConfigValueInvalid, match=why) as caught:
        read_address(path)
    assert "geheim" not in caught.value.detail and caught.value.where == str(path)


def test_the_password_is_never_shown() -> None:
    address = parse_address("postgres://u:geheim@127.0.0.1/d")
    assert "geheim" not in f"{address!r} {address}"


@given(st.text(max_size=200))
def test_anything_is_an_address_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_address(text).user


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "ledger.url"
    with pytest.raises(SourceMissing):
        read_address(path)
    assert not is_address_file(path)
    for content in (b"\xff\xfe", b"postgres://" + b"x" * MAX_ADDRESS_BYTES):
        path.write_bytes(content)
        with pytest.raises(ConfigValueInvalid):
            read_address(path)
    path.write_bytes(b"\n postgres://u@127.0.0.1/d\n")
    assert is_address_file(path) and read_address(path).database == "d"
    path.write_bytes(b"SQLite format 3\x00")
    assert not is_address_file(path)


def test_tls_is_checked_in_full(tmp_path: Path) -> None:
    assert parse_address("postgres://u@127.0.0.1/d").tls() is None
    with pytest.raises(OSError):
        parse_address(f"postgres://u@10.0.0.5/d?ca={tmp_path}/none.pem").tls()
