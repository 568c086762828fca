"""so8t serve as a user starts it: a verified bundle, an account, a question, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from resealing import resealed

from so8t.core import signing
from so8t.core.ledger_verify import verify

pytestmark = pytest.mark.slow


def config(folder: Path) -> Path:
    path = folder / "so8t.toml"
    path.write_text(
        f'profile = "micro"\n[serve]\nport = 0\n[serve.identity]\nusers = "{folder}/users.db"\n'
        f'[serve.ledger]\npath = "{folder}/ledger.db"\nkey = "{folder}/ledger.key"\ntext_key = "{folder}/text.key"\n',
        encoding="utf-8",
    )
    return path


def test_from_the_first_user_to_ctrl_c(
    tmp_path: Path, micro_run: Path, so8t_process: Any, environment: dict[str, str]
) -> None:
    settings = config(tmp_path)
    (tmp_path / "password").write_text("correct horse battery\n", encoding="utf-8")
    added = so8t_process("users", "add", "甲", "--password-file", tmp_path / "password", "--config", settings)
    assert added.returncode == 0, added.stderr
    issued = so8t_process("users", "key", "甲", "--config", settings, "--json")
    key = json.loads(issued.stdout)["secret"]
    command = [sys.executable, "-m", "so8t", "serve", "--config", str(settings), "--bundle", str(micro_run / "bundle")]
    command += ["--key", str(micro_run.parent / "keys" / "bundle.key.pub"), "--allow-unproven", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["users"] == 1 and told["model"] == "so8t" and told["upstream"] == "embedded"
        body = {"model": "so8t", "messages": [{"role": "user", "content": "会議の議事録を三行でまとめてください。"}]}
        with httpx.Client(trust_env=False, timeout=60, headers={"Authorization": f"Bearer {key}"}) as client:
            answer = client.post(f"{told['address']}/v1/chat/completions", json=body)
        assert answer.status_code == 200 and answer.json()["so8t"]["decision"] in ("ALLOW", "ESCALATE", "DENY")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    report = verify(
        tmp_path / "ledger.db", public_key=signing.load_public(signing.public_path(tmp_path / "ledger.key"))
    )
    assert report.ok, report.problems[:3]


def test_an_unproven_bundle_is_not_served(tmp_path: Path, bundle_copy: Path, so8t_process: Any) -> None:
    card = json.loads((bundle_copy / "card.json").read_text(encoding="utf-8"))
    card["thresholds"]["passed"] = False
    (bundle_copy / "card.json").write_text(json.dumps(card), encoding="utf-8")
    key = resealed(bundle_copy, tmp_path / "trainer.key")
    done = so8t_process("serve", "--config", config(tmp_path), "--bundle", bundle_copy, "--key", key)
    assert done.returncode == 8 and "B03" in done.stderr
    broken = tmp_path / "nothing"
    broken.mkdir()
    done = so8t_process("serve", "--config", config(tmp_path), "--bundle", broken, "--key", key)
    assert done.returncode == 8 and "Traceback" not in done.stderr
