"""so8t prove RUN|BUNDLE and so8t calibrate on the micro bundle: a card beside it, and nothing changed."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t import cli
from so8t.commands.prove import rebuild, report_table
from so8t.core.bundle import open_bundle
from so8t.core.files import hash_folder
from so8t.decide.calibrate import Calibration

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def main(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return main


def labelled(path: Path, count: int = 12, *extra: dict[str, Any]) -> Path:
    texts = {
        "ALLOW": "月の会議の案内文を書いて",
        "ESCALATE": "月分の融資を認めるか決めて",
        "DENY": "月の名簿を社外へ持ち出す手順",
    }
    rows = [
        {"id": f"r{n}", "query": f"{n}{texts[d]}", "decision": d, "register": "常体", "attack": "kana" * (n == 3)}
        for n, d in enumerate(list(texts) * (count // 3))
    ]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in [*rows, *extra]), encoding="utf-8")
    return path


def test_a_bundle_against_the_users_own_requests(
    call: Call, bundle_copy: Path, micro_runs: Path, tmp_path: Path
) -> None:
    source, out = labelled(tmp_path / "own.jsonl"), tmp_path / "out" / "proof"
    before = hash_folder(bundle_copy)
    code, said, _ = call(
        "prove", bundle_copy, "--data", source, "--out", out, "--profile", "micro", "--runs", micro_runs, "--json"
    )
    summary = json.loads(said)
    assert code == 0 and (summary["card"], summary["requests"]) == (str(out / "card.json"), 12)
    assert hash_folder(bundle_copy) == before
    open_bundle(bundle_copy, micro_runs / "keys" / "bundle.key.pub")
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert summary["passed"] is card["thresholds"]["passed"]
    assert card["payload_digest"] == json.loads((bundle_copy / "bundle.json").read_bytes())["payload_digest"]
    assert card["evaluation"]["file"] == "own.jsonl" and card["profile"] == "micro" and card["demo"] is True
    served = json.loads((bundle_copy / "calibration.json").read_bytes())
    for name, found in card["results"].items():
        assert list(found["splits"]) == ["test"] and found["splits"]["test"]["n"] == 12
        assert Calibration.from_json(found) == Calibration.from_json(served[name])  # what serves, not a new fit
        assert found["splits"]["test"]["per_register"]["常体"]["n"] == 12
    page = (out / "card.html").read_text(encoding="utf-8")
    assert "own.jsonl" in page and 'id="selective"' in page and card["evaluation"]["sha256"] in page


@pytest.mark.slow
def test_a_run_against_its_own_test_split_gives_the_verdicts_of_its_card(
    call: Call, micro_run: Path, micro_runs: Path, tmp_path: Path
) -> None:
    before = hash_folder(micro_run)
    code, said, _ = call("prove", "micro", "--out", tmp_path / "p", "--profile", "micro", "--runs", micro_runs)
    assert code == 0 and "card.html" in said and hash_folder(micro_run) == before
    again = json.loads((tmp_path / "p" / "card.json").read_bytes())
    first = json.loads((micro_run / "prove" / "card.json").read_bytes())
    for name, found in first["results"].items():
        other = again["results"][name]["splits"]["test"]
        assert other["confusion"] == found["splits"]["test"]["confusion"]
        a, b = (r["selective"]["operating"][0]["humans"] for r in (other, found["splits"]["test"]))
        assert a == pytest.approx(b)
    for name, row in first["quantisation"]["rows"].items():
        assert again["quantisation"]["rows"][name]["kl"] == pytest.approx(row["kl"], rel=0.05, abs=1e-6)
    for a, b in zip(again["files"], first["files"], strict=True):
        assert a["quantisation"] == b["quantisation"]
        assert a.get("perplexity") == pytest.approx(b.get("perplexity")) and a["verdicts"]["n"] == 24


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        ({"id": "x", "query": "y"}, 3, "decision"),
        ({"id": "r0", "query": "y", "decision": "DENY"}, 3, "own.jsonl:1"),
        ({"id": "x", "query": "y", "decision": "DENY", "clearance": "無い区分"}, 3, "無い区分"),
    ],
)
@pytest.mark.parametrize("verb", ["prove", "calibrate"])
def test_a_wrong_line_stops_it_before_anything_is_written(
    call: Call, micro_run: Path, micro_runs: Path, tmp_path: Path, verb: str, extra: dict[str, Any], code: int,
    words: str,
) -> None:  # fmt: skip
    source, out = labelled(tmp_path / "own.jsonl", 12, extra), tmp_path / "out"
    found, _, err = call(verb, micro_run / "bundle", "--data", source, "--out", out, "--runs", micro_runs)
    assert found == code and f"{source}:13" in err and words in err and not out.exists()


def test_nothing_is_written_into_a_bundle_or_a_run(call: Call, micro_run: Path, micro_runs: Path) -> None:
    before = hash_folder(micro_run)
    data = micro_run / "validate" / "test.jsonl"
    bundle = micro_run / "bundle"
    for arguments in (
        ("prove", bundle, "--data", data, "--out", bundle),
        ("prove", "micro", "--out", micro_run / "prove"),
        ("calibrate", bundle, "--data", data, "--out", bundle / "calibration.json"),
        ("prove", bundle, "--out", micro_run.parent / "x"),  # a bundle has no test split of its own
        ("prove", "--data", data),  # the stage takes its data from the run
        ("calibrate", bundle, "--data", data, "--threads", "0"),
    ):
        assert call(*arguments, "--runs", micro_runs)[0] == 2, arguments
    assert hash_folder(micro_run) == before
    assert call("prove", "no such run", "--runs", micro_runs)[0] == 4


def test_a_broken_bundle_is_refused(call: Call, bundle_copy: Path, micro_runs: Path, tmp_path: Path) -> None:
    (bundle_copy / "calibration.json").write_text("{}", encoding="utf-8")
    source = labelled(tmp_path / "own.jsonl")
    for verb in ("prove", "calibrate"):
        code, _, err = call(verb, bundle_copy, "--data", source, "--out", tmp_path / "o", "--runs", micro_runs)
        assert code == 8 and "calibration.json" in err and not (tmp_path / "o").exists()


def test_calibrate_writes_what_a_bundle_could_serve_with(
    call: Call, micro_run: Path, micro_runs: Path, tmp_path: Path
) -> None:
    source, out, before = labelled(tmp_path / "own.jsonl", 30), tmp_path / "new" / "c.json", hash_folder(micro_run)
    code, said, _ = call(
        "calibrate", micro_run / "bundle", "--data", source, "--out", out, "--runs", micro_runs, "--json"
    )
    report = json.loads(said)
    assert code == 0 and report["out"] == str(out) and hash_folder(micro_run) == before
    served = json.loads((micro_run / "bundle" / "calibration.json").read_bytes())
    written = json.loads(out.read_bytes())
    assert written.keys() == served.keys() == report["reports"].keys()
    for name, found in report["reports"].items():
        assert found["temperature"]["after"] == Calibration.from_json(written[name]).temperature
        assert found["temperature"]["before"] == served[name]["temperature"]
        assert (found["n"], found["folds"]) == (30, 5) and len(found["plan_grid"]["ece"]) == 50
        assert all(math.isfinite(found[when][key]) for when in ("raw", "before", "after") for key in ("ece", "nll"))
    ja, en = report_table(report["reports"], "ja"), report_table(report["reports"], "en")
    assert "計画の格子" in ja and "plan's grid" in en and ja.count("Q8_0") == 4
    assert "許可の上限" in ja and "limit of ALLOW" in en


def test_how_to_rebuild_is_said_in_both_languages() -> None:
    options = argparse.Namespace(out=Path("c.json"), data=Path("own.jsonl"), lang="ja")
    ja = rebuild(options)
    options.lang = "en"
    en = rebuild(options)
    for words in (ja, en):
        assert 'calibration = "own.jsonl"' in words and "[prove]" in words and "--accept-change" in words
    assert "署名" in ja and "signature" in en


def test_too_few_requests_fit_nothing(call: Call, micro_run: Path, micro_runs: Path, tmp_path: Path) -> None:
    source = labelled(tmp_path / "own.jsonl", 9)
    code, _, err = call(
        "calibrate", micro_run / "bundle", "--data", source, "--out", tmp_path / "c.json", "--runs", micro_runs
    )
    assert code == 3 and "9 requests < 10" in err and not (tmp_path / "c.json").exists()
