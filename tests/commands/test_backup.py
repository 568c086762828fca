"""so8t backup: what it asks for, what it says, and what it never says."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t.commands.backup import backup
from so8t.core import sealing, signing
from so8t.core.errors import AlreadyThere, BackupKeyWrong, BackupUnwritable, ConfigValueInvalid, UsageError
from so8t.core.ledger import Ledger

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """In a folder with a ledger where the settings expect it."""
    monkeypatch.chdir(tmp_path)
    Path("runs/serve").mkdir(parents=True)
    texts = sealing.load_or_create(Path("runs/keys/text.key"))
    with Ledger(Path("runs/serve/ledger.db"), signing.load_or_create(Path("runs/keys/ledger.key")), texts) as ledger:
        ledger.append_sync("note", {"n": 1}, text={"query": "依頼"})
    defaults = dict.fromkeys(
        ("file", "to", "config", "bundle", "passphrase_file", "recipient", "private_key", "key", "work")
    )

    def call(action: str, **given: Any) -> Any:
        options = {"profile": "", "runs": Path("runs"), "without_bundle": False, "with_keys": False, "json": True}
        assert backup(argparse.Namespace(**defaults | options | {"lang": "ja", "action": action} | given)) == 0
        said = capsys.readouterr().out
        return json.loads(said) if given.get("json", True) else said

    return call


def test_from_a_new_key_to_a_restored_folder(run: Run) -> None:
    made = run("keygen", to=Path("backup.key"))
    assert made["public_key"] == "backup.key.pub" and len(made["fingerprint"].split()) == 8
    created = run("create", to=Path("a.so8t"), recipient=Path("backup.key.pub"))
    assert (created["created"], created["seq"], created["with_keys"]) == ("a.so8t", 2, False)
    Path("nightly").mkdir()
    nightly = run("create", to=Path("nightly"), recipient=Path("backup.key.pub"))
    assert [str(p) for p in Path("nightly").iterdir()] == [nightly["created"]] and nightly["created"].endswith("Z.so8t")
    for night in range(2):  # a folder that is not there yet, and the night after
        made = run("create", to=Path("d/控え"), recipient=Path("backup.key.pub"))
        assert Path(made["created"]).parent == Path("d/控え") and Path(made["created"]).is_file()
        Path(made["created"]).rename(Path("d/控え") / f"{night}.so8t")
    assert Path(run("create", to=Path("e/b.so8t"), recipient=Path("backup.key.pub"))["created"]) == Path("e/b.so8t")
    Path("file").touch()
    with pytest.raises(AlreadyThere):
        run("create", to=Path("file"), recipient=Path("backup.key.pub"))
    public = Path("runs/keys/ledger.key.pub")
    checked = run("verify", file=Path("a.so8t"), private_key=Path("backup.key"), key=public)
    assert checked["ledger_signed"] and checked["key_pinned"] and checked["head"] == created["head"]
    assert run("restore", file=Path("a.so8t"), to=Path("back"), private_key=Path("backup.key"))["seq"] == 2
    assert (Path("back") / "ledger.db").is_file()


def test_the_words_warn_of_keys_inside_and_of_an_unpinned_key(run: Run) -> None:
    Path("p").write_text("correct horse battery\n")
    said = run("create", to=Path("a.so8t"), passphrase_file=Path("p"), with_keys=True, json=False)
    assert "秘密鍵: はい" in said and "偽造" in said
    said = run("verify", file=Path("a.so8t"), passphrase_file=Path("p"), json=False, lang="en")
    assert "private keys inside: yes" in said and "(--key)" in said and "horse" not in said


@pytest.mark.parametrize(
    "given",
    [
        {"action": "create"}, {"action": "create", "to": Path("a")}, {"action": "verify"}, {"action": "keygen"},
        {"action": "create", "to": Path("a"), "recipient": Path("b"), "passphrase_file": Path("c")},
        {"action": "verify", "file": Path("a")}, {"action": "restore", "file": Path("a")},
        {"action": "verify", "file": Path("a"), "private_key": Path("b"), "passphrase_file": Path("c")},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_missing_is_said(run: Run, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"--to|--recipient|--private-key|backup verify FILE"):
        run(**given)


def test_wrong_keys_and_places(run: Run) -> None:
    run("keygen", to=Path("one.key"))
    run("keygen", to=Path("two.key"))
    run("create", to=Path("a.so8t"), recipient=Path("one.key.pub"))
    with pytest.raises(BackupKeyWrong):
        run("verify", file=Path("a.so8t"), private_key=Path("two.key"))
    with pytest.raises(ConfigValueInvalid):
        run("create", to=Path("b.so8t"), recipient=Path("one.key"))
    with pytest.raises(BackupUnwritable, match=r"none\.so8t"):
        run("verify", file=Path("none.so8t"), private_key=Path("one.key"))
    with pytest.raises(BackupUnwritable):
        run("keygen", to=Path("nowhere/one.key"))
