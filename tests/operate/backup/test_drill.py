"""The drill of docs/operate.md: a backup taken from the real server at work, restored elsewhere, and served from."""

from __future__ import annotations

import argparse
import json
import shutil
import threading
from pathlib import Path

import pytest
from serve_process import new_user, serving

from so8t.commands.backup import backup
from so8t.core import sealing, signing
from so8t.core.ledger_verify import verify

DEFAULTS = {
    "file": None, "to": None, "profile": "", "config": Path("so8t.toml"), "runs": Path("runs"), "bundle": None,
    "without_bundle": False, "with_keys": False, "passphrase_file": None, "recipient": None, "private_key": None,
    "key": None, "work": None, "json": True, "lang": "ja",
}  # fmt: skip


@pytest.mark.slow
def test_the_drill(
    micro_run: Path, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def run(action: str, **given: Path) -> dict[str, object]:
        assert backup(argparse.Namespace(**DEFAULTS | given | {"action": action})) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    site, back = tmp_path / "site", tmp_path / "back"
    site.mkdir()
    monkeypatch.chdir(site)
    Path("so8t.toml").write_text("[serve]\nport = 0\n")
    run("keygen", to=tmp_path / "backup.key")
    key, bundle, enough = new_user(site, environment), micro_run / "bundle", threading.Event()
    with serving(site, environment, bundle, key) as server:
        assert server.ask("議事録の書き方を教えてください")[1]

        def ask() -> None:
            while not enough.is_set():
                server.ask("会議の案内文を書いてください")

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            created = run("create", to=tmp_path / "a.so8t", recipient=tmp_path / "backup.key.pub", bundle=bundle)
        finally:
            enough.set()
            asking.join()
    public = Path("runs/keys/ledger.key.pub")
    restored = run("restore", file=tmp_path / "a.so8t", to=back, private_key=tmp_path / "backup.key", key=public)
    assert restored["key_pinned"] and restored["seq"] == created["seq"] and restored["people"] == 1

    # Where the settings expect things; the keys come out of their envelope.
    (back / "runs" / "serve").mkdir(parents=True)
    for name in ("ledger.db", "ledger.anchor", "users.db"):
        (back / name).rename(back / "runs" / "serve" / name)
    shutil.copytree("runs/keys", back / "runs" / "keys")
    with serving(back, environment, back / "bundle", key) as server:
        assert server.ask("議事録の書き方を教えてください")[1]
    texts = sealing.load(back / "runs" / "keys" / "text.key")
    report = verify(back / "runs" / "serve" / "ledger.db", None, signing.load_public(public), texts)
    assert report.ok and report.entries > int(str(created["seq"]))
