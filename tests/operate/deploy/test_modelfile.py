"""A Modelfile is read as Ollama reads it, or it is refused with its line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.bundle import open_bundle
from so8t.core.errors import BundleBroken
from so8t.operate.deploy.modelfile import MAX_BYTES, parse_modelfile, read_modelfile
from so8t.operate.deploy.target import targets

GOOD = """# made by so8t

FROM ./gguf/model-Q8_0.gguf
PARAMETER temperature 0.7
PARAMETER num_ctx 16384
PARAMETER stop "<|end|>"
PARAMETER stop <|user|>
SYSTEM あなたは業務アシスタントです。
TEMPLATE \"\"\"{{ range .Messages }}
  "{{ .Content }}"
{{ end }}\"\"\"
"""


def test_what_our_bundles_say() -> None:
    found = parse_modelfile(GOOD, "Modelfile.Q8_0")
    assert found.source == "./gguf/model-Q8_0.gguf"
    assert found.parameters == {"temperature": 0.7, "num_ctx": 16384, "stop": ["<|end|>", "<|user|>"]}
    assert (found.context, found.stop) == (16384, ["<|end|>", "<|user|>"])
    assert found.system == "あなたは業務アシスタントです。"
    assert found.template == '{{ range .Messages }}\n  "{{ .Content }}"\n{{ end }}'
    assert parse_modelfile(GOOD.replace("\n", "\r\n"), "x") == found


def test_small_letters_blanks_and_quotes() -> None:
    text = 'from  ./m.gguf \nparameter num_ctx "512"\n parameter stop " x "\ntemplate "a"b"\nsystem """ s """'
    found = parse_modelfile(text, "x")
    assert (found.source, found.context, found.stop) == ("./m.gguf", 512, [" x "])
    assert (found.template, found.system) == ('a"b', " s ")


WRONG = [
    ("MESSAGE user hallo\n", "x:12"), ("ADAPTER ./a.gguf\n", "x:12"), ("PARAMETER speed 3\n", "speed"),
    ("PARAMETER temperature warm\n", "warm"), ("PARAMETER num_ctx 1.5\n", "num_ctx"), ("FROM other\n", "from twice"),
    ("TEMPLATE again\n", "template twice"), ("nonsense\n", "x:12"), ("PARAMETER stop\n", "x:12"),
    ('PARAMETER stop "open\n', "x:12"), ('SYSTEM """open\n', "x"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "word"), WRONG)
def test_what_would_be_lost_is_refused(more: str, word: str) -> None:
    with pytest.raises(BundleBroken, match=word):
        parse_modelfile(GOOD + more, "x")


@pytest.mark.parametrize("line", ["FROM", "TEMPLATE", "PARAMETER num_ctx"])
def test_what_must_be_there(line: str) -> None:
    kept = "\n".join(row for row in GOOD.splitlines() if not row.startswith(line))
    with pytest.raises(BundleBroken):
        parse_modelfile(kept, "x")


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "Modelfile"
    for content, word in ((b"\xff", "Unicode"), (b"#" * (MAX_BYTES + 1), "bytes")):
        path.write_bytes(content)
        with pytest.raises(BundleBroken, match=word):
            read_modelfile(path)
    with pytest.raises(BundleBroken, match="missing"):
        read_modelfile(tmp_path / "none")


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BundleBroken):
        parse_modelfile(text, "x")


@given(st.text(alphabet=st.characters(exclude_characters='"\r'), max_size=80), st.floats(0, 9))
def test_templates_and_numbers_come_back(template: str, temperature: float) -> None:
    text = f"FROM a\nPARAMETER num_ctx 8\nPARAMETER stop x\nPARAMETER temperature {temperature}\n"
    text += f'TEMPLATE """{template}."""'
    found = parse_modelfile(text, "x")
    assert found.template == template + "." and found.parameters["temperature"] == temperature


def test_the_bundles_that_we_build_are_understood(micro_run: Path) -> None:
    """build/export writes them; nothing but the files lies between the two houses."""
    found = targets(open_bundle(micro_run / "bundle"), "so8t")
    assert [t.quantisation for t in found] == ["F16", "Q4_K_M", "Q8_0"]
    prompt = json.loads((micro_run / "bundle" / "prompt.json").read_text(encoding="utf-8"))
    assert {t.modelfile.context for t in found} == {prompt["context"]}
    assert all(t.modelfile.template and t.modelfile.parameters["temperature"] == 0.7 for t in found)
