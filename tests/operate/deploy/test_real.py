"""End to end on a real model: uploaded to the stand-in, which asks llama.cpp; and a self-test that finds a bad one."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ollama_stand_in import LlamaCppEngine

from so8t import cli
from so8t.ask.llamacpp import LlamaCpp
from so8t.core.bundle import Bundle, open_bundle
from so8t.core.progress import Progress
from so8t.operate.deploy.ollama import backend_of, deploy
from so8t.operate.deploy.question import question
from so8t.operate.deploy.selftest import CHECKS, selftest
from so8t.operate.deploy.target import targets

pytestmark = pytest.mark.slow
Run = Callable[[Any], str]


@pytest.fixture
def opened(real_bundle: Path) -> Bundle:
    return open_bundle(real_bundle, real_bundle.parents[1] / "keys" / "bundle.key.pub")


@pytest.fixture
def real(stand_in: Any) -> Any:
    stand_in.engine = LlamaCppEngine(512)
    return stand_in


@pytest.mark.parametrize("copies", [False, True])
def test_the_deployed_model_answers_and_judges(opened: Bundle, real: Any, run_ollama: Run, copies: bool) -> None:
    real.copies = copies
    address = run_ollama(real)
    (one,) = asyncio.run(deploy(opened, address, "so8t", Progress(lang="en")))
    assert one.answer.strip() and one.rendered and one.scores and one.published.shown.same_file is not copies

    async def scores(query: str) -> dict[str, float]:
        backend = backend_of(opened, address, targets(opened, "so8t")[0])
        try:
            return await question(opened, backend, query).scores()
        finally:
            await backend.close()

    first, second = asyncio.run(scores("会議の議事録を三行に。")), asyncio.run(scores("権限:"))
    assert first != second and all(v < 0 for v in first.values())


def reports(bundle: Bundle, stand_in: Any, address: str) -> dict[str, str]:
    report = asyncio.run(selftest(bundle, address, "F16", Progress(lang="en"), lambda result: None))
    assert [c["name"] for c in report["checks"]] == [c.name for c in CHECKS]
    assert report["removed"] is (not stand_in.keeps_deleted)
    return {c["name"]: c["status"] for c in report["checks"]}


def test_the_self_test_passes_a_good_ollama(opened: Bundle, real: Any, run_ollama: Run) -> None:
    for real.copies in (False, True):
        status = reports(opened, real, run_ollama(real))
        assert set(status.values()) == {"passed"}, status
        assert real.models == {}


BAD: list[tuple[dict[str, Any], set[str]]] = [
    ({"logprobs": False}, {"logprobs", "equal"}),
    ({"knows_truncate": False}, set()),  # a prompt that was cut fills the context, which the backend refuses itself
    ({"keeps_any_blob": True}, {"wrong-digest"}),
    ({"refuse_blobs": True}, {c.name for c in CHECKS} - {"wrong-digest", "bad-template", "too-long", "delete"}),
    ({"takes_any_template": True}, {"bad-template"}),
    ({"create_cut": True}, {c.name for c in CHECKS} - {"wrong-digest", "upload", "bad-template", "too-long", "delete"}),
    ({"ignores_stop": True}, {"stop"}),
    ({"extra_tokens": 1}, {"tokens"}),
    ({"skew": 0.2}, {"equal"}),
    ({"keeps_deleted": True}, {"delete"}),
    ({"template_lie": "{{ .Prompt }}"}, {"show"}),
    ({"prefers_jinja": True}, set()),
]


@pytest.mark.parametrize(("switches", "failing"), BAD, ids=lambda v: "-".join(v) if isinstance(v, dict) else "")
def test_the_self_test_finds_a_bad_one(
    opened: Bundle, real: Any, run_ollama: Run, switches: dict[str, Any], failing: set[str]
) -> None:
    for name, value in switches.items():
        setattr(real, name, value)
    status = reports(opened, real, run_ollama(real))
    assert {name for name, found in status.items() if found == "failed"} == failing


def test_another_prompt_than_the_trainings_is_found(
    opened: Bundle, real: Any, run_ollama: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(real), "_render", lambda *_: "<|im_start|>user ALLOW")
    status = reports(opened, real, run_ollama(real))
    assert {name for name, found in status.items() if found == "failed"} == {"rendered"}


def test_one_that_hides_its_prompts_is_skipped(opened: Bundle, real: Any, run_ollama: Run) -> None:
    real.shows_prompts = False
    status = reports(opened, real, run_ollama(real))
    assert {name for name, found in status.items() if found != "passed"} == {"rendered"}


def test_the_command_leaves_a_report(
    real_bundle: Path, real: Any, run_ollama: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    common = ["--bundle", str(real_bundle), "--runs", str(real_bundle.parents[1]), "--out", str(out), "--lang", "ja"]
    code = cli.main(["selftest", "ollama", "--address", run_ollama(real), *common])
    shown = capsys.readouterr().out
    assert code == 0 and "合格" in shown and "不合格" not in shown and "Ollama 0.33.0" in shown
    report = json.loads(out.read_text(encoding="utf-8"))
    assert (report["report"], report["failed"], report["removed"]) == ("so8t selftest ollama", 0, True)
    real.engine = LlamaCppEngine(512)
    real.logprobs = False
    assert cli.main(["selftest", "ollama", "--address", run_ollama(real), *common]) == 12
    assert "不合格" in capsys.readouterr().out


def test_llamacpp_serves_until_ctrl_c(real_bundle: Path, environment: dict[str, str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "so8t", "deploy", str(real_bundle), "--to", "llamacpp", "--json"]
    command += ["--address", f"127.0.0.1:{port}", "--threads", "1", "--runs", str(real_bundle.parents[1])]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["address"] == f"http://127.0.0.1:{port}" and ready["quantisation"] == "F16"

        async def tokens() -> list[int]:
            backend = LlamaCpp(ready["address"])
            try:
                return await backend.tokenize("ALLOW")
            finally:
                await backend.close()

        assert asyncio.run(tokens())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0 and b"Traceback" not in errors, errors
        time.sleep(0.1)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
    finally:
        process.kill()
        process.wait()
