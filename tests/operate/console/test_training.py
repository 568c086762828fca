"""学習: from the logs below runs/, live while steps come, whatever state they are in."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from console_browser import Browser
from console_server import serving
from office_server import SCORES

from so8t.ask.backend import FakeBackend
from so8t.operate.console.training import LIVE, trainings


def logged(runs: Path, name: str, steps: int = 40, *, work: bool = True) -> Path:
    folder = runs / name / ("work/train" if work else "train")
    folder.mkdir(parents=True)
    rows = [{"step": n, "loss": 6 - n / 20, "pet": 1.0, "pet_weight": 0.01, "rate": 1e-3, "gradient_norm": 1.0,
             "tokens": 100, "angles": [0.01 * n, 0.02 * n]} for n in range(steps)]  # fmt: skip
    (folder / "history.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows) + '{"torn', encoding="utf-8")
    (folder / "events.jsonl").write_text(
        json.dumps({"event": "checkpoint", "step": 3, "ja": "<b>控え", "en": "x"}) + "\n"
    )
    progress = {"stage": "train", "event": "progress", "done": steps, "total": 80, "seconds_left": 90.0}
    (runs / name / "log.jsonl").write_text(json.dumps(progress) + "\n")
    return folder / "history.jsonl"


@pytest.fixture
def auditor(tmp_path: Path) -> Any:
    with serving(tmp_path, FakeBackend(SCORES), runs=tmp_path / "runs") as server:
        browser = Browser(server)
        browser.login("kansa")
        yield browser
        browser.client.close()


def test_live(auditor: Browser, tmp_path: Path) -> None:
    logged(tmp_path / "runs", "<i>run")
    page = auditor.get("/console/training").text
    assert (
        '<meta http-equiv="refresh" content="5">' in page and "学習中" in page and "40 / 80" in page and "1:30" in page
    )
    assert "40 ステップ学習し" in page and page.count("<svg") > 5 and "<i>" not in page and "<b>控え" not in page
    assert "style=" not in page
    still = auditor.get("/console/training?still=1").text
    assert "http-equiv" not in still and "自動更新を再開" in still


def test_which_run(auditor: Browser, tmp_path: Path) -> None:
    old = logged(tmp_path / "runs", "old", 10, work=False)
    os.utime(old, (1_700_000_000, 1_700_000_000))
    logged(tmp_path / "runs", "new", 20)
    assert "20 ステップ" in auditor.get("/console/training").text
    page = auditor.get("/console/training?run=old").text
    assert "10 ステップ" in page and "止まっている" in page and "http-equiv" not in page
    assert "20 ステップ" in auditor.get("/console/training?run=../../etc").text
    assert auditor.get(f"/console/training?run={'a' * 300}").status_code == 400


def test_found_by_their_newest_step(tmp_path: Path) -> None:
    assert trainings(tmp_path / "none", 0.0) == []
    log = logged(tmp_path, "a")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    changed = log.stat().st_mtime
    (found,) = trainings(tmp_path, changed + LIVE + 1)
    assert found.name == "a" and not found.live and trainings(tmp_path, changed + 1)[0].live


@pytest.mark.parametrize("broken", ["manifests", "history", "log"])
def test_broken_logs_break_no_page(auditor: Browser, tmp_path: Path, broken: str) -> None:
    log = logged(tmp_path / "runs", "x")
    if broken == "manifests":
        (tmp_path / "runs" / "x" / "manifests").mkdir()
        (tmp_path / "runs" / "x" / "manifests" / "train.json").write_text('{"stage": "train"')
    elif broken == "history":
        log.write_bytes(b"\xff\x00 not json\n[]\n" + b'{"step": NaN, "loss": "x"}\n')
    else:
        (tmp_path / "runs" / "x" / "log.jsonl").write_text('{"stage": "train", "event": "progress", "done": "x"}\n')
    assert auditor.get("/console/training").status_code == 200
