"""Forms with files: what a browser sends comes back, what is broken is refused, whatever it is."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import RecordInvalid
from so8t.operate.server.multipart import parse

NAME = st.text("abcdefghij_", min_size=1, max_size=8)


@given(st.lists(st.tuples(NAME, st.binary(max_size=300)), min_size=1, max_size=6))
def test_what_is_sent_comes_back(parts: list[tuple[str, bytes]]) -> None:
    files = [(name, ("名前.png", content, "image/png")) for name, content in parts]
    request = httpx.Request("POST", "http://a/", files=files)
    found = parse(request.headers["content-type"], request.read())
    assert [(part.name, part.content) for part in found] == parts
    assert {part.filename for part in found} == {"名前.png"}


@given(st.binary(max_size=400))
def test_anything_else_is_refused_or_read(body: bytes) -> None:
    with suppress(RecordInvalid):
        assert isinstance(parse("multipart/form-data; boundary=x", b"--x" + body), list)


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=", "あ"])
def test_other_kinds_are_refused(kind: str) -> None:
    with pytest.raises(RecordInvalid):
        parse(kind, b"--x--\r\n")


def test_a_form_that_was_cut_off_is_refused() -> None:
    request = httpx.Request("POST", "http://a/", files={"image": ("a.png", b"x" * 100, "image/png")})
    body = request.read()
    for end in range(len(body) - 4):
        with pytest.raises(RecordInvalid):
            parse(request.headers["content-type"], body[:end])
