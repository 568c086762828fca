"""One value a header, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import NotIdentified
from so8t.operate.identity.headers import MAX_COOKIES, cookie_value, presented_key, read_headers


def test_pairs_become_a_mapping() -> None:
    raw = [(b"Accept", b"a"), (b"accept", b"b"), (b"X-Api-Key", b"k")]
    assert read_headers(raw) == {"accept": "a, b", "x-api-key": "k"}
    for name in (b"Authorization", b"X-API-Key", b"Cookie", b"Host"):
        with pytest.raises(NotIdentified):
            read_headers([(name, b"one"), (name.lower(), b"two")])


def test_keys_by_both_headers() -> None:
    assert presented_key({}) is None
    assert presented_key({"x-api-key": "k"}) == "k" == presented_key({"authorization": "bearer  k "})
    assert presented_key({"authorization": "Bearer k", "x-api-key": "k"}) == "k"
    for bad in (
        {"authorization": "Basic dGFybzp4"}, {"authorization": "Bearer"}, {"authorization": ""},
        {"authorization": "Bearer a", "x-api-key": "b"}, {"x-api-key": "k" * 600},
        {"authorization": "Bearer " + "k" * 600},
    ):  # fmt: skip
        with pytest.raises(NotIdentified):
            presented_key(bad)


def test_a_cookie_by_its_exact_name() -> None:
    assert cookie_value({"cookie": "a=1; so8t=x=y; __Host-so8t=z"}, "so8t") == "x=y"
    assert cookie_value({"cookie": "a=1"}, "so8t") is None and cookie_value({}, "so8t") is None
    for bad in ("so8t=a; so8t=b", "so8t=" + "a" * MAX_COOKIES):
        with pytest.raises(NotIdentified):
            cookie_value({"cookie": bad}, "so8t")


@given(st.dictionaries(st.sampled_from(["authorization", "x-api-key", "cookie"]), st.text(max_size=100)))
def test_no_text_breaks_the_parsing(headers: dict[str, str]) -> None:
    for read in (presented_key, lambda h: cookie_value(h, "so8t")):
        try:
            found = read(headers)
        except NotIdentified:
            continue
        assert found is None or (isinstance(found, str) and len(found) <= 100)
