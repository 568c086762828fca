"""so8t ledger verify, export, seal, anchor, schema: what is printed, what is asked for, how it exits."""

from __future__ import annotations

import argparse
import io
import json
import sqlite3
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from so8t.commands.ledger import ledger
from so8t.core import sealing, signing
from so8t.core.errors import LedgerBroken, SignatureInvalid, TextKeyWrong, UsageError
from so8t.core.ledger import Ledger
from so8t.core.ledger_format import Anchor
from so8t.core.sealing import TextKey


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with its keys and one ledger: September, October (2-3 with texts), November."""
    folder = tmp_path / "runs"
    key = signing.load_or_create(folder / "keys" / "ledger.key")
    text_key = sealing.load_or_create(folder / "keys" / "text.key")
    months = iter([9, 9, 10, 10, 11])
    with Ledger(folder / "ledger.db", key, text_key, clock=lambda: datetime(2026, next(months), 5, tzinfo=UTC)) as book:
        for i in range(3):
            book.append_sync("decision", {"decision": "DENY", "n": i}, text={"query": "質問"} if i < 2 else None)
    return folder


def call(runs: Path, action: str, path: Path | None = None, **options: Any) -> tuple[int, str, str]:
    given = {
        "action": action, "path": path or runs / "ledger.db", "runs": runs, "json": False, "lang": "ja", "key": None,
        "text_key": None, "head": "", "sealed": None, "month": "", "out": None, "signing_key": None,
        "events": None,
    }  # fmt: skip
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = ledger(argparse.Namespace(**given | options))
    return code, out.getvalue(), err.getvalue()


def test_verify_says_what_was_checked(runs: Path) -> None:
    code, out, err = call(runs, "verify")
    assert code == 0 and "改変なし: 4 件" in out and "本文 2 件も照合しました" in out and err == ""
    code, out, _ = call(runs, "verify", lang="en")
    assert "intact: 4 entries" in out and "2 texts match too" in out
    (runs / "keys" / "text.key").unlink()
    (runs / "keys" / "ledger.key.pub").unlink()
    code, out, err = call(runs, "verify")
    assert code == 0 and "署名は未確認" in out and "--text-key" in out and "--key" in err
    found = json.loads(call(runs, "verify", json=True)[1])
    assert found["unopened"] == 2 and found["signed"] is False


def test_a_text_key_that_lies_here_by_chance_is_not_used(runs: Path) -> None:
    (runs / "keys" / "text.key").write_bytes(TextKey.generate().encode())
    code, out, _ = call(runs, "verify")
    assert code == 0 and "2 件は鍵がない" in out
    with pytest.raises(TextKeyWrong):
        call(runs, "verify", text_key=runs / "keys" / "text.key")
    with pytest.raises(TextKeyWrong, match="no such file"):
        call(runs, "verify", text_key=runs / "none")


def test_tampering_is_exit_9(runs: Path) -> None:
    db = sqlite3.connect(runs / "ledger.db")
    db.execute("UPDATE entries SET decision = 'ALLOW' WHERE seq = 3")
    db.commit()
    db.close()
    code, out, _ = call(runs, "verify")
    assert code == LedgerBroken.exit_code and "seq 3" in out and "異常あり" in out
    assert json.loads(call(runs, "verify", json=True)[1])["first_bad"] == 3
    with pytest.raises(LedgerBroken):
        call(runs, "seal", month="2026-10", out=runs / "sealed")


def test_seal_and_verify(runs: Path, tmp_path: Path) -> None:
    sealed = tmp_path / "sealed"
    code, out, _ = call(runs, "seal", month="2026-10", out=sealed)
    assert code == 0 and "2026-10 を封印しました: 2 件(seq 2-3)" in out
    assert json.loads(call(runs, "seal", month="2026-10", out=sealed, json=True)[1])["count"] == 2
    code, out, _ = call(runs, "verify", sealed / "2026-10.jsonl")
    assert code == 0 and "改変なし: 2 件" in out
    assert call(runs, "verify", sealed=sealed)[0] == 0
    file = sealed / "2026-10.jsonl"
    file.write_text(file.read_text().replace("DENY", "ALLOW"))
    assert call(runs, "verify", file)[0] == 9 and call(runs, "verify", sealed=sealed)[0] == 9


def test_seal_asks_for_what_it_needs(runs: Path) -> None:
    for options in ({"month": "2026-10"}, {"out": runs / "x"}):
        with pytest.raises(UsageError, match="--month"):
            call(runs, "seal", **options)
    (runs / "keys" / "ledger.key").unlink()
    with pytest.raises(SignatureInvalid, match="--signing-key"):
        call(runs, "seal", month="2026-10", out=runs / "x")
    assert not (runs / "keys" / "ledger.key").exists(), "a key that signs nothing of ours is not made up"


def test_anchor_is_one_signed_line_that_a_new_gateway_can_start_from(runs: Path, tmp_path: Path) -> None:
    code, out, _ = call(runs, "anchor")
    assert code == 0 and out.count("\n") == 1
    copy = tmp_path / "copy.anchor"
    copy.write_text(out)
    head = Anchor.read(copy)
    assert head.seq == 4 and head.is_signed(signing.load_public(runs / "keys" / "ledger.key.pub"))
    assert call(runs, "verify", head=f"{head.seq}:{head.head}")[0] == 0
    assert call(runs, "verify", head=f"{head.seq}:{'0' * 64}")[0] == 9
    with pytest.raises(UsageError, match="SEQ:HEX"):
        call(runs, "verify", head="four")


def test_anchor_of_a_ledger_that_was_cut_or_signed_by_another(runs: Path, tmp_path: Path) -> None:
    other = signing.load_or_create(tmp_path / "other.key")
    assert other
    with pytest.raises(LedgerBroken, match="not signed"):
        call(runs, "anchor", key=tmp_path / "other.key.pub")
    db = sqlite3.connect(runs / "ledger.db")
    db.execute("DELETE FROM entries WHERE seq = 4")
    db.commit()
    db.close()
    with pytest.raises(LedgerBroken, match="older"):
        call(runs, "anchor")


def test_export(runs: Path) -> None:
    code, out, _ = call(runs, "export")
    assert code == 0 and len(out.splitlines()) == 4 and "質問" not in out


def test_schema_is_a_script(runs: Path) -> None:
    code, out, _ = call(runs, "schema")
    assert code == 0 and "CREATE TABLE so8t.entries" in out and "GRANT INSERT, DELETE ON so8t.texts" in out
    assert "UPDATE" not in out


def test_a_path_is_needed(runs: Path) -> None:
    options = argparse.Namespace(action="verify", path=None)
    with pytest.raises(UsageError, match="PATH"):
        ledger(options)
