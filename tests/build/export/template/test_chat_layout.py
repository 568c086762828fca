"""Layouts read off chat templates, and the same in Go's language: Phi, Llama, Qwen, Gemma, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.build.export.modelfile import parse_modelfile
from so8t.build.export.template.chat_layout import ChatLayout, Turn, derive, first_special, layout_of
from so8t.build.export.template.go_template import go_template
from so8t.build.export.template.ollama import ollama_prompt
from so8t.build.model.tokenizer import CHAT_TEMPLATE, CHATML_TEMPLATE, FORMATS, GEMMA_TEMPLATE, LLAMA3_TEMPLATE
from so8t.core.errors import TemplateUnusable
from so8t.decide.prompt import ChatFormat, Message

TURN = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
ASK = "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
# As Qwen 2.5 has it: words of its own where nobody gives a system message.
STANDING = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
    + CHATML_TEMPLATE
)
# As Llama 3.1 has it: a date in every system turn, and contents trimmed.
DATED = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n' + system + '<|eot_id|>' }}"
    "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim }}"
    "{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# As Gemma 2 has it: an error for system messages, and for roles that do not take turns.
STRICT = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns') }}"
    "{% endif %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{{ m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
IGNORING = "{% for m in messages if m.role != 'system' %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
PHI4 = TURN + "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
SPECIAL = (
    "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<bos>", "<s>",
    "<start_of_turn>", "<end_of_turn>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "</s>", "<eos>",
)  # fmt: skip
GOOD = {
    "tiny": (CHAT_TEMPLATE, ""), "phi4": (PHI4, ""), "chatml": (CHATML_TEMPLATE, ""), "qwen": (STANDING, ""),
    "llama3": (LLAMA3_TEMPLATE, "<bos>"), "llama31": (DATED, "<bos>"), "gemma": (GEMMA_TEMPLATE, "<bos>"),
    "gemma2": (STRICT, "<bos>"), "llama2": (FORMATS[-1][0], "<s>"), "ignoring": (IGNORING + ASK, ""),
}  # fmt: skip
WORDS = st.text(
    alphabet=st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from([*'{}-<|>"`\\ \n'])), min_size=1
).filter(lambda t: t == t.strip())
EVERY = pytest.mark.parametrize("name", GOOD)


def chat_of(name: str) -> ChatFormat:
    template, bos = GOOD[name]
    return ChatFormat(template, bos, "</s>" if name == "llama2" else "<|endoftext|>")


def made(name: str) -> ChatLayout:
    return derive(chat_of(name), SPECIAL)


@EVERY
@given(contents=st.lists(WORDS, min_size=1, max_size=9), system=st.booleans())
@settings(max_examples=30)
def test_layout_go_and_jinja_write_the_same(name: str, contents: list[str], system: bool) -> None:
    """One to five turns of anything, braces and quotes too, that begins and ends with no space."""
    layout = made(name)
    first = ["system"] if system and not layout.refuses and len(contents) > 1 else []
    turns = (["user", "assistant"] * len(contents))[: len(contents) - len(first)]
    roles = [*first, *turns][: -1 if turns[-1] == "assistant" else None]
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    if not any(m["role"] == "user" for m in messages):
        return
    expected = chat_of(name).render(messages, reply=True)
    if layout.system is None:
        assert ollama_prompt(go_template(layout), messages) == expected
    else:
        assert layout.render(messages) == ollama_prompt(go_template(layout), messages) == expected


@EVERY
def test_what_is_written_fits_a_modelfile(name: str) -> None:
    text = f'FROM ./x.gguf\nTEMPLATE """{go_template(made(name))}"""\n'
    assert parse_modelfile(text, Path("Modelfile")).template == go_template(made(name))


def test_the_parts_are_found() -> None:
    assert made("tiny") == ChatLayout(
        start="", standing="", system=Turn("<|system|>", "<|end|>"), user=Turn("<|user|>", "<|end|>"),
        assistant=Turn("<|assistant|>", "<|end|>"), end="<|end|>",
    )  # fmt: skip
    assert made("phi4") == made("tiny")  # the end of a finished text belongs to no turn
    assert made("gemma") == ChatLayout(
        start="<bos>", standing="", system=Turn("", "\n\n"), user=Turn("<start_of_turn>user\n", "<end_of_turn>\n"),
        assistant=Turn("<start_of_turn>model\n", "<end_of_turn>\n"), end="<end_of_turn>", within=True,
    )  # fmt: skip
    assert made("qwen").standing == "<|im_start|>system\nYou are helpful.<|im_end|>\n"
    assert made("llama31").start == "<bos>" and made("llama31").trims and made("llama31").standing
    assert made("gemma2").refuses and made("gemma2").system is None
    assert made("ignoring").system is None and not made("ignoring").refuses
    assert made("llama2").end == "</s>" and made("llama2").system == Turn("<<SYS>>\n", "\n<</SYS>>\n\n")


def test_phi_to_the_letter() -> None:
    assert go_template(made("phi4")) == (
        '{{ range .Messages }}{{ if eq .Role "system" }}<|system|>{{ .Content }}<|end|>'
        '{{ else if eq .Role "user" }}<|user|>{{ .Content }}<|end|>'
        '{{ else if eq .Role "assistant" }}<|assistant|>{{ .Content }}<|end|>{{ end }}{{ end }}<|assistant|>'
    )


def test_refused_system_messages_are_refused_by_ollama_too() -> None:
    template = go_template(made("gemma2"))
    with pytest.raises(TemplateUnusable, match="index"):
        ollama_prompt(template, [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])


def test_ollama_joins_neighbours_of_one_role() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert ollama_prompt(go_template(made("tiny")), messages) == "<|user|>a\n\nb<|end|><|assistant|>"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (TURN, "no special token|asks"),  # fine but for the missing prompt: the assistant's turn is never begun
        ("{% for m in messages %}{{ m.content }}{% endfor %}" + ASK, "asks for an answer"),
        (TURN.replace("<|end|>", "\n") + ASK, "no special token"),
        ("{{ messages | length }}" + TURN + ASK, "more than turns"),
        (TURN.replace("m.content", "m.content * 2") + ASK, "written 2 times"),
        ("{{ messages[-1].content }}" + ASK, "written 0 times"),
        ("{% for m in messages | reverse %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}", "order"),
        ("{{ '<|user|>' if messages | length > 1 }}" + TURN + ASK, "asks|more than turns|begins with"),
        (TURN.replace("m.role", "(m.role if loop.index < 5 else 'late')") + ASK, "more than turns"),
    ],
)
def test_a_template_that_is_more_than_turns_is_refused(template: str, words: str) -> None:
    with pytest.raises(TemplateUnusable, match=words):
        derive(ChatFormat(template, "", "<|endoftext|>"), SPECIAL)


def test_a_folder_is_named_in_the_error(tmp_path: Path) -> None:
    added = [{"content": "<|end|>", "special": True}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": added}), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": TURN.replace("<|end|>", "")}))
    with pytest.raises(TemplateUnusable) as raised:
        layout_of(tmp_path)
    assert str(tmp_path) in raised.value.render("ja")


def test_the_longest_special_token_is_taken() -> None:
    assert first_special("x<|end|>y", ["<|e", "<|end|>", "|>"]) == "<|end|>"
    assert first_special("x", ["y"]) == first_special("x", []) == ""


PIECES = [*'{}-"`\\ \n\t\r<|>aあ\u3000\x01', "{{", "}}", "{{- ", "/*"]
PART = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
TURNS = st.builds(Turn, PART, PART)


@given(start=PART, standing=PART, system=TURNS, user=TURNS, assistant=TURNS, within=st.booleans(), said=st.booleans())
def test_any_layout_survives_go_and_the_modelfile(
    start: str, standing: str, system: Turn, user: Turn, assistant: Turn, within: bool, said: bool
) -> None:
    layout = ChatLayout(start, "" if within else standing, system, user, assistant, "e", within=within)
    messages: list[Message] = [{"role": r, "content": "{{ .System }}"} for r in ("user", "assistant", "user")]
    if said:
        messages.insert(0, {"role": "system", "content": "s"})
    text = f'FROM ./x.gguf\nTEMPLATE """{go_template(layout)}"""\n'
    template = parse_modelfile(text, Path("Modelfile")).template
    assert ollama_prompt(template, messages) == layout.render(messages)
