"""The command line on a real bundle: contracts of DESIGN.md, exit codes, two languages."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t import cli
from so8t.core.errors import (
    BackendDown,
    BundleBroken,
    ConfigChanged,
    ConfigKeyUnknown,
    DiskFull,
    LedgerBroken,
    PackageMissing,
    ParityFailed,
    PolicyInvalid,
    So8tError,
    SourceMissing,
    TrainingDiverged,
)
from so8t.core.run import STAGES
from so8t.verbs import verb as verbs_of

Record = dict[str, Any]
Call = Callable[..., tuple[int, str, str]]
KEYS = {"id", "decision", "confidence", "probabilities", "opinions", "domain"}
VERBS = ["run", *STAGES, "decide", "classify", "score", "plan", "doctor", "ledger", "status", "show", "policy"]
VERBS += ["selftest", "deploy", "calibrate", "compare"]
VERBS += ["tasks", "consistency", "serve", "users", "review", "backup", "search", "mcp"]
VERBS += ["answer", "minutes", "mail", "service", "monitor", "see", "hear", "agents", "tools"]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """main() in this process: (exit code, stdout, stderr)."""

    def main(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return main


def write(path: Path, records: list[Record | str]) -> Path:
    rows = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> list[Record]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]


REQUESTS: list[Record | str] = [
    {
        "id": "a",
        "query": "会議の議事録を三行にまとめてください。",
        "clearance": "社内限定",
        "classification": "公開",
        "extra": 1,
    },
    {"id": "b", "query": "【極秘】の試験計画を全部見せてください。", "clearance": "公開"},
    '{"id": "c", "query": "切れた行',
    {"id": "d", "query": "来期の計画を見せて", "clearance": "最高機密"},
    {"id": "e"},
    {"id": 6, "query": "患者の診察の記録をまとめてください。", "domain": "medical"},
    {"id": "g", "query": "質問", "domain": "sports"},
    {"id": "h", "query": "質問です", "classification": ["公開"]},
    {"id": "i", "query": "   "},
    '["not an object"]',
    '{"id": "k", "query": "\\ud800"}',
    '{"id": NaN, "query": "質問"}',
    '{"id": "m", "query": ' + "1" * 5000 + "}",
    '{"id": ' + "[" * 400 + "]" * 400 + ', "query": "深い"}',
    {"id": "z", "query": "会議室の予約の手順を教えてください。"},
]
BAD = {"c": 3, "d": 4, "e": 5, "g": 7, "h": 8, "i": 9, "array": 10, "k": 11, "nan": 12, "m": 13, "deep": 14}


@pytest.fixture(scope="module")
def decided(
    micro_runs: Path, tmp_path_factory: pytest.TempPathFactory, so8t_process: Any
) -> tuple[Any, list[Record], Path]:
    folder = tmp_path_factory.mktemp("decide")
    source = write(folder / "in.jsonl", REQUESTS)
    done = so8t_process(
        "decide", "--in", source, "--out", folder / "out.jsonl", "--runs", micro_runs, "--allow-unproven", "--json"
    )
    return done, read(folder / "out.jsonl"), source


def test_decide_keeps_order_and_does_the_rest(decided: tuple[Any, list[Record], Path]) -> None:
    done, records, source = decided
    assert done.returncode == 3, done.stderr
    assert len(records) == len(REQUESTS)
    errors = {r["line"]: r for r in records if "error" in r}
    assert sorted(errors) == sorted(BAD.values())
    for number, record in errors.items():
        assert record["where"] == f"{source}:{number}" and record["what"] and "decision" not in record
    assert [r["id"] for r in records if "error" not in r] == ["a", "b", 6, "z"]
    assert [records[BAD[k] - 1]["id"] for k in ("d", "e", "g")] == ["d", "e", "g"]
    assert json.loads(done.stdout) == {"records": 15, "errors": 11, "out": str(source.parent / "out.jsonl")}
    assert "Traceback" not in done.stderr


def test_decide_record(decided: tuple[Any, list[Record], Path]) -> None:
    for record in (r for r in decided[1] if "error" not in r):
        assert record.keys() >= KEYS
        assert record["decision"] in ("ALLOW", "ESCALATE", "DENY")
        assert record["probabilities"].keys() == {"ALLOW", "ESCALATE", "DENY"}
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert record["confidence"] == record["probabilities"][record["decision"]]
        assert [o["judge"] for o in record["opinions"]] == ["rule", "model", "precedent"]
        for opinion in record["opinions"]:
            assert opinion.keys() >= {"judge", "decision", "probabilities", "rules", "reason"}
            assert "ms" not in opinion


def test_decide_reads_the_classification_from_markers(decided: tuple[Any, list[Record], Path]) -> None:
    record = decided[1][1]
    assert record["decision"] == "DENY" and "clearance" in record["rules"]


def test_decide_uses_the_domain_that_is_stated(decided: tuple[Any, list[Record], Path]) -> None:
    assert decided[1][5]["domain"] == "medical"


def test_same_input_same_output(
    decided: tuple[Any, list[Record], Path], micro_runs: Path, tmp_path: Path, so8t_process: Any
) -> None:
    _, records, source = decided
    so8t_process("decide", "--in", source, "--out", tmp_path / "o", "--runs", micro_runs, "--allow-unproven")
    assert (tmp_path / "o").read_bytes() == (source.parent / "out.jsonl").read_bytes()
    alone = write(tmp_path / "one.jsonl", [REQUESTS[-1]])
    so8t_process("decide", "--in", alone, "--out", tmp_path / "p", "--runs", micro_runs, "--allow-unproven")
    assert read(tmp_path / "p") == [records[-1]]  # and whatever stands beside it


def test_decide_leaves_no_ledger_entry(decided: tuple[Any, list[Record], Path], micro_run: Path) -> None:
    with sqlite3.connect(f"file:{micro_run / 'ledger.db'}?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM entries").fetchone() == (14,)
    db.close()


def test_decide_with_another_policy(micro_runs: Path, tmp_path: Path, so8t_process: Any) -> None:
    from so8t.core.packaged import policy_text

    text = (
        policy_text("demo")[0]
        + '\n[[rules]]\nid = "own"\neffect = "DENY"\nhard = true\nall = ["会議室"]\nreason = "試験"\n'
    )
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    source = write(tmp_path / "in.jsonl", [REQUESTS[-1]])
    done = so8t_process(
        "decide",
        "--in",
        source,
        "--out",
        tmp_path / "o",
        "--policy",
        tmp_path / "own.toml",
        "--runs",
        micro_runs,
        "--allow-unproven",
    )
    assert done.returncode == 0, done.stderr
    (record,) = read(tmp_path / "o")
    assert record["decision"] == "DENY" and "own" in record["rules"]


def test_decide_of_a_missing_file_or_bundle(call: Call, micro_runs: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [REQUESTS[0]])
    code, _, err = call("decide", "--in", source, "--out", tmp_path / "o", "--runs", tmp_path / "nowhere")
    assert code == 8 and "[B04]" in err
    code, _, err = call("decide", "--in", source, "--out", tmp_path / "o", "--bundle", tmp_path / "none")
    assert code == 8 and "[B04]" in err
    code, _, err = call("decide", "--in", source, "--out", tmp_path / "o", "--bundle", tmp_path)
    assert code == 8 and "[B01]" in err
    code, _, err = call("classify", "--in", tmp_path / "no", "--out", tmp_path / "o", "--runs", micro_runs)
    assert code == 3 and str(tmp_path / "no") in err
    assert not (tmp_path / "o").exists()


def test_a_broken_bundle_is_refused(call: Call, bundle_copy: Path, micro_runs: Path, tmp_path: Path) -> None:
    (bundle_copy / "policy.toml").write_text("x")
    source = write(tmp_path / "in.jsonl", [REQUESTS[0]])
    for verb in ("decide", "classify"):
        code, _, err = call(
            verb, "--in", source, "--out", tmp_path / "o", "--bundle", bundle_copy, "--runs", micro_runs
        )
        assert code == 8 and "policy.toml" in err
    assert not (tmp_path / "o").exists()


TEXTS: list[Record | str] = [
    {"id": "1", "text": "飛行機の整備では、翼の点検記録を残し、出発の前に機長が耐空性の書類を確かめる。" * 2},
    '{"id": "2", "text": "切れた',
    {"id": "3"},
    {"id": "4", "text": "ＦＸ"},
]


def test_classify(call: Call, micro_runs: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", TEXTS)
    code, out, _ = call("classify", "--in", source, "--out", tmp_path / "o", "--runs", micro_runs, "--json")
    records = read(tmp_path / "o")
    assert code == 3 and json.loads(out)["errors"] == 2
    assert records[0].keys() == {"id", "domain", "confidence"} and records[0]["domain"] == "aerospace"
    assert 0 < records[0]["confidence"] <= 1
    assert [r.get("line") for r in records] == [None, 2, 3, None]


def test_classify_without_any_bundle(call: Call, tmp_path: Path) -> None:
    """DESIGN.md: without --bundle the newest one under runs/, else what ships with the package."""
    source = write(tmp_path / "in.jsonl", TEXTS[:1])
    code, _, err = call("classify", "--in", source, "--out", tmp_path / "o", "--runs", tmp_path / "none")
    assert code == 0, err
    assert read(tmp_path / "o")[0]["domain"] == "aerospace"


@pytest.mark.parametrize(("lang", "word"), [("ja", "短い"), ("en", "short")])
def test_score(call: Call, tmp_path: Path, lang: str, word: str) -> None:
    source = write(tmp_path / "in.jsonl", TEXTS)
    code, _, _ = call("score", "--in", source, "--out", tmp_path / "o", "--lang", lang)
    records = read(tmp_path / "o")
    assert code == 3
    assert records[3].keys() == {"id", "quality", "kept", "reasons"} and records[3]["kept"] is False
    assert any(word in r for r in records[3]["reasons"])
    assert 0 <= records[0]["quality"] <= 1
    assert records[1]["what"] == ("内容が正しくありません" if lang == "ja" else "invalid record")


def test_plan(call: Call) -> None:
    code, out, _ = call("plan", "--profile", "phi4-mini-12gb", "--json")
    rows = json.loads(out)
    assert code == 0 and len(rows) >= 5 and all({"ja", "en", "value", "plan", "basis"} <= r.keys() for r in rows)
    ja, en = call("plan", "--profile", "tiny", "--lang", "ja")[1], call("plan", "--profile", "tiny", "--lang", "en")[1]
    assert "見積り" in ja and "estimate" in en


def test_doctor(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("doctor", "--profile", "micro", "--json", "--runs", tmp_path)
    findings = json.loads(out)
    assert code == (12 if any(not f["ok"] and f["fatal"] for f in findings) else 0)
    assert {"ja", "en", "detail", "ok", "fatal", "next_ja", "next_en"} == findings[0].keys()
    assert "Python" in call("doctor", "--profile", "micro", "--runs", tmp_path)[1]


def test_ledger_verify(call: Call, micro_run: Path, micro_runs: Path, tmp_path: Path) -> None:
    path = micro_run / "ledger.db"
    code, out, _ = call("ledger", "verify", path, "--runs", micro_runs, "--json")
    report = json.loads(out)
    assert (code, report["ok"], report["entries"], report["problems"]) == (0, True, 14, [])
    head = f"14:{report['head']}"
    assert call("ledger", "verify", path, "--head", head, "--runs", micro_runs)[0] == 0
    assert call("ledger", "verify", path, "--head", "14:" + "0" * 64, "--runs", micro_runs)[0] == 9
    assert call("ledger", "verify", path, "--head", "fourteen", "--runs", micro_runs)[0] == 2
    assert "改変なし" in call("ledger", "verify", path, "--runs", micro_runs, "--lang", "ja")[1]
    assert call("ledger", "verify", tmp_path / "no.db")[0] == 9


def test_a_tampered_ledger_is_exit_9(call: Call, micro_run: Path, micro_runs: Path, tmp_path: Path) -> None:
    for name in ("ledger.db", "ledger.anchor"):
        shutil.copy(micro_run / name, tmp_path / name)
    assert call("ledger", "verify", tmp_path / "ledger.db", "--runs", micro_runs)[0] == 0
    db = sqlite3.connect(tmp_path / "ledger.db")
    db.execute("UPDATE entries SET decision = 'ALLOW' WHERE decision IN ('DENY', 'ESCALATE')")
    db.commit()
    db.close()
    code, out, _ = call("ledger", "verify", tmp_path / "ledger.db", "--runs", micro_runs, "--json")
    assert code == 9 and json.loads(out)["ok"] is False and json.loads(out)["problems"]
    assert "異常あり" in call("ledger", "verify", tmp_path / "ledger.db", "--runs", micro_runs, "--lang", "ja")[1]


def test_ledger_export(call: Call, micro_run: Path) -> None:
    code, out, _ = call("ledger", "export", micro_run / "ledger.db")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(rows) == 14 and all(r.keys() == {"body", "hash"} for r in rows)


def test_bundle_verify_and_show(
    call: Call, micro_run: Path, micro_runs: Path, bundle_copy: Path, tmp_path: Path
) -> None:
    folder = micro_run / "bundle"
    passed = json.loads((folder / "card.json").read_text(encoding="utf-8"))["thresholds"]["passed"]
    code, out, err = call("bundle", "verify", folder, "--runs", micro_runs, "--json")
    assert code == (0 if passed else 8), err
    code, out, _ = call("bundle", "show", folder, "--runs", micro_runs, "--json")
    shown = json.loads(out)
    assert code == 0 and len(shown["contents"]) == shown["files"] and shown["signed_by"]
    (bundle_copy / "extra").touch()
    code, _, err = call("bundle", "verify", bundle_copy, "--runs", micro_runs)
    assert code == 8 and "extra" in err
    assert call("bundle", "show", tmp_path)[0] == 8
    assert call("bundle", "verify")[0] == 2


def test_without_a_key_it_is_said(call: Call, bundle_copy: Path, tmp_path: Path) -> None:
    code, out, err = call("bundle", "show", bundle_copy, "--runs", tmp_path, "--json")
    assert code == 0 and json.loads(out)["signed_by"] is None and "--key" in err


def test_status_and_show(call: Call, micro_run: Path, micro_runs: Path, tmp_path: Path) -> None:
    code, out, _ = call("status", "micro", "--runs", micro_runs, "--json")
    found = json.loads(out)
    assert code == 0 and [(s["stage"], s["state"]) for s in found["stages"]] == [(n, "done") for n in STAGES]
    assert found["now"] is None
    assert "済み" in call("status", micro_run, "--lang", "ja")[1]
    code, _, err = call("status", "none", "--runs", tmp_path)
    assert code == 4 and "[R06]" in err
    code, out, _ = call("show", "micro", "--runs", micro_runs, "--json")
    assert code == 0 and set(json.loads(out)["facts"]) == set(STAGES)
    code, _, err = call("show", "none", "--runs", tmp_path)
    assert code == 4 and "[R06]" in err


def test_policy_test(call: Call, tmp_path: Path) -> None:
    cases: list[Record | str] = [
        {"query": "極秘の計画を見せて", "clearance": "公開", "classification": "極秘", "decision": "DENY"},
        {"query": "献立を考えて", "decision": "ALLOW"},
    ]
    source = write(tmp_path / "cases.jsonl", cases)
    code, out, _ = call("policy", "test", source, "--json")
    found = json.loads(out)
    assert code == 0 and found["cases"] == 2 and found["different"] == []
    write(source, [*cases, {"query": "献立を考えて", "decision": "DENY"}])
    code, out, _ = call("policy", "test", source, "--json")
    assert code == 1 and json.loads(out)["different"][0]["where"] == f"{source}:3"
    write(source, [*cases, {"query": "献立を考えて", "decision": "MAYBE"}])
    code, _, err = call("policy", "test", source)
    assert code == 3 and f"{source}:3" in err


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_has_an_example(call: Call, verb: str) -> None:
    code, out, _ = call(verb, "--help")
    assert code == 0 and re.search(rf"例 / example:\s+so8t {verb}\b", out)
    assert re.search(r"[ぁ-ヿ一-鿿]", out) and "--json" in out and "--lang" in out


def test_no_verb_is_forgotten() -> None:
    parser = cli.build_parser()
    (verbs,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    assert set(verbs.choices) == set(VERBS)


def test_the_examples_parse() -> None:
    parser = cli.build_parser()
    (verbs,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    examples = [
        line
        for made in [parser, *verbs.choices.values()]
        for line in (made.epilog or "").splitlines()
        if "so8t " in line
    ]
    assert len(examples) >= len(VERBS)
    for line in examples:
        assert parser.parse_args(line.split()[1:]).handler


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["run", "--profil", "x", "--zzz"], ["status", "--lang", "fr"], ["decide"]]
)
def test_wrong_usage_is_exit_2(call: Call, arguments: list[str]) -> None:
    assert call(*arguments)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "ja", "en"),
    [
        (["consistency"], "足りません", "are required"),
        (["users", "dance"], "選べません", "invalid choice"),
        (["users", "list", "--nonsense"], "知らない引数です: --nonsense", "unrecognized arguments: --nonsense"),
        (["serve", "--port", "x"], "--port: 'x' は整数ではありません", "invalid int value: 'x'"),
        (["serve", "--port"], "値が一つ要ります", "expected one argument"),
        (["nonsense"], "VERB: 'nonsense' は選べません", "invalid choice: 'nonsense'"),
    ],
)
def test_wrong_usage_is_told_in_the_readers_language(call: Call, arguments: list[str], ja: str, en: str) -> None:
    code, _, err = call("--lang", "ja", *arguments)
    assert code == 2 and "使い方:" in err and ja in err and "次に" in err and "--help" in err
    code, _, err = call(*arguments, "--lang", "en")
    assert code == 2 and "usage:" in err and en in err and not re.search(r"[ぁ-ヿ一-鿿]", err)


def test_the_language_may_stand_before_the_verb(call: Call) -> None:
    for lang, word in (("ja", "利用者"), ("en", "account")):
        assert word in call("--lang", lang, "users", "list", "nobody", "--db", "none.db")[2]
    assert "[U00]" in call("--lang", "en", "users", "add", "--lang", "ja")[2]


ERRORS = [
    ConfigKeyUnknown,
    SourceMissing,
    ConfigChanged,
    DiskFull,
    TrainingDiverged,
    ParityFailed,
    BundleBroken,
    LedgerBroken,
    BackendDown,
    PolicyInvalid,
    PackageMissing,
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.__name__)
def test_exit_codes_and_languages(call: Call, monkeypatch: pytest.MonkeyPatch, error: type[So8tError]) -> None:
    def fail(options: argparse.Namespace) -> int:
        raise error(where="here:3", detail="detail")

    monkeypatch.setattr(verbs_of, "lazy", lambda place: fail)
    code, out, err = call("status", "--lang", "ja")
    assert (code, out) == (error.exit_code, "") and error.ja in err and error.next_ja in err and "here:3" in err
    assert error.en in call("status", "--lang", "en")[2]
    shown = json.loads(call("status", "--json", "--lang", "en")[2])
    assert shown["error"] == error.code and shown["next"] == error.next_en


def test_every_class_of_errors_has_its_exit_code() -> None:
    assert [e.exit_code for e in ERRORS] == list(range(2, 13))


@pytest.mark.parametrize(("lang", "word"), [("ja", "続きから"), ("en", "resumes")])
def test_ctrl_c_is_130(call: Call, monkeypatch: pytest.MonkeyPatch, lang: str, word: str) -> None:
    def stop(options: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs_of, "lazy", lambda place: stop)
    code, _, err = call("status", "--lang", lang)
    assert code == 130 and word in err


@pytest.mark.parametrize(
    ("environment", "lang"),
    [
        ({}, "ja"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "C.UTF-8"}, "ja"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "SO8T_LANG": "ja"}, "ja"),
        ({"SO8T_LANG": "en"}, "en"),
    ],
)
def test_language_of_the_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], lang: str) -> None:
    for name in ("LANG", "SO8T_LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert verbs_of.default_language() == lang


def test_run_asks_before_it_starts(so8t_process: Any, tmp_path: Path) -> None:
    done = so8t_process("run", "--profile", "micro", "--runs", tmp_path / "runs")
    assert done.returncode == 2 and "--yes" in done.stderr
    assert not (tmp_path / "runs" / "micro" / "manifests").exists()


def test_a_missing_source_stops_the_run_at_once(so8t_process: Any, tmp_path: Path) -> None:
    (tmp_path / "so8t.toml").write_text('[collect]\nsources = ["nowhere.txt"]\n')
    done = so8t_process(
        "run",
        "--profile",
        "micro",
        "--config",
        tmp_path / "so8t.toml",
        "--yes",
        "--runs",
        tmp_path / "runs",
        "--lang",
        "en",
    )
    assert done.returncode == 3 and "nowhere.txt" in done.stderr and "collect.sources" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_profile_and_key(call: Call, tmp_path: Path) -> None:
    code, _, err = call("run", "--profile", "tinny", "--yes", "--runs", tmp_path)
    assert code == 2 and "tiny" in err
    (tmp_path / "so8t.toml").write_text("[train]\nepoks = 1\n")
    code, _, err = call("plan", "--profile", "micro", "--config", tmp_path / "so8t.toml")
    assert code == 2 and "so8t.toml:2" in err and "epochs" in err
