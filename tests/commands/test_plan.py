"""so8t plan and so8t doctor as they are called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from so8t.build.plan import probe
from so8t.build.plan.row import TOPICS
from so8t.build.plan.timing import Timing
from so8t.cli import main
from so8t.commands import plan as command
from so8t.core.errors import MemoryShort
from so8t.doctor.card import Card, Cards

Call = Callable[..., tuple[int, str, str]]
KEYS = {"topic", "ja", "en", "value", "plan", "basis", "number", "unit"}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_one_table_a_topic(call: Call, lang: str) -> None:
    code, out, _ = call("plan", "--profile", "phi4-mini-12gb", "--lang", lang, "--device", "cuda")
    heads = [line.removeprefix("■ ") for line in out.splitlines() if line.startswith("■")]
    assert code == 0 and heads == [names[lang == "en"] for names in TOPICS.values()]
    assert out.count("計画書の値" if lang == "ja" else "the plan says") == len(TOPICS)
    assert "3,836,021,760" in out and ("8.4 か月" if lang == "ja" else "8.4 months") in out


def test_records(call: Call) -> None:
    code, out, _ = call("plan", "--profile", "tiny", "--json", "--device", "cpu")
    records = json.loads(out)
    assert code == 0 and {r["topic"] for r in records} == set(TOPICS) and all(r.keys() >= KEYS for r in records)


@pytest.mark.parametrize("there", [True, False])
def test_the_device_is_the_one_that_is_there(call: Call, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    found = Cards((Card("X", "550.1", 24576, 24000, (8, 6)),)) if there else Cards(installed=False)
    monkeypatch.setattr(command, "find_cards", lambda: found)
    out = call("plan", "--profile", "phi4-mini-24gb", "--lang", "en")[1]
    assert ("cuda, int8" if there else "cpu, fp32") in out


def test_a_measured_plan(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    timing = Timing(0.5, 0.1, 0.2, 0.01, 2048, "cpu")
    monkeypatch.setattr(probe, "probe_here", lambda config, device: timing)
    code, out, err = call("plan", "--profile", "tiny", "--probe", "--lang", "en", "--device", "cpu")
    assert (code, err) == (0, "") and "tokens/s" in out and "not measured" not in out


def test_a_plan_that_could_not_be_measured_stands_without_time(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Timing:
        raise MemoryShort(where="plan --probe", detail="9.9 GiB > 1.0 GiB")

    monkeypatch.setattr(probe, "probe_here", refuse)
    code, out, err = call("plan", "--profile", "tiny", "--probe", "--json", "--device", "cpu")
    times = [r for r in json.loads(out) if r["en"] == "training time"]
    assert code == 0 and times[0]["number"] is None and "9.9 GiB" in err


def test_a_base_that_is_not_there(call: Call, tmp_path: Path) -> None:
    (tmp_path / "so8t.toml").write_text('[base]\npath = "none"\n', encoding="utf-8")
    assert call("plan", "--config", tmp_path / "so8t.toml")[0] == 3


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_doctor_says_what_to_do(call: Call, tmp_path: Path, lang: str) -> None:
    code, out, _ = call("doctor", "--profile", "phi4-mini-12gb", "--runs", tmp_path, "--lang", lang)
    assert code == 12  # there is no base.path
    assert ('path = "モデルのフォルダ"' if lang == "ja" else 'path = "the model\'s folder"') in out


def test_doctor_as_records(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("doctor", "--profile", "micro", "--json", "--runs", tmp_path)
    findings = json.loads(out)
    assert code == (12 if any(not f["ok"] and f["fatal"] for f in findings) else 0)
    assert findings[0].keys() == {"ja", "en", "detail", "ok", "fatal", "next_ja", "next_en"}
