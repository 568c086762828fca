"""A long ledger walked by several processes is judged exactly as by one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from so8t.core import ledger_parts, ledger_verify
from so8t.core.ledger import Ledger
from so8t.core.ledger_report import Report
from so8t.core.ledger_verify import verify
from so8t.core.sealing import TextKey

KEY, TEXTS = Ed25519PrivateKey.generate(), TextKey.generate()


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 entries, some with texts, the texts of seq 10 erased."""
    path = tmp_path_factory.mktemp("parts") / "ledger.db"
    with Ledger(path, KEY, TEXTS) as ledger:
        for n in range(58):
            text = {"query": f"質問{n}"} if n % 3 == 2 else None
            ledger.append_sync("decision", {"decision": "DENY", "actor": f"u{n % 5}", "n": n}, text=text)
        ledger.erase(10, "請求").result()
    return path


@pytest.fixture
def path(master: Path, tmp_path: Path) -> Path:
    for file in master.parent.iterdir():
        shutil.copy(file, tmp_path / file.name)
    return tmp_path / "ledger.db"


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Three processes whatever the length and the machine; holds whether they were enough."""
    outcomes: list[bool] = []

    def walk(*arguments: object) -> bool:
        outcomes.append(ledger_parts.walk_in_parts(*arguments))  # type: ignore[arg-type]
        return outcomes[-1]

    monkeypatch.setattr(ledger_verify, "processes_for", lambda entries: 3)
    monkeypatch.setattr(ledger_verify, "walk_in_parts", walk)
    return outcomes


def check(path: Path, text_key: TextKey | None = TEXTS) -> Report:
    return replace(verify(path, None, KEY.public_key(), text_key, more=((30, "00"), (45, "11"))), seconds=0)


def alone(path: Path, text_key: TextKey | None = TEXTS) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_verify, "processes_for", lambda entries: 1)
        return check(path, text_key)


@pytest.mark.parametrize("key", [TEXTS, None])
def test_a_clean_ledger(path: Path, in_parts: list[bool], key: TextKey | None) -> None:
    expected = alone(path, key)
    assert in_parts == []
    assert check(path, key) == expected and in_parts == [True]
    assert expected.entries == 60 and expected.erased == 1 and expected.texts == 18
    assert verify(path, None, KEY.public_key(), key).ok


EDITS = [
    "UPDATE entries SET actor = 'x' WHERE seq = 5", "UPDATE entries SET actor = 'x' WHERE seq = 25",
    "UPDATE entries SET actor = 'x' WHERE seq = 60", "DELETE FROM entries WHERE seq = 20",
    "DELETE FROM entries WHERE seq = 21", "DELETE FROM entries WHERE seq > 30", "DELETE FROM entries",
    "UPDATE entries SET hash = x'00' WHERE seq = 40", "UPDATE entries SET hash = 'text' WHERE seq = 40",
    "UPDATE entries SET signature = NULL WHERE seq = 20",
    "UPDATE entries SET actor = CAST(x'ff' AS TEXT) WHERE seq = 50",
    "UPDATE texts SET sealed = x'00' WHERE seq = 31", "INSERT INTO texts VALUES(99, 'x', x'00')",
    "INSERT INTO texts VALUES(21, 'x', x'00')", "DELETE FROM texts WHERE seq = 40",
    "INSERT INTO texts SELECT 10, 'query', sealed FROM texts WHERE seq = 13",
]  # fmt: skip


@pytest.mark.parametrize("sql", EDITS)
def test_an_edit_is_named_as_by_one_walk(path: Path, in_parts: list[bool], sql: str) -> None:
    db = apsw.Connection(str(path))
    db.execute(sql)
    db.close()
    report = check(path)
    assert report == alone(path) and not report.ok
    assert any(p.kind not in ("sealed", "text_missing") for p in report.problems) or "DELETE FROM texts" in sql


def test_processes_that_do_not_start_change_nothing(
    path: Path, in_parts: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for executable in (str(path), "/does/not/exist"):
        monkeypatch.setattr(sys, "executable", executable)
        assert check(path) == alone(path) and in_parts[-1] is False


def test_a_ledger_in_use_is_walked_by_one(path: Path, in_parts: list[bool]) -> None:
    with Ledger(path, KEY, TEXTS) as ledger:
        in_parts.clear()
        ledger.append_sync("note", {})
        assert verify(path, None, KEY.public_key(), TEXTS).ok and in_parts == []


def test_the_text_key_is_on_no_command_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real: Any = subprocess.Popen

    def spy(command: list[str], **more: object) -> object:
        seen.append(" ".join(command) + str(more.get("env")))
        return real(command, **more)

    monkeypatch.setattr(subprocess, "Popen", spy)
    monkeypatch.setattr(ledger_verify, "processes_for", lambda entries: 2)
    assert verify(path, None, KEY.public_key(), TEXTS).ok
    assert len(seen) == 1 and TEXTS.encode().decode().strip() not in seen[0]


def test_how_many_processes_pay() -> None:
    assert ledger_parts.processes_for(0) == 0 and ledger_parts.processes_for(ledger_parts.LEAST) == 1
    assert 1 <= ledger_parts.processes_for(10**9) <= ledger_parts.MOST
