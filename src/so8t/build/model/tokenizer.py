"""Tokenizers: the tiny profile's byte-level BPE, shaped like Phi-4-mini's, and the chat format of any model folder."""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from so8t.core.errors import BaseUnusable
from so8t.core.files import read_json
from so8t.decide.prompt import ChatFormat, markers

END_OF_TEXT = "<|endoftext|>"
SPECIAL = (END_OF_TEXT, "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
# llama.cpp's reading of the o200k splitting rule ("gpt-4o"): letters are split by case, combining marks stand apart.
SPLIT = (
    r"[^\r\n\p{L}\p{N}]?(?:(?![a-z])\p{L})*(?:(?![A-Z])\p{L})+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?(?:(?![a-z])\p{L})+(?:(?![A-Z])\p{L})*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Learn merges from `texts`; all 256 bytes are in the alphabet, so nothing is ever unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE, clean_up_tokenization_spaces=False,
    )  # fmt: skip


# Turns for base models that bring no template, by the tokens their vocabulary has.
_TURNS = "{% for message in messages %}"
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% set system = messages[0]['content'] + '\n\n' if messages[0]['role'] == 'system' else '' %}"
    "{% for message in messages if message['role'] != 'system' %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\n' }}"
    "{{ (system if loop.first else '') + message['content'] + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
CHATML_TEMPLATE = (
    _TURNS + "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3_TEMPLATE = (
    "{{ bos_token }}" + _TURNS + "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA2_TEMPLATE = (
    "{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' "
    "if messages[0]['role'] == 'system' else '' %}"
    "{% for message in messages if message['role'] != 'system' %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' }}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
# Template, the tokens it needs, the one that ends a turn; the first whose tokens are all there is taken.
FORMATS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (GEMMA_TEMPLATE, ("<start_of_turn>", "<end_of_turn>", "<bos>"), "<end_of_turn>"),
    (CHATML_TEMPLATE, ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    (LLAMA3_TEMPLATE, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "<|eot_id|>"),
    (CHAT_TEMPLATE, ("<|user|>", "<|assistant|>", "<|end|>"), "<|end|>"),
    (LLAMA2_TEMPLATE, ("<s>", "</s>"), "</s>"),
)


def turns_of(vocabulary: Container[str]) -> tuple[str, str]:
    """(template, token that ends a turn) for the special tokens a vocabulary has; empty when none of ours fits."""
    for template, needed, end in FORMATS:
        if all(token in vocabulary for token in needed):
            return template, end
    return "", ""


def add_turns(tokenizer: Any, where: Path) -> list[int]:
    """Give a tokenizer without a chat template the one its tokens are made for; the ids that end a turn.

    Raises BaseUnusable when it has neither a template nor turn tokens we know.
    """
    template, end = turns_of(tokenizer.get_vocab())
    if tokenizer.chat_template:
        return [tokenizer.convert_tokens_to_ids(end)] if end and end in tokenizer.chat_template else []
    if not template:
        raise BaseUnusable(where=where, detail="no chat template, and no turn tokens to make one of")
    tokenizer.chat_template = template
    return [tokenizer.convert_tokens_to_ids(end)]


def chat_format(folder: Path) -> ChatFormat:
    """The chat template and special tokens a model folder brings; the template its tokens are made for if it has none.

    Raises BaseUnusable when there is neither.
    """
    config, added = read_json(folder / "tokenizer_config.json"), added_tokens(folder)
    jinja = folder / "chat_template.jinja"
    template = jinja.read_text(encoding="utf-8") if jinja.exists() else config.get("chat_template", "")
    if not template and not (template := turns_of(added)[0]):
        raise BaseUnusable(where=folder, detail="no chat template, and no turn tokens to make one of")
    bos, eos = _content(config.get("bos_token")), _content(config.get("eos_token"))
    special = {token for token, kind in added.items() if kind} | {bos, eos}
    covered = markers()
    return ChatFormat(template, bos, eos, tuple(sorted(t for t in special if t.strip() and not covered.search(t))))


def added_tokens(folder: Path) -> dict[str, bool]:
    """Added token of a model folder -> whether it is special; none without a tokenizer.json."""
    file = folder / "tokenizer.json"
    added = read_json(file).get("added_tokens", []) if file.exists() else []
    return {str(token["content"]): bool(token.get("special")) for token in added}


def _content(token: object) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")
