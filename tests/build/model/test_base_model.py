"""The tiny base made here, its tokenizer, and folders that cannot be a base."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from so8t.build.model.base import pretrain, tiny_config
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.build.model.tokenizer import SPECIAL, chat_format, train_tokenizer
from so8t.core.config import BaseConfig
from so8t.core.errors import BaseUnusable
from so8t.core.progress import Progress

TEXT = [
    "検査報告は部外秘です。閲覧権限を確かめてください。",
    "経費精算の締め日は毎月二十五日です。",
    "VPN settings, it's 2024.",
]
TINY = BaseConfig(
    vocab_size=320,
    hidden_size=64,
    intermediate_size=96,
    layers=2,
    heads=4,
    kv_heads=2,
    context=256,
    steps=2,
    batch_tokens=256,
)


def quiet() -> Progress:
    return Progress(stream=io.StringIO())


def test_tokenizer_knows_every_byte_and_its_turn_tokens(tokenizer: Any) -> None:
    text = "".join(map(chr, range(1, 0x250))) + "👨‍👩‍👧か\u3099𠮷\u200b"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    for token in SPECIAL:
        assert len(tokenizer(token, add_special_tokens=False)["input_ids"]) == 1
    assert len(tokenizer) <= 512


def test_tokenizer_is_deterministic() -> None:
    assert train_tokenizer(TEXT, 320).get_vocab() == train_tokenizer(TEXT, 320).get_vocab()


def test_tiny_config_has_the_shape_of_phi4_mini(tokenizer: Any) -> None:
    config = tiny_config(TINY, tokenizer)
    assert config.model_type == "phi3"
    assert config.tie_word_embeddings
    assert config.num_key_value_heads < config.num_attention_heads
    assert config.rope_parameters["partial_rotary_factor"] == 0.75
    assert tokenizer.convert_tokens_to_ids("<|end|>") in config.eos_token_id


def test_pretraining_learns_and_repeats() -> None:
    config = BaseConfig(**{**{f: getattr(TINY, f) for f in TINY.__slots__}, "steps": 6})
    one, tokenizer, facts = pretrain(TEXT, config, 8, quiet())
    two = pretrain(TEXT, config, 8, quiet())[0]
    assert facts["last_loss"] < facts["first_loss"] - 0.1
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert one.lm_head.weight is one.model.embed_tokens.weight
    assert tokenizer.pad_token_id is not None


def test_saved_and_loaded_again(tmp_path: Path) -> None:
    model, tokenizer, _ = pretrain(TEXT, TINY, 8, quiet())
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, words = load_causal(tmp_path, torch.float32), load_tokenizer(tmp_path)
    ids = torch.tensor([words(TEXT[0], add_special_tokens=False)["input_ids"]])
    assert ids.tolist()[0] == tokenizer(TEXT[0], add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        assert torch.equal(model.eval()(ids).logits, again.eval()(ids).logits)
    assert chat_format(tmp_path).template == tokenizer.chat_template
    assert chat_format(tmp_path).eos_token == "<|endoftext|>"


def test_phi4_folder_loads_without_its_code(phi4: Path) -> None:
    """config.json names remote code by auto_map; transformers' own Phi3 is used and nothing is asked."""
    model = load_causal(phi4, torch.float32)
    assert type(model).__module__ == "transformers.models.phi3.modeling_phi3"
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.rope_parameters["rope_type"] == "longrope"
    assert model.dtype == torch.float32


def broken(phi4: Path, folder: Path, case: str) -> None:
    shutil.copytree(phi4, folder, dirs_exist_ok=True)
    config, weights = folder / "config.json", folder / "model.safetensors"
    if case == "no config":
        config.unlink()
    elif case == "no weights":
        weights.unlink()
    elif case == "cut weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif case == "pickle only":
        weights.rename(folder / "pytorch_model.bin")
    elif case == "cut config":
        config.write_bytes(config.read_bytes()[:200])
    elif case == "unknown type":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "rot13"}))
    elif case == "wrong shape":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_size": 128}))
    elif case == "other shape":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"intermediate_size": 128}))
    elif case == "layer missing":
        save_file(
            {k: v for k, v in load_file(weights).items() if "layers.1.mlp.down" not in k}, weights, {"format": "pt"}
        )


CASES = (
    "no config",
    "no weights",
    "cut weights",
    "pickle only",
    "cut config",
    "unknown type",
    "wrong shape",
    "other shape",
    "layer missing",
)


@pytest.mark.parametrize("case", CASES)
def test_unusable_folder_is_one_clear_error(phi4: Path, tmp_path: Path, case: str) -> None:
    broken(phi4, tmp_path, case)
    with pytest.raises(BaseUnusable) as caught:
        load_causal(tmp_path, torch.float32)
    assert str(tmp_path) in caught.value.where
    assert caught.value.detail


def test_tokenizer_without_padding_gets_one(phi4: Path, tmp_path: Path) -> None:
    """Llama's comes without; rows of a batch are padded and the padding is masked."""
    shutil.copytree(phi4, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "pad_token"}))
    words = load_tokenizer(tmp_path)
    assert words.pad_token_id == words.eos_token_id is not None


@pytest.mark.parametrize("content", ["", "{}", '{"model": 1}', "\x00", '{"version": "1.0", "model": {"type": "BPE"}}'])
def test_broken_tokenizer_is_one_clear_error(phi4: Path, tmp_path: Path, content: str) -> None:
    shutil.copytree(phi4, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(BaseUnusable, match="tokenizer"):
        load_tokenizer(tmp_path)
