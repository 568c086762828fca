"""Modelfiles: written from the model folder, read back strictly, and found beside their GGUF."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.export.modelfile import (
    MAXIMUM_BYTES,
    Modelfile,
    parse_modelfile,
    read_modelfile,
    shipped_modelfile,
    write_modelfile,
)
from so8t.core.errors import ParityFailed, TemplateUnusable


def test_written_from_the_tokenizers_own_template(phi4: Path, tmp_path: Path) -> None:
    write_modelfile(tmp_path, "Q8_0", phi4, 4096)
    found = read_modelfile(tmp_path / "Modelfile.Q8_0")
    assert found == Modelfile(
        model="./gguf/model-Q8_0.gguf", template=found.template, system="",
        stops=("<|end|>", "<|endoftext|>", "<|user|>"), parameters=(("temperature", "0.7"), ("num_ctx", "4096")),
    )  # fmt: skip
    assert found.template.endswith("{{ end }}<|assistant|>")


def test_style_full_has_the_system_message_it_was_trained_with(phi4: Path, tmp_path: Path) -> None:
    write_modelfile(tmp_path, "F16", phi4, 4096, "full")
    assert read_modelfile(tmp_path / "Modelfile.F16").system.startswith(
        "あなたは当社の業務アシスタントです。\n依頼を ALLOW"
    )


BROKEN = (
    "", "FROM ./a\n", 'TEMPLATE """a"""\n', 'FROM ./a\nTEMPLATE """a', 'FROM ./a\nTEMPLATE """a"""b"""\n',
    'FROM ./a\nTEMPLATE """a"""\nTEMPLATE """b"""\n', 'FROM ./a\nFROM ./b\nTEMPLATE """a"""\n',
    'FROM ./a\nTEMPLATE """a"""\nPARAMETER num_ctx 1\nPARAMETER num_ctx 2\n',
    'FROM ./a\nTEMPLATE """a"""\nADAPTER ./b\n',
    'FROM ./a\nTEMPLATE """a"""\nMESSAGE user hello\n', 'FROM ./a\r\nTEMPLATE """a"""\r\n',
    'FROM ./a\nTEMPLATE """a\u3000b"""\n', 'FROM ./a\nTEMPLATE """a\u200b"""\n', 'FROM ./a\nTEMPLATE """a\tb"""\n',
    'FROM ./a\nTEMPLATE """a"""\nPARAMETER stop "a\nb"\n', 'FROM ./a\n TEMPLATE """a"""\n', "FROM ./a\nTEMPLATE a b\n",
)  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_what_we_would_not_write_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(TemplateUnusable):
        parse_modelfile(text, tmp_path)


def test_a_comment_is_let_be(tmp_path: Path) -> None:
    text = '# so8t\nFROM ./a\nTEMPLATE """a\n"b" """\nPARAMETER stop "x y"\n'
    assert parse_modelfile(text, tmp_path) == Modelfile("./a", 'a\n"b" ', "", ("x y",), ())


def test_limits_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "Modelfile.F16"
    path.write_bytes(b"FROM \xff\n")
    with pytest.raises(TemplateUnusable, match="UTF-8"):
        read_modelfile(path)
    path.write_bytes(b"#" * (MAXIMUM_BYTES + 1))
    with pytest.raises(TemplateUnusable, match=f"> {MAXIMUM_BYTES}"):
        read_modelfile(path)


@given(text=st.text(alphabet=st.sampled_from([*'"# \nFROMx./', "\r", "あ"]), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for whole in (text, f'FROM ./a\nTEMPLATE """{text}"""\n'):
        try:
            found = parse_modelfile(whole, Path("Modelfile"))
        except TemplateUnusable:
            continue
        assert found.template in whole and found.model in whole


def test_the_modelfile_of_a_gguf(phi4: Path, tmp_path: Path) -> None:
    gguf = tmp_path / "gguf/model-F16.gguf"
    with pytest.raises(ParityFailed, match="no Modelfile"):
        shipped_modelfile(gguf)
    for name in ("F16", "Q8_0"):
        write_modelfile(tmp_path, name, phi4, 1024)
    assert shipped_modelfile(gguf).stops[0] == "<|end|>"
    with pytest.raises(ParityFailed, match="FROM"):
        shipped_modelfile(tmp_path / "elsewhere/model-F16.gguf")
    other = tmp_path / "Modelfile.Q8_0"
    other.write_text(other.read_text(encoding="utf-8").replace("<|assistant|>", "<|user|>"), encoding="utf-8")
    with pytest.raises(ParityFailed, match="other turns") as raised:
        shipped_modelfile(gguf)
    assert "Modelfile.Q8_0" in raised.value.where


def test_a_system_message_with_quotes_is_not_written(
    phi4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from so8t.build.export import modelfile

    monkeypatch.setattr(modelfile, "system_text", lambda prompt: 'a """ b')
    with pytest.raises(TemplateUnusable):
        write_modelfile(tmp_path, "F16", phi4, 1024, "full")
    assert not (tmp_path / "Modelfile.F16").exists()
