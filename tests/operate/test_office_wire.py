"""What a running server refuses is raised on the command line as the error it was there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from office_server import running

from so8t.ask.backend import FakeBackend
from so8t.core.errors import (
    NotIdentified,
    NotPermitted,
    OfficeDown,
    OfficeRefused,
    RecordInvalid,
    So8tError,
    TooManyRequests,
)
from so8t.operate.office_wire import OfficeWire, raised_there
from so8t.operate.server.errors import BodyTooLarge, openai_error, status_of


@pytest.mark.parametrize(
    "error",
    [
        NotPermitted(detail="roles: auditor"), RecordInvalid(where="to", detail="one address"), NotIdentified(),
        TooManyRequests(3), BodyTooLarge(detail="> 9"),
    ],
)  # fmt: skip
def test_the_error_comes_back_as_it_was(error: So8tError) -> None:
    told = raised_there(json.dumps(openai_error(error, status_of(error))).encode())
    assert type(told) is type(error) and told is not None
    assert error.detail in told.detail and (not error.where or error.where in told.detail)


def test_every_error_of_ours_can_be_told() -> None:
    kinds, waiting = set[type[So8tError]](), [So8tError]
    while waiting:
        kinds.add(kind := waiting.pop())
        waiting += kind.__subclasses__()
    for kind in kinds:
        told = raised_there(json.dumps(openai_error(kind(detail="x"), 400)).encode())
        assert told is not None and (told.code, told.detail) == (kind.code, "x")


@given(
    st.one_of(
        st.binary(),
        st.recursive(
            st.text() | st.none(), lambda x: st.dictionaries(st.sampled_from(["error", "code", "message"]), x)
        ).map(lambda x: json.dumps(x).encode()),
    )
)
def test_anything_else_is_none_of_ours(content: bytes) -> None:
    assert raised_there(content) is None


def test_words_that_could_steer_a_terminal_do_not_come_through() -> None:
    body = openai_error(NotPermitted(detail="a\x1b[2Jb\u202ec" + "d" * 10_000), 403)
    told = raised_there(json.dumps(body).encode())
    assert told is not None and told.detail.isprintable() and len(told.detail) <= 500


def test_against_a_running_server(tmp_path: Path) -> None:
    async def ask(address: str, key: str, path: str = "/so8t/v1/reviews") -> So8tError:
        wire = OfficeWire(address, ("/so8t/v1/",), key=key)
        try:
            await wire.get(path)
        except So8tError as error:
            return error
        finally:
            await wire.close()
        raise AssertionError

    with running(tmp_path, FakeBackend()) as server:
        assert type(asyncio.run(ask(server.address, server.keys["user"]))) is NotPermitted
        assert type(asyncio.run(ask(server.address, "wrong"))) is NotIdentified
        assert asyncio.run(ask(server.address, server.keys["user"], "/so8t/v1/none")).code == "H07"
        address = server.address
    assert type(asyncio.run(ask(address, "x"))) is OfficeDown


def test_an_answer_of_something_else_is_refused_by_its_words() -> None:
    refused = OfficeWire("http://127.0.0.1:1", ()).refusal("/x", 418, b"a teapot")
    assert type(refused) is OfficeRefused and refused.detail == "HTTP 418 a teapot"
