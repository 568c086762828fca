"""Every starter rule finds what it is for and leaves alone what looks like it; a broken rule harms no other."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from yara_samples import BAD, GOOD, zipped

from so8t.core.errors import ConfigValueInvalid
from so8t.core.packaged import packaged
from so8t.operate.monitor import rules as rules_module
from so8t.operate.monitor.finding import Finding, Severity
from so8t.operate.monitor.rules import Rules
from so8t.operate.monitor.scan import scan_file

LONGEST = 1 << 20


@pytest.fixture(scope="module")
def rules() -> Rules:
    return Rules()


def fitting(findings: list[Finding]) -> set[str]:
    return {str(rule).split(":")[1] for finding in findings for rule in finding.facts.get("rules", ())}  # type: ignore[union-attr]


def searched(rules: Rules, folder: Path, name: str, content: bytes) -> set[str]:
    path = folder / name
    path.write_bytes(content)
    return fitting(scan_file(path, rules, LONGEST).findings)


def test_all_of_them_compile_and_have_words(rules: Rules) -> None:
    assert rules.broken == [] and rules.count == len(BAD) == len(GOOD) and BAD.keys() == GOOD.keys()


@pytest.mark.parametrize("rule", BAD)
def test_what_a_rule_must_find(rules: Rules, tmp_path: Path, rule: str) -> None:
    for name, content in BAD[rule]:
        path = tmp_path / name
        path.write_bytes(content)
        findings = [f for f in scan_file(path, rules, LONGEST).findings if f.kind == "file_rule"]
        assert rule in fitting(findings), name
        assert all(f.facts["ja"] and f.facts["en"] and f.severity in Severity for f in findings)


@pytest.mark.parametrize("rule", GOOD)
def test_what_a_rule_must_leave_alone(rules: Rules, tmp_path: Path, rule: str) -> None:
    for name, content in GOOD[rule]:
        assert rule not in searched(rules, tmp_path, name, content), name


def test_our_own_files_are_in_order(rules: Rules) -> None:
    """The rules do not find themselves, nor what ships with them."""
    files = [p for p in packaged("yara").parents[1].rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    found = {p.name: rules_of for p in files if (rules_of := fitting(scan_file(p, rules, LONGEST).findings))}
    assert len(files) > 500 and found == {}


def test_own_rules_join_the_starters(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "own.yara").write_text(
        'rule own { meta: description = "ours" strings: $a = "合図の言葉" condition: $a and filename == "a.txt" '
        'and extension == ".txt" and filepath contains "share" }',
        encoding="utf-8",
    )
    made = Rules(tmp_path)
    assert made.broken == []
    (match,) = made.scan("合図の言葉".encode(), "/Share/A.TXT")
    assert (match.rule, match.severity, match.ja, match.en) == (
        "own/sub/own.yara:own",
        Severity.WARNING,
        "ours",
        "ours",
    )
    assert made.scan("合図の言葉".encode(), "/share/b.txt") == []


@pytest.mark.parametrize(
    "source",
    [
        b"rule broken { condition: nothing }", b"rule x {", b"\xff\xfe", b'include "/etc/passwd"',
        b"rule big { condition: true } //" + b"x" * rules_module.MOST_BYTES,
    ],
    ids=["unknown name", "cut off", "not text", "include", "too large"],
)  # fmt: skip
def test_a_broken_file_is_told_of_and_the_rest_works(tmp_path: Path, source: bytes) -> None:
    (tmp_path / "a.yar").write_bytes(source)
    (tmp_path / "b.yar").write_text("rule good { condition: true }")
    made = Rules(tmp_path)
    (finding,) = made.broken
    assert finding.kind == "rules_broken" and finding.subject == "own/a.yar" and finding.severity is Severity.WARNING
    assert [m.rule for m in made.scan(b"x", "x")] == ["own/b.yar:good"]
    assert len(made.scan(BAD["miner_pool_address"][0][1], "x")) == 2


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigValueInvalid, match=r"serve\.monitor\.rules"):
        Rules(tmp_path / "nowhere")


def test_a_rule_that_takes_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_module, "SECONDS", 1)
    (tmp_path / "slow.yar").write_text(
        "rule slow { condition: for all i in (0..filesize) : (for all k in (0..filesize - 1) : (uint8(k) + i >= 0)) }"
    )
    made, path = Rules(tmp_path), tmp_path / "a.bin"
    path.write_bytes(bytes(300_000))
    scan = scan_file(path, made, LONGEST)
    assert scan.unread == "> 1 s" and [f.kind for f in scan.findings] == ["file_unread"]


def test_a_member_of_an_archive_is_named(rules: Rules, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"deep/run.sh": BAD["miner_pool_address"][0][1]}))
    (finding,) = scan_file(path, rules, LONGEST).findings
    assert finding.subject.endswith("a.zip > deep/run.sh") and finding.severity is Severity.CRITICAL


def test_several_threads_search_at_once(rules: Rules) -> None:
    bad, good = BAD["miner_pool_address"][0][1], b"harmless"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: len(rules.scan(bad if n % 2 else good, "x")), range(200)))
    assert found == [n % 2 for n in range(200)]


WRITE_XOR_EXECUTE = """
import ctypes, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, Linux 6.3
    sys.exit(77)
from so8t.core.errors import ConfigValueInvalid
from so8t.operate.monitor.rules import Rules
try:
    Rules()
except ConfigValueInvalid as error:
    print(error.detail)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a rule of Linux")
def test_a_system_that_lets_nobody_compile_is_told_in_words(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE_XOR_EXECUTE], env=environment, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode == 77:
        pytest.skip("this kernel has no such rule")
    assert done.returncode == 0 and "MemoryDenyWriteExecute" in done.stdout


class PanicException(BaseException):
    """As PyO3 raises it: a fault of Rust is no Exception."""


PanicException.__module__ = "pyo3_runtime"


@pytest.mark.parametrize(("fault", "caught"), [(PanicException, True), (KeyboardInterrupt, False)])
def test_a_fault_inside_the_scanner_is_one_files_fault(
    tmp_path: Path, fault: type[BaseException], caught: bool
) -> None:
    class Scanner:
        def set_global(self, *_: object) -> None:
            pass

        def scan(self, data: bytes) -> None:
            raise fault

    made, path = Rules(), tmp_path / "a.txt"
    path.write_bytes(b"x")
    made._of_thread.scanner = Scanner()
    if not caught:
        with pytest.raises(fault):
            scan_file(path, made, LONGEST)
        return
    assert scan_file(path, made, LONGEST).unread == "ValueError"
    assert scan_file(path, made, LONGEST).findings == []  # with a new scanner
