"""The base a user names: folder, GGUF file or package. Taken whole, with its terms accepted, or not at all."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from so8t.build.model import packaged_base
from so8t.build.model.given_base import take
from so8t.build.model.loading import load_causal
from so8t.core.config import BaseConfig, load_config
from so8t.core.errors import BaseUnusable, ConfigValueInvalid, PackageMissing, TermsNotAccepted
from so8t.core.files import hash_folder, read_json, sha256_file
from so8t.core.progress import Progress


@dataclasses.dataclass
class Stage:
    """The folders of a stage and what was said in it."""

    out: Path
    work: Path
    said: io.StringIO

    def take(self, **values: Any) -> dict[str, Any]:
        return take(BaseConfig(**values), self.out, self.work, Progress(stream=self.said, lang="en"))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    for name in ("base", "work"):
        (tmp_path / name).mkdir()
    return Stage(tmp_path / "base", tmp_path / "work", io.StringIO())


@pytest.fixture(scope="session")
def small_gguf(
    make_phi3: Callable[..., Any], write_gguf: Callable[..., Path], tokenizer: Any, tmp_path_factory: Any
) -> Path:
    folder: Path = tmp_path_factory.mktemp("small")
    return write_gguf(folder / "small.gguf", "phi3", make_phi3(), tokenizer)


def test_folder_stays_where_it_is(phi4: Path, stage: Stage) -> None:
    facts = stage.take(path=str(phi4))
    assert facts == {"base": phi4.name, "layers": 2, "hidden_size": 256, "vocab_size": 1024}
    assert read_json(stage.out / "base.json") == {"path": str(phi4), "files": hash_folder(phi4)}
    assert [p.name for p in stage.out.iterdir()] == ["base.json"]


def test_gguf_file_becomes_a_folder_of_the_run(small_gguf: Path, stage: Stage) -> None:
    facts = stage.take(path=str(small_gguf))
    told = read_json(stage.out / "base.json")
    assert (told["path"], told["source"], told["sha256"]) == ("model", "small.gguf", sha256_file(small_gguf))
    assert told["files"] == hash_folder(stage.out / "model") and "model.safetensors" in told["files"]
    assert facts["layers"] == 2 and facts["sha256"] == told["sha256"]
    assert load_causal(stage.out / "model", torch.float32).config.hidden_size == 64


def test_gguf_file_is_held_against_its_pin(small_gguf: Path, stage: Stage) -> None:
    stage.take(path=str(small_gguf), sha256=sha256_file(small_gguf))
    with pytest.raises(BaseUnusable, match="SHA-256"):
        stage.take(path=str(small_gguf), sha256="0" * 64)


@pytest.mark.parametrize("path", ["nowhere", "nowhere.gguf"])
def test_path_that_leads_nowhere(path: str, stage: Stage) -> None:
    with pytest.raises(BaseUnusable, match="no such"):
        stage.take(path=str(stage.work / path))


def test_folder_without_a_model(stage: Stage) -> None:
    with pytest.raises(BaseUnusable, match=r"config\.json"):
        stage.take(path=str(stage.work))


def test_path_and_package_together_are_refused(phi4: Path, stage: Stage) -> None:
    with pytest.raises(ConfigValueInvalid):
        stage.take(path=str(phi4), package="small")


@pytest.fixture
def carried(small_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A package `small` that carries the GGUF with terms beside it."""
    terms = tmp_path / "SMALL_TERMS.html"
    terms.write_text("terms", encoding="utf-8")
    monkeypatch.setattr(packaged_base, "_files", lambda _name: [terms, small_gguf])
    monkeypatch.setattr(packaged_base, "_carriers", lambda _name: [])
    return {"package": "small", "sha256": sha256_file(small_gguf)}


def test_terms_are_shown_and_must_be_accepted(carried: dict[str, Any], stage: Stage) -> None:
    with pytest.raises(TermsNotAccepted, match="accept_terms = true"):
        stage.take(**carried)
    assert "SMALL_TERMS.html" in stage.said.getvalue()
    assert [*stage.out.iterdir(), *stage.work.iterdir()] == []


def test_accepted_package_becomes_a_folder_of_the_run(carried: dict[str, Any], stage: Stage) -> None:
    facts = stage.take(**carried, accept_terms=True)
    assert facts["base"] == "small" and facts["terms_accepted"] is True
    assert "SMALL_TERMS.html" in stage.said.getvalue()
    assert (stage.out / "model" / "model.safetensors").is_file()
    assert list(stage.work.iterdir()) == []  # the assembled file is not kept


def test_profile_leaves_the_terms_to_the_user(stage: Stage, tmp_path: Path) -> None:
    """The profile names package and hash; without the package the run says what to install."""
    base = load_config("gemma-270m").base
    assert base.package and len(base.sha256) == 64 and not base.accept_terms
    own = tmp_path / "so8t.toml"
    own.write_text('profile = "gemma-270m"\n[base]\naccept_terms = true\npackage = "no-such-gguf"\n', encoding="utf-8")
    accepted = load_config(path=own).base
    assert accepted.accept_terms and accepted.sha256 == base.sha256
    with pytest.raises(PackageMissing, match="no-such-gguf"):
        take(accepted, stage.out, stage.work, Progress(stream=stage.said))
