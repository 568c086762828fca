"""so8t bundle verify|show and so8t decide, as a user calls them: what was checked, by which key, and exit 8 if not."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from so8t.build import assemble
from so8t.commands import bundle_view
from so8t.commands.bundle_view import pinned_key, report_lines
from so8t.core import signing
from so8t.core.bundle import CARD_FILES, SBOM, payload_digest
from so8t.core.bundle_check import CHECKS, verify
from so8t.core.config import Config
from so8t.core.files import fresh_folder, hash_folder, read_json
from so8t.core.progress import Progress
from so8t.core.run import Run, StageContext

Cli = Callable[..., Any]


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"id": "1", "query": "議事録の書き方を教えてください。"}) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def key(micro_runs: Path) -> Path:
    return micro_runs / "keys" / "bundle.key.pub"


def test_a_real_bundle_is_whole_but_its_figures_are_micros(micro_run: Path, key: Path) -> None:
    """Profile micro learns too little to pass any threshold; everything before that holds."""
    report = verify(micro_run / "bundle", key)
    assert report.passed[:3] == list(CHECKS[:3]) and report.failed in ("", "proof")
    listed = hash_folder(micro_run / "bundle")
    assert listed.keys() >= CARD_FILES and "licences/licences.json" in listed
    card = read_json(micro_run / "bundle" / "card.json")
    payload = {n: h for n, h in listed.items() if n not in ("bundle.json", "bundle.sig")}
    assert card["payload_digest"] == payload_digest(payload)  # the card was there before model card and SBOM


def test_the_stage_gives_the_same_bytes_again(
    micro_runs: Path, micro_run: Path, micro_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the run, the code and the key can make the bundle anew and compare."""
    code = read_json(micro_run / "bundle" / "bundle.json")["code"]
    monkeypatch.setattr(assemble, "code_digest", lambda: code)  # whatever was edited since the run
    run = Run(Path(shutil.copytree(micro_run, tmp_path / "runs" / "micro")))
    shutil.copytree(micro_runs / "keys", run.keys)
    before = hash_folder(run.bundle)
    fresh_folder(run.bundle)
    facts = assemble.run_bundle(StageContext(run, micro_config, "bundle", Progress()))
    assert hash_folder(run.bundle) == before
    public = signing.load_public(signing.public_path(run.keys / "bundle.key"))
    assert facts["fingerprint"] == signing.fingerprint(public)


@pytest.mark.skipif(find_spec("cyclonedx") is None, reason="cyclonedx-python-lib[json-validation] is not installed")
def test_a_real_sbom_by_the_official_schema(micro_run: Path) -> None:
    import importlib

    strict: Any = importlib.import_module("cyclonedx.validation.json").JsonStrictValidator
    version: Any = importlib.import_module("cyclonedx.schema").SchemaVersion
    assert strict(version.V1_6).validate_str((micro_run / "bundle" / SBOM).read_text(encoding="utf-8")) is None


def test_verify_as_json(bundle_copy: Path, key: Path, so8t_process: Cli) -> None:
    done = so8t_process("bundle", "verify", bundle_copy, "--key", key, "--json")
    found = json.loads(done.stdout)
    assert found["checks"]["signature"] == found["checks"]["files"] == "passed" and found["key"] == str(key)
    assert done.returncode == (0 if found["ok"] else 8)
    (bundle_copy / "policy.toml").write_text("x")
    done = so8t_process("bundle", "verify", bundle_copy, "--key", key, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 8 and found["checks"]["files"] == "failed" and not found["ok"]
    assert found["error"]["where"] == str(bundle_copy / "policy.toml")


def test_verify_in_words(bundle_copy: Path, key: Path, so8t_process: Cli) -> None:
    done = so8t_process("bundle", "verify", bundle_copy, "--key", key)
    assert f"署名: 合格  {key} の鍵(" in done.stdout and "ファイル: 合格" in done.stdout
    assert signing.fingerprint(signing.load_public(key)) in done.stdout
    done = so8t_process("bundle", "verify", bundle_copy, "--key", key, "--lang", "en")
    assert "signature: ok  by the key" in done.stdout


def test_no_key_and_a_key_from_the_bundle_prove_nothing(bundle_copy: Path, tmp_path: Path, so8t_process: Cli) -> None:
    done = so8t_process("bundle", "verify", bundle_copy, "--runs", tmp_path / "none")
    assert done.returncode == 8 and "署名: 不合格" in done.stdout and "--key" in done.stderr
    signing.load_or_create(tmp_path / "k")
    shutil.copy(tmp_path / "k.pub", bundle_copy / "bundle.key.pub")
    done = so8t_process("bundle", "verify", bundle_copy, "--key", bundle_copy / "bundle.key.pub")
    assert done.returncode == 8 and "proves nothing" in done.stderr


def test_show(bundle_copy: Path, key: Path, so8t_process: Cli) -> None:
    done = so8t_process("bundle", "show", bundle_copy, "--key", key, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["contents"].keys() >= {"card.json", SBOM} and found["fingerprint"]


@pytest.mark.parametrize("harm", ["changed", "added", "other key", "unsigned"])
def test_decide_refuses_what_does_not_verify(
    bundle_copy: Path, key: Path, tmp_path: Path, request_file: Path, so8t_process: Cli, harm: str
) -> None:
    if harm == "changed":
        (bundle_copy / "precedents.jsonl").write_text("")
    elif harm == "added":
        (bundle_copy / "gguf" / "model-Q4_0.gguf").write_bytes(b"GGUF")
    elif harm == "unsigned":
        (bundle_copy / "bundle.sig").unlink()
    else:
        signing.load_or_create(tmp_path / "other")
        key = tmp_path / "other.pub"
    out = tmp_path / "out.jsonl"
    done = so8t_process(
        "decide", "--bundle", bundle_copy, "--key", key, "--allow-unproven", "--in", request_file, "--out", out
    )
    assert done.returncode == 8 and not out.exists(), done.stderr


def test_which_key_is_pinned(tmp_path: Path) -> None:
    given, runs = tmp_path / "mine.pub", tmp_path / "runs"
    assert pinned_key(argparse.Namespace(key=None, runs=runs)) is None
    signing.load_or_create(runs / "keys" / "bundle.key")
    assert pinned_key(argparse.Namespace(key=None, runs=runs)) == runs / "keys" / "bundle.key.pub"
    assert pinned_key(argparse.Namespace(key=given, runs=runs)) == given


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    report = verify(tmp_path / "x\x1b[2J\u202e", None)
    report.warnings.append({"ja": "悪い\x1b[31m名", "en": "bad\x1b[31mname"})
    for lang in ("ja", "en"):
        assert not any(c in "".join(report_lines(report, lang)) for c in "\x1b\u202e")


def test_every_check_has_its_words() -> None:
    assert tuple(bundle_view.CHECK_WORDS) == CHECKS
