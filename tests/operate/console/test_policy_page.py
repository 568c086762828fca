"""方針: proven, tighter, refused - as the watch and the ledger tell it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from console_browser import Browser
from console_server import config, serving
from office_server import POLICY, SCORES

from so8t.ask.backend import FakeBackend
from so8t.core.packaged import packaged
from so8t.decide.policy import parse_policy


@pytest.mark.parametrize("kind", ["tighter", "other"])
def test_a_changed_policy(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "policy.toml"
    text = packaged("policies", "demo.toml").read_text(encoding="utf-8")
    text += f"\n[end]\nrules = {len(POLICY.rules)}\n"
    file.write_text(text, encoding="utf-8")
    settings = dataclasses.replace(config(tmp_path), policy=str(file))
    with serving(tmp_path, FakeBackend(SCORES), settings, policy=parse_policy(text, "demo")) as server:
        auditor = Browser(server)
        auditor.login("kansa")
        assert "証明済みの方針そのもの" in auditor.get("/console/policy").text
        if kind == "tighter":
            new = text.replace('version = "1"', 'version = "2"').replace("deadline_hours = 24", "deadline_hours = 8")
        else:
            new = text.replace("minimum_confidence = 0.4", "minimum_confidence = 0.1")
        file.write_text(new, encoding="utf-8")
        for _ in range(2):
            server.do(server.running.policy.look())
        page = auditor.get("/console/policy").text
        if kind == "tighter":
            assert (
                "証明済みの方針より厳しいだけ" in page
                and "version: 1" in page
                and "deadline" in page
                and "8 時間" in page
            )
        else:
            assert "証明済みの方針そのもの" in page and "変更を受け入れていません" in page and "拒んだ" in page
            assert "変更を拒んだ" in auditor.get("/console/monitor").text
        auditor.client.close()
