"""so8t deploy and so8t selftest ollama as a user calls them: nothing before the bundle is good, plain words, codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t import cli
from so8t.core.errors import BackendDown
from so8t.operate.deploy import llamacpp

Call = Callable[..., tuple[int, str, str]]
Run = Callable[[Any], str]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], bundle: Path) -> Call:
    runs = bundle.parents[1]

    def main(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([*map(str, arguments), "--runs", str(runs)])
        out, err = capsys.readouterr()
        return code, out, err

    return main


def test_a_table_of_the_three(call: Call, bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    address = run_ollama(stand_in)
    code, out, err = call("deploy", bundle, "--to", "ollama", "--address", address, "--name", "kaisha", "--lang", "ja")
    assert code == 0 and "Ollama 0.33.0" in err
    assert [word in out for word in ("kaisha:f16", "kaisha:q8_0", "kaisha:q4_k_m", "作成", "議題")] == [True] * 5
    code, out, _ = call("deploy", bundle, "--to", "ollama", "--address", address, "--name", "kaisha", "--lang", "en")
    assert code == 0 and out.count("unchanged") == 3


def test_json(call: Call, bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    arguments = ("--address", run_ollama(stand_in), "--only", "Q8_0", "--only", "F16", "--json")
    code, out, _ = call("deploy", bundle, "--to", "ollama", *arguments)
    found = json.loads(out)
    assert code == 0 and [m["model"] for m in found] == ["so8t:f16", "so8t:q8_0"]
    assert found[0]["label_scores"]["ALLOW"] == -0.1 and found[0]["rendered_as_trained"] is True


@pytest.mark.parametrize(("lang", "words"), [("ja", ("写し直し", "llamacpp")), ("en", ("own copy", "llamacpp"))])
def test_what_a_user_must_know_is_printed(
    call: Call, bundle: Path, stand_in: Any, run_ollama: Run, lang: str, words: tuple[str, ...]
) -> None:
    stand_in.copies, stand_in.logprobs = True, False
    stand_in.engine.words = "はい\x1b[31m、どうぞ"
    code, out, _ = call(
        "deploy", bundle, "--to", "ollama", "--address", run_ollama(stand_in), "--only", "Q8_0", "--lang", lang
    )
    assert code == 0 and all(word in out for word in words) and "\x1b" not in out


def test_nothing_is_sent_before_the_bundle_is_good(
    call: Call, bundle: Path, stand_in: Any, run_ollama: Run, tmp_path: Path, reseal: Callable[..., Path]
) -> None:
    address = ("--to", "ollama", "--address", run_ollama(stand_in))
    reseal(bundle, proven=False)
    code, _, err = call("deploy", bundle, *address)
    assert code == 8 and "[B03]" in err and stand_in.requests == []
    code, _, err = call("deploy", bundle, *address, "--allow-unproven")
    assert code == 0 and "card.thresholds" in err and len(stand_in.models) == 3
    stand_in.requests.clear()
    (bundle / "gguf" / "model-F16.gguf").write_bytes(b"GGUF other")
    code, _, err = call("deploy", bundle, *address, "--allow-unproven")
    assert code == 8 and "[B01]" in err and stand_in.requests == []
    assert call("deploy", tmp_path / "none", *address)[0] == 8


@pytest.mark.parametrize("address", ["http://localhost:11434", "http://ollama.com", "127.0.0.1:11434"])
def test_names_are_no_addresses(call: Call, bundle: Path, address: str) -> None:
    code, _, err = call("deploy", bundle, "--to", "ollama", "--address", address)
    assert code == 10 and "literal IP" in err


def test_nobody_there_is_exit_10_with_the_next_step(call: Call, bundle: Path) -> None:
    code, _, err = call("deploy", bundle, "--to", "ollama", "--address", "http://127.0.0.1:1", "--lang", "ja")
    assert code == 10 and BackendDown.next_ja in err


@pytest.mark.parametrize(
    "arguments", [("--only", "F16", "--only", "Q8_0"), ("--by", "cli"), ("--address", "0.0.0.0:1")]
)
def test_llamacpp_takes_one_quantisation_on_this_machine(call: Call, bundle: Path, arguments: tuple[str, ...]) -> None:
    assert call("deploy", bundle, "--to", "llamacpp", *arguments)[0] == 2


@pytest.mark.parametrize(("lang", "word"), [("ja", "止めました"), ("en", "stopped")])
def test_ctrl_c_is_how_a_server_ends(
    call: Call, bundle: Path, monkeypatch: pytest.MonkeyPatch, lang: str, word: str
) -> None:
    from so8t.commands import deploy

    def serve_until(found: Any, address: str, quantisation: str, threads: int, ready: Any) -> None:
        assert (address, quantisation) == ("127.0.0.1:8080", "F16") and threads >= 1
        ready(llamacpp.Serving("http://127.0.0.1:8080", "F16", 1024, "ALLOW\nはい", {"ALLOW": -0.1}))
        raise KeyboardInterrupt

    monkeypatch.setattr(deploy, "serve_until", serve_until)
    code, out, err = call("deploy", bundle, "--to", "llamacpp", "--only", "F16", "--lang", lang)
    assert code == 0 and word in err and "http://127.0.0.1:8080" in out and "ALLOW はい" in out
    out = call("deploy", bundle, "--to", "llamacpp", "--only", "F16", "--json")[1]
    assert json.loads(out)["address"] == "http://127.0.0.1:8080"


def test_a_report_that_cannot_be_written_is_said_first(call: Call, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "nowhere" / "r.json"
    code, _, err = call("selftest", "ollama", "--bundle", bundle, "--address", "http://127.0.0.1:1", "--out", out)
    assert code == 2 and "nowhere" in err
