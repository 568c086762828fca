"""Models that are no Phi-3: which converter is taken, what it is shown, and that its file is used only when whole."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from so8t.ask.hf import HuggingFace
from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.build.export.check import open_header, verify
from so8t.build.export.converter import SCRIPT, choose, convert, export_gguf, show
from so8t.build.export.quantise import quantise
from so8t.build.export.tensor_layout import overhead
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.build.model.tokenizer import GEMMA_TEMPLATE
from so8t.core.errors import ConverterMissing, GgufInvalid

# Stands for llama.cpp's script: writes what it was asked and what it saw where the file should be.
ECHO = """
import json, os, sys
from pathlib import Path
folder = Path(sys.argv[1])
out = Path(sys.argv[sys.argv.index("--outfile") + 1])
seen = {"arguments": sys.argv[2:], "files": sorted(p.name for p in folder.iterdir()),
        "config": json.loads((folder / "config.json").read_text()),
        "tokenizer": json.loads((folder / "tokenizer_config.json").read_text()),
        "offline": os.environ["HF_HUB_OFFLINE"], "folder": str(Path(__file__).parent)}
Path(__file__).with_name("seen.json").write_text(json.dumps(seen))
out.write_bytes(Path(__file__).with_name("made.gguf").read_bytes())
"""


@pytest.fixture
def llama(burned: Path, tmp_path: Path) -> Path:
    """The folder of a model that calls itself a Llama, with code in it that nobody must see."""
    folder = tmp_path / "llama"
    shutil.copytree(burned, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["LlamaForCausalLM"], "auto_map": {"AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('run')")
    return folder


def script(folder: Path, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / SCRIPT).write_text(body)
    return folder


def test_phi3_is_ours_whatever_is_configured(burned: Path, tmp_path: Path) -> None:
    assert choose(burned, "auto") is choose(burned, "own") is choose(burned, str(tmp_path)) is None
    export_gguf(burned, tmp_path / "out.gguf", "x")
    assert verify(tmp_path / "out.gguf", "F16", burned)


def test_any_other_needs_a_converter_and_says_how_to_get_one(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ConverterMissing, match="LlamaForCausalLM") as caught:
        export_gguf(llama, tmp_path / "out.gguf", "x")
    for lang in ("ja", "en"):
        assert "pip install --target" in caught.value.render(lang) and "[export]" in caught.value.render(lang)
    with pytest.raises(ConverterMissing, match="nowhere"):
        choose(llama, str(tmp_path / "nowhere"))
    with pytest.raises(ConverterMissing):
        choose(llama, str(tmp_path))  # a folder without the script
    with pytest.raises(GgufInvalid, match="Phi3ForCausalLM expected"):
        export_gguf(llama, tmp_path / "out.gguf", "x", converter="own")


def test_script_and_folder_are_found(llama: Path, tmp_path: Path) -> None:
    folder = script(tmp_path / "c", ECHO)
    assert choose(llama, str(folder)) == choose(llama, str(folder / SCRIPT)) == folder / SCRIPT


def test_what_the_converter_sees(llama: Path, f16: Path, tmp_path: Path) -> None:
    folder = script(tmp_path / "c", ECHO)
    shutil.copy(f16, folder / "made.gguf")
    out = tmp_path / "gguf" / "out.gguf"
    out.parent.mkdir()
    export_gguf(llama, out, "my Phi-3; rm -rf $HOME", converter=str(folder))
    assert out.read_bytes() == f16.read_bytes()
    assert [p.name for p in out.parent.iterdir()] == ["out.gguf"]
    seen = json.loads((folder / "seen.json").read_text())
    assert seen["arguments"][2:] == ["--outtype", "f16", "--model-name", "my phi; rm -rf $HOME"]
    assert seen["offline"] == "1" and seen["folder"] == str(folder)
    assert "evil.py" not in seen["files"] and "model.safetensors" in seen["files"]
    assert "auto_map" not in seen["config"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import sys; sys.exit('too odd a model')", "exit 1 too odd a model"),
        ("", "exit 0"),  # says yes, writes nothing
        ("import sys; open(sys.argv[3], 'wb').write(b'GGUF')", "cut off"),
        ("import no_such_package_at_all", "no_such_package_at_all"),
    ],
)
def test_a_converter_that_fails_leaves_nothing(llama: Path, tmp_path: Path, body: str, words: str) -> None:
    folder, out = script(tmp_path / "c", body), tmp_path / "gguf" / "out.gguf"
    out.parent.mkdir()
    with pytest.raises(Exception, match=words) as caught:
        export_gguf(llama, out, "x", converter=str(folder))
    assert type(caught.value).__name__ in ("GgufInvalid", "PackageMissing")
    assert list(out.parent.iterdir()) == []


def test_half_a_model_is_not_shown(llama: Path, tmp_path: Path) -> None:
    (llama / "model.safetensors").write_bytes((llama / "model.safetensors").read_bytes()[:-10])
    with pytest.raises(GgufInvalid, match="safetensors"):
        show(llama, tmp_path)


def test_a_template_that_begins_the_text_gets_no_second_beginning(llama: Path, tmp_path: Path) -> None:
    (llama / "chat_template.jinja").write_text("{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}")
    show(llama, tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["add_bos_token"] is False


# -- the real converter ------------------------------------------------------------------------------------------------


def tiny(name: str) -> Any:
    from transformers import (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    torch.manual_seed(5)
    common: dict[str, Any] = {
        "vocab_size": 512, "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.1,
        "tie_word_embeddings": True,
    }  # fmt: skip
    kinds: dict[str, Callable[[], Any]] = {
        "gemma3": lambda: Gemma3ForCausalLM(
            Gemma3TextConfig(
                **common, head_dim=32, query_pre_attn_scalar=32, sliding_window=64,
                layer_types=["sliding_attention", "full_attention"],
            )
        ),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**common)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**common)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**common, head_dim=32)),
    }  # fmt: skip
    return kinds[name]().eval()


def gemma_tokenizer() -> Any:
    """Gemma's kind of vocabulary in small: specials, all bytes, then pieces with "▁" for a space."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
    pieces = [*"▁abcdefgmnorstuv権限社内あい日は\n", "ab", "▁a", "▁ab", "日は", "社内"]
    merges = [("a", "b"), ("▁", "a"), ("▁", "ab"), ("日", "は"), ("社", "内")]
    numbers = {t: i for i, t in enumerate([*special, *(f"<0x{i:02X}>" for i in range(256)), *pieces])}
    made = Tokenizer(models.BPE(numbers, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>",
        chat_template=GEMMA_TEMPLATE,
    )  # fmt: skip


@pytest.fixture
def gemma(tmp_path: Path) -> Path:
    """A random Gemma 3 as burn-in leaves it: a tokenizer.json, no tokenizer.model."""
    tiny("gemma3").save_pretrained(tmp_path / "model")
    gemma_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.slow
def test_gemma3_goes_all_the_way(gemma: Path, converter: Path, tmp_path: Path) -> None:
    """Export, check, quantise, and in llama.cpp the same tokens in and out as in transformers."""
    out = tmp_path / "gemma.gguf"
    export_gguf(gemma, out, "so8t-gemma", converter=str(converter))
    assert verify(out, "F16", gemma) == {"F16": 15, "F32": 13}
    assert overhead(gemma, gemma, "gemma3")["identical"]
    values = open_header(out).values
    assert values["tokenizer.ggml.model"] == "llama" and values["tokenizer.ggml.add_bos_token"] is False
    assert values["tokenizer.ggml.eot_token_id"] == 6  # <end_of_turn>
    reference = HuggingFace(load_causal(gemma, torch.float32), load_tokenizer(gemma))
    with serve(out, 256) as address:
        asyncio.run(agree(address, reference))
    quantise(out, tmp_path / "gemma-Q4_K_M.gguf", "Q4_K_M")
    assert verify(tmp_path / "gemma-Q4_K_M.gguf", "Q4_K_M", gemma)["Q4_K"] > 2


async def agree(address: str, reference: HuggingFace) -> None:
    backend = LlamaCpp(address)
    try:
        for text in ("<bos><start_of_turn>user\nab あい<end_of_turn>\n", "日は社内 ab  a", "\n\n 👨‍👩", "権限<eos>"):
            ids = reference.encode(text)
            assert await backend.tokenize(text) == ids
            theirs = [token for token, _ in await backend.greedy(ids, 6)]
            assert theirs == [token for token, _ in reference.greedy(ids, 6)][: len(theirs)]
    finally:
        await backend.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
def test_other_decoders_are_converted(
    name: str, converter: Path, tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their tokenizers are known to the converter by a hash; this random one is not, so it is told."""
    model = tmp_path / "model"
    tiny(name).save_pretrained(model)
    tokenizer.save_pretrained(model)
    told = script(
        tmp_path / "told",
        f"import runpy, sys\nsys.path.insert(0, {str(converter)!r})\nimport conversion.base\n"
        'conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-4o"\n'
        f"runpy.run_path({str(converter / SCRIPT)!r}, run_name='__main__')\n",
    )
    convert(told / SCRIPT, model, tmp_path / "out.gguf", "so8t")
    assert verify(tmp_path / "out.gguf", "F16", model)["F16"] == 15
    assert open_header(tmp_path / "out.gguf").architecture == name
