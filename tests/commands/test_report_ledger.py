"""so8t ledger report: what is asked for, what is printed, how it exits."""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sqlite3
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from office_story import tell

from so8t.commands.report_ledger import report_ledger
from so8t.core import sealing, signing
from so8t.core.errors import SignatureInvalid, SourceMissing, TextKeyWrong, UsageError
from so8t.core.sealing import TextKey


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with its keys and a ledger of November."""
    folder = tmp_path / "runs"
    tell(folder, [*["allow"] * 9, "hand", "vote-allow", "deny"])
    (folder / "keys").mkdir()
    for name in ("ledger.key", "ledger.key.pub", "text.key"):
        shutil.move(folder / name, folder / "keys" / name)
    return folder


def call(runs: Path, **options: Any) -> tuple[int, str]:
    given = {
        "path": runs / "ledger.db", "runs": runs, "json": False, "lang": "ja", "key": None, "text_key": None,
        "law": "銀行法", "since": "2026-11-01", "until": "2026-12-01", "out": runs / "out", "signing_key": None,
        "report_key": None, "check": None, "list": False,
    }  # fmt: skip
    with redirect_stdout(io.StringIO()) as out:
        code = report_ledger(argparse.Namespace(**given | options))
    return code, out.getvalue()


def test_list(runs: Path) -> None:
    assert "banking" in call(runs, list=True, path=None)[1] and "銀行法" in call(runs, list=True)[1]
    rows = json.loads(call(runs, list=True, json=True)[1])
    assert len(rows) == 12 and {"id", "short", "name", "duties"} == set(rows[0])


def test_write_and_verify(runs: Path) -> None:
    key = signing.load_or_create(runs / "keys" / "report.key")
    code, out = call(runs, signing_key=runs / "keys" / "report.key")
    assert code == 0 and "銀行法" in out and "台帳に改変はありません" in out
    assert sorted(p.name for p in (runs / "out").iterdir()) == [
        "listing.json", "report.html", "report.json", "report.pdf",
    ]  # fmt: skip
    checked = {"check": runs / "out", "law": "", "report_key": runs / "keys" / "report.key.pub"}
    code, out = call(runs, **checked)
    assert code == 0 and out == "すべての数が台帳と一致します\n" and key is not None
    code, out = call(runs, **checked | {"report_key": None}, lang="en")
    assert code == 0 and "not checked: the report's signature" in out
    report = json.loads((runs / "out" / "report.json").read_bytes())
    report["sections"][0]["figures"][0]["value"] = 99
    (runs / "out" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    code, out = call(runs, **checked)
    assert code == 3 and "decisions.all.value: 99 -> " in out and "report.json: SHA-256" in out
    told = json.loads(call(runs, **checked, json=True)[1])
    assert not told["ok"] and told["ledger_ok"] and len(told["differences"]) == 2


def test_a_ledger_that_does_not_verify_is_exit_9_and_the_report_is_there(runs: Path) -> None:
    with sqlite3.connect(runs / "ledger.db") as db:
        db.execute("UPDATE entries SET decision = 'ALLOW' WHERE decision = 'DENY'")
    code, out = call(runs)
    assert code == 9 and "台帳に異常があります" in out and (runs / "out" / "report.pdf").is_file()
    assert call(runs, check=runs / "out")[0] == 9


def test_without_keys_the_report_says_so(runs: Path) -> None:
    (runs / "keys" / "text.key").write_bytes(TextKey.generate().encode())  # by chance another ledger's
    (runs / "keys" / "ledger.key.pub").unlink()
    code, out = call(runs, json=True)
    told = json.loads(out)["verification"]
    assert code == 0 and (told["ok"], told["signed"], told["texts_checked"]) == (True, False, False)
    with pytest.raises(TextKeyWrong):
        call(runs, text_key=runs / "keys" / "text.key")
    assert sealing.load(runs / "keys" / "text.key")


@pytest.mark.parametrize("missing", ["law", "since", "until", "out", "path"])
def test_what_is_missing_is_said(runs: Path, missing: str) -> None:
    with pytest.raises(UsageError):
        call(runs, **{missing: None})


def test_wrong_names_and_paths(runs: Path) -> None:
    with pytest.raises(SourceMissing, match="日本にその名の法律はありません"):
        call(runs, law="機密情報保護法")
    with pytest.raises(SourceMissing):
        call(runs, path=runs / "none.db")
    with pytest.raises(SignatureInvalid):
        call(runs, signing_key=runs / "none.key")
    assert not (runs / "out").exists() and not (runs / "none.key").exists()
