"""The chat format of a model folder: its own template, or the one that its turn tokens are made for, or an error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from so8t.build.model.tokenizer import (
    CHAT_TEMPLATE,
    CHATML_TEMPLATE,
    FORMATS,
    GEMMA_TEMPLATE,
    LLAMA2_TEMPLATE,
    LLAMA3_TEMPLATE,
    add_turns,
    chat_format,
    turns_of,
)
from so8t.core.errors import BaseUnusable
from so8t.core.types import Decision
from so8t.decide.prompt import ChatFormat, Prompt, decision_prompt, training_text

ASKED = Prompt("締め日は？", "社内限定", "部外秘", {"role": "総務"}, {"org_name": "見本商事"})
TEMPLATES = pytest.mark.parametrize("template", [t for t, _, _ in FORMATS], ids=lambda t: t[:40])
CONVERSATIONS = (
    [{"role": "user", "content": "u"}],
    [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}],
    [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "v"}],
)


def folder_with(tmp_path: Path, added: dict[str, bool], **config: Any) -> Path:
    """A model folder as far as its tokenizer goes."""
    tokens = [{"id": i, "content": token, "special": special} for i, (token, special) in enumerate(added.items())]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


@TEMPLATES
@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("reply", [True, False])
def test_our_templates_render_as_in_transformers(template: str, conversation: Any, reply: bool, tokenizer: Any) -> None:
    chat = ChatFormat(template, "<bos>", "<eos>")
    other = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, bos_token="<bos>", eos_token="<eos>", chat_template=template
    )
    expected = other.apply_chat_template(conversation, tokenize=False, add_generation_prompt=reply)
    assert chat.render(conversation, reply=reply) == expected


@TEMPLATES
@pytest.mark.parametrize("style", ["compact", "full"])
def test_training_goes_on_where_the_prompt_ends(template: str, style: Any) -> None:
    """The decision comes first, and the turn ends with the token that the model is to stop at."""
    end = next(end for t, _, end in FORMATS if t == template)
    chat = ChatFormat(template, "<s>", "</s>")
    head, completion = training_text(ASKED, style, chat, Decision.ALLOW, "二十五日です。")
    assert head == decision_prompt(ASKED, style, chat)
    assert completion.strip() == f"ALLOW\n二十五日です。{end}"
    assert ("見本商事" in head) == (style == "full")


def test_gemmas_turns_to_the_letter() -> None:
    chat = ChatFormat(GEMMA_TEMPLATE, "<bos>", "<eos>")
    system, user, model = ({"role": r, "content": r[0]} for r in ("system", "user", "assistant"))
    assert chat.render([system, user, model, user], reply=True) == (
        "<bos><start_of_turn>user\ns\n\nu<end_of_turn>\n<start_of_turn>model\na<end_of_turn>\n"
        "<start_of_turn>user\nu<end_of_turn>\n<start_of_turn>model\n"
    )


@pytest.mark.parametrize(
    ("tokens", "template", "end"),
    [
        (("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), GEMMA_TEMPLATE, "<end_of_turn>"),
        (("<|endoftext|>", "<|im_start|>", "<|im_end|>"), CHATML_TEMPLATE, "<|im_end|>"),
        (("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), LLAMA3_TEMPLATE, "<|eot_id|>"),
        (("<|user|>", "<|assistant|>", "<|end|>", "<|system|>"), CHAT_TEMPLATE, "<|end|>"),
        (("<unk>", "<s>", "</s>"), LLAMA2_TEMPLATE, "</s>"),
        (("<bos>", "<start_of_turn>"), "", ""),
        ((), "", ""),
    ],
)
def test_template_by_the_tokens(tokens: tuple[str, ...], template: str, end: str, tmp_path: Path) -> None:
    assert turns_of(tokens) == (template, end)
    folder = folder_with(tmp_path, dict.fromkeys(tokens, True), bos_token="<s>", eos_token="</s>")
    if template:
        assert chat_format(folder).template == template
    else:
        with pytest.raises(BaseUnusable, match="chat template"):
            chat_format(folder)


def test_own_template_wins_over_ours(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"<|im_start|>": True, "<|im_end|>": True}, chat_template="own")
    assert chat_format(folder).template == "own"
    (folder / "chat_template.jinja").write_text("file", encoding="utf-8")
    assert chat_format(folder).template == "file"


def test_special_tokens_that_the_fixed_spellings_leave_out(tmp_path: Path) -> None:
    added = {"<EOD|LLM-jp>": True, "<|im_end|>": True, "</s>": True, "<unused7>": True, "<think>": False, "\n\n": True}
    folder = folder_with(tmp_path, added, chat_template="t", bos_token={"content": "<BEGIN>"}, eos_token="</s>")
    assert chat_format(folder) == ChatFormat("t", "<BEGIN>", "</s>", ("<BEGIN>", "<EOD|LLM-jp>"))


def test_phi4_and_tiny_need_no_list(phi4: Path) -> None:
    """All of theirs are covered, so that a bundle's prompt file stays as short as it was."""
    assert chat_format(phi4).special == ()


def test_turns_are_given_to_a_tokenizer_without_any(tokenizer: Any, phi4: Path, tmp_path: Path) -> None:
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|endoftext|>")
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert add_turns(bare, tmp_path) == [end] and bare.chat_template == CHAT_TEMPLATE
    assert add_turns(bare, tmp_path) == [end]  # once more changes nothing
    bare.chat_template = "{{ messages[0].content }}"
    assert add_turns(bare, tmp_path) == [] and bare.chat_template == "{{ messages[0].content }}"
    bare.chat_template = None
    bare.get_vocab = lambda: {"a": 0}
    with pytest.raises(BaseUnusable, match="chat template"):
        add_turns(bare, tmp_path)


def test_folder_without_a_template_gets_one(phi4: Path, tmp_path: Path) -> None:
    """Whoever asks gets the same: training, proof and export each read the folder anew."""
    shutil.copytree(phi4, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": None}))
    assert chat_format(tmp_path).template == CHAT_TEMPLATE
