"""Strict base64, bounded before it is decoded, alone or in a data: URL; the first bytes say what a file is."""

from __future__ import annotations

import pytest

from so8t.core.errors import RecordInvalid
from so8t.operate.intake import upload as reader
from so8t.operate.intake.upload import content_of, from_base64, from_data_url

PNG = "iVBORw0KGgo="
BAD = ["", "YQ", "YQ=", "YQ==\n", "Y Q==", "YQ==YQ==", "あ", "YQ-_", "data:YQ==", "data:;base64,YQ==",
       "data:audio/wav,YQ==", "data:audio/wav;base64,", "data:audio/wav;base64,Y Q==", f"data:a/{'b' * 99};base64,YQ==",
       "http://10.0.0.1/a.wav", "file:///etc/passwd", None, 7, b"YQ==", ["YQ=="], {"url": "YQ=="}]  # fmt: skip


@pytest.mark.parametrize("value", BAD)
def test_nothing_but_whole_base64_is_taken(value: object) -> None:
    for read in (content_of, from_base64, from_data_url):
        with pytest.raises(RecordInvalid) as caught:
            read(value, "audio")
        assert caught.value.where == "audio"


def test_what_is_taken() -> None:
    for url in ("data:audio/webm;codecs=opus;base64,YQ==", "DATA:image/png;base64,YQ==", "YQ=="):
        assert content_of(url, "audio") == b"a"
    assert from_base64(PNG, "image").media_type == "image/png"
    assert from_data_url(f"data:text/plain;base64,{PNG}", "image", "C:\\a.png").name == "a.png"
    with pytest.raises(RecordInvalid):
        from_base64(f"data:image/png;base64,{PNG}", "image")
    with pytest.raises(RecordInvalid):
        from_data_url(PNG, "image")


def test_too_long_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LONGEST", 8)
    assert content_of("data:audio/wav;base64,YWFhYWFh", "audio") == b"aaaaaa"
    monkeypatch.setattr("base64.b64decode", None)
    for value in ("YWFhYWFhYWFh", "data:audio/wav;base64,YWFhYWFhYWFh"):
        with pytest.raises(RecordInvalid, match="at most 8"):
            content_of(value, "audio")
