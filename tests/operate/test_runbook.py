"""What the operator's and the clients' pages tell people to type is understood, and the Python in them does it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from office_server import Server, running
from scanned import encoded, sheet

from so8t.ask.backend import FakeBackend
from so8t.cli import build_parser, main
from so8t.core import sealing, signing
from so8t.core.ledger import Ledger
from so8t.core.ledger_verify import verify
from so8t.core.packaged import policy_text
from so8t.core.types import Attachment
from so8t.operate.intake.kept import Kept

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("operate.md", "client-setup.md", "windows.md", "eventlog.md")
ADDRESS = "https://so8t.example.co.jp:8008"


def blocks(page: str, kind: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", text, re.M | re.S)
    return ["".join(line.removeprefix(indent) for line in body.splitlines(True)) for indent, body in found]


def commands() -> list[list[str]]:
    lines = [line for page in PAGES for body in blocks(page, "sh") for line in body.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("so8t ")]


def verbs() -> set[str]:
    action = next(a for a in build_parser()._actions if a.dest == "verb" or hasattr(a, "add_parser"))
    return set(action.choices or ())


def test_every_verb_exists() -> None:
    assert len(commands()) > 20
    assert {arguments[0] for arguments in commands()} - verbs() == set()


@pytest.mark.parametrize("arguments", [c for c in commands() if c[0] in verbs()], ids=" ".join)
def test_commands_are_understood(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert build_parser().parse_args(arguments).handler
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


def test_the_text_of_an_entry_is_erased_as_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = [line for block in blocks("operate.md", "sh") for line in block.splitlines() if "ledger erase" in line]
    monkeypatch.chdir(tmp_path)
    Path("runs/serve").mkdir(parents=True)
    key, texts = (
        signing.load_or_create(Path("runs/keys/ledger.key")),
        sealing.load_or_create(Path("runs/keys/text.key")),
    )
    with Ledger(Path("runs/serve/ledger.db"), key, texts) as ledger:
        ledger.append_sync("note", {"n": 1}, text={"query": "消してほしい文"})
        ledger.append_sync("note", {"n": 2}, text={"query": "残る文"})
        assert main(shlex.split(line.replace("1234", "2").strip())[1:]) == 9  # the server holds it
        assert "[L04]" in (said := capsys.readouterr().err) and "so8t serve" in said
    assert main(shlex.split(line.replace("1234", "2").strip())[1:]) == 0
    report = verify(Path("runs/serve/ledger.db"), None, key.public_key(), texts)
    assert report.ok and (report.entries, report.erased, report.texts) == (4, 1, 1)


def _block(part: str) -> list[str]:
    """The lines of the one block of operate.md that holds it."""
    (found,) = [block for block in blocks("operate.md", "sh") if part in block]
    return found.splitlines()


def _typed(lines: list[str], *replaced: tuple[str, str]) -> None:
    """As an operator types them, in this folder; `so8t` in this process."""
    for line in lines:
        for old, new in replaced:
            line = line.replace(old, new)
        if line.startswith("so8t "):
            assert main(shlex.split(line)[1:]) == 0, line
        else:
            subprocess.run(["bash", "-euc", line], check=True, timeout=60)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize("images", [True, False])
def test_a_restored_ledger_verifies_where_the_runbook_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("restored").mkdir()
    key, ledger = signing.load_or_create(Path("ledger.key")), Path("restored/ledger.db")
    told, texts = Kept.beside(ledger).put("req-1", [Attachment("image/png", (), "a.png", b"image")] if images else [])
    with Ledger(ledger, key, sealing.load_or_create(Path("text.key"))) as book:
        book.append_sync("decision", {"decision": "ALLOW", "attachments": told}, text={"query": "?", **texts})
    Path("restored/users.db").write_bytes(b"")
    _typed(_block("mv restored/ledger.db"))
    assert Path("runs/serve/ledger.attachments").is_dir() == images


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_an_own_policy_is_the_bundles_until_somebody_changes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 2 of the first day; that the server takes the copy: test_policy_watch.py."""
    bundle, own = tmp_path / "bundle", tmp_path / "policy.toml"
    bundle.mkdir()
    (bundle / "policy.toml").write_text(policy_text("demo")[0], encoding="utf-8")
    _typed(_block("cp /srv/so8t"), ("/srv/so8t/bundle", str(bundle)), ("/etc/so8t/policy.toml", str(own)))
    assert own.read_bytes() == (bundle / "policy.toml").read_bytes()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with running(tmp_path, FakeBackend({"": [9.0, 0.0, 0.0]}, "三行です。")) as made:
        yield made


@pytest.mark.parametrize("number", [0, 1, 2], ids=["openai", "ollama", "image"])
def test_the_clients_python_gets_an_answer(
    server: Server, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scan.png").write_bytes(encoded(sheet("旅費精算のお知らせ", "領収書は月末までに総務課へ出してください。")))
    code, said = blocks("client-setup.md", "python")[number], io.StringIO()
    names: dict[str, Any] = {"key": server.keys["user"]}
    with contextlib.redirect_stdout(said):
        exec(compile(code.replace(ADDRESS, server.address), "page", "exec"), names)
    names["client"]._client.close()
    assert "三行" in said.getvalue() and (number == 1 or "ALLOW" in said.getvalue())


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="no curl here")
def test_curl_gets_an_answer(server: Server) -> None:
    (script,) = [body for body in blocks("client-setup.md", "sh") if body.startswith("curl")]
    environment = {"SO8T_KEY": server.keys["user"], "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-euc", script.replace(ADDRESS, server.address)], env=environment,
        capture_output=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    assert '"decision":"ALLOW"' in done.stdout and done.stdout.rstrip().endswith("data: [DONE]")
