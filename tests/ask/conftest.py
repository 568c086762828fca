"""A tiny model as a GGUF and in transformers, and a server on the GGUF, once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from so8t.ask.hf import HuggingFace
from so8t.ask.llamacpp_server import serve

TEXTS = [
    "検査報告は部外秘です。閲覧権限を確かめてください。",
    "経費精算の締め日は毎月二十五日です。",
    "ALLOW ESCALATE DENY\n依頼を判定して1行目に書いてください。",
]


class Twin(NamedTuple):
    """The same model twice."""

    gguf: Path
    reference: HuggingFace


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    from transformers import Phi3ForCausalLM

    from so8t.build.export.phi3 import export_f16
    from so8t.build.model.base import tiny_config
    from so8t.build.model.tokenizer import train_tokenizer
    from so8t.core.config import BaseConfig

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("twin")
    tokenizer = train_tokenizer(TEXTS, 400)
    shape = BaseConfig(vocab_size=400, hidden_size=64, intermediate_size=96, layers=2, heads=4, kv_heads=2, context=512)
    config = tiny_config(shape, tokenizer)
    config.initializer_range = 0.1
    torch.manual_seed(1)
    model = Phi3ForCausalLM(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    export_f16(folder, folder / "model.gguf", "tiny")
    return Twin(folder / "model.gguf", HuggingFace(model, tokenizer))


@pytest.fixture(scope="session")
def address(twin: Twin) -> Iterator[str]:
    with serve(twin.gguf, 512) as running:
        yield running
