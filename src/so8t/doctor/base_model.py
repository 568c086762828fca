"""The model to adapt: are its files there, whole, and of a kind that is known?"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

from so8t.build.plan.architecture import architecture_of
from so8t.core.config import Config
from so8t.core.errors import So8tError
from so8t.core.files import read_json
from so8t.doctor.finding import Finding

NAMES = ("土台のモデル", "base model")
TOKENIZERS = ("tokenizer.json", "tokenizer.model")
HEADER = 100_000_000  # bytes; the format's own limit
FETCH = ("モデルのフォルダを取り直す", "fetch the model's folder again")


def examine_base(config: Config) -> list[Finding]:
    """Nothing for a profile that makes its own base."""
    if config.base.package:
        return [_package(config)]
    if not config.base.path:
        return [_unset()] if config.profile.startswith("phi4") else []
    try:
        shape = architecture_of(config)
    except So8tError as error:
        return [Finding(*NAMES, f"{error.where} {error.detail}".strip(), False, True, error.next_ja, error.next_en)]
    except ImportError as error:  # gguf belongs to the training packages
        return [Finding(*NAMES, str(error), False, True, "python3 start.py setup", "python3 start.py setup")]
    detail = f"{shape.model_type}, {shape.total:,}"
    if config.base.path.endswith(".gguf"):
        return [Finding(*NAMES, detail, True)]
    folder = Path(config.base.path).expanduser()
    why = missing(folder)
    return [Finding(*NAMES, why or detail, not why, True, *FETCH)]


def _unset() -> Finding:
    return Finding(
        *NAMES, 'base.path = ""', False, True,
        "so8t.toml の [base] に path = \"モデルのフォルダ\" を書く(なければ練習用の小さなモデルになる)",
        'put path = "the model\'s folder" under [base] in so8t.toml (else a tiny model is made)',
    )  # fmt: skip


def _package(config: Config) -> Finding:
    name = config.base.package
    try:
        detail, ok = f"{name} {metadata.version(name)}", True
    except metadata.PackageNotFoundError:
        detail, ok = name, False
    if ok and not config.base.accept_terms:
        ja, en = (
            "利用規約を読み、[base] に accept_terms = true を書く",
            "read the terms, then accept_terms = true under [base]",
        )
        return Finding(*NAMES, detail, False, True, ja, en)
    return Finding(*NAMES, detail, ok, True, f"pip install {name}", f"pip install {name}")


def missing(folder: Path) -> str:
    """What of a model folder is not there or not whole, "" for nothing."""
    if not any((folder / name).is_file() for name in TOKENIZERS):
        return " / ".join(TOKENIZERS)
    index = folder / "model.safetensors.index.json"
    try:
        names = sorted(set(read_json(index)["weight_map"].values())) if index.is_file() else []
    except (So8tError, KeyError, TypeError, AttributeError):
        return index.name
    shards = [folder / Path(str(n)).name for n in names] or sorted(folder.glob("*.safetensors"))
    if not shards:
        return "*.safetensors"
    return next((why for shard in shards if (why := _torn(shard))), "")


def _torn(shard: Path) -> str:
    """safetensors say in their header where their last byte is: a broken download ends before."""
    try:
        with shard.open("rb") as f:
            length = int.from_bytes(f.read(8), "little")
            if not 0 < length <= HEADER:
                return f"{shard.name}: header"
            header = json.loads(f.read(length))
        end = max(v["data_offsets"][1] for k, v in header.items() if k != "__metadata__")
        size, expected = shard.stat().st_size, 8 + length + end
    except FileNotFoundError:
        return shard.name
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        return f"{shard.name}: {type(error).__name__}"
    return "" if size == expected else f"{shard.name}: {size} != {expected} bytes"
