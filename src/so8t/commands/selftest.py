"""so8t selftest gpu: run the checks, show a table, leave a report. The others have their own (selftest_*.py)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t.core.errors import EnvironmentUnfit, UsageError
from so8t.core.files import write_json
from so8t.report.summary import table

if TYPE_CHECKING:
    from so8t.build.selftest.check import Result

NO_CARD = (
    "CUDA の使える GPU がないため、何も確かめていません。CPU で済む検査だけなら --device cpu で行えます。",
    "There is no CUDA device: nothing was tested. --device cpu makes the checks that a CPU can make.",
)
WORDS = {"passed": ("合格", "passed"), "failed": ("不合格", "FAILED"), "skipped": ("対象外", "skipped")}


def selftest(options: argparse.Namespace) -> int:
    """Exit code 12 on any failure."""
    options.out = options.out or Path(f"selftest-{options.what}.json")
    if options.what == "ollama":
        from so8t.commands.selftest_ollama import selftest as ollama

        return ollama(options)
    if options.what in ("windows", "journald"):
        from so8t.commands.selftest_service import selftest as event_log

        return event_log(options)
    return _gpu(options)


def _gpu(options: argparse.Namespace) -> int:
    """Exit code 12 also where there is no card and --device cpu was not given."""
    from so8t.build.selftest import gpu

    ja = options.lang == "ja"
    if not options.out.resolve().parent.is_dir():
        raise UsageError(where=options.out, detail="--out")
    try:
        device = gpu.pick_device(options.device)
    except EnvironmentUnfit:
        if not options.json:
            print(NO_CARD[0 if ja else 1], file=sys.stderr)
        raise
    report = gpu.selftest(device, lambda result: None if options.json else _tell(result, ja), gpu.CHECKS)
    write_json(options.out, report)
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        _summary(report, options, ja)
    return EnvironmentUnfit.exit_code if report["failed"] else 0


def _tell(result: Result, ja: bool) -> None:
    word = WORDS[result.status][0 if ja else 1]
    name = result.check.ja if ja else result.check.en
    print(f"  {word}  {name}  {result.seconds:.1f} s", flush=True)


def _summary(report: dict[str, Any], options: argparse.Namespace, ja: bool) -> None:
    rows = [
        [c["name"], WORDS[c["status"]][0 if ja else 1], f"{c['seconds']:.1f}", _detail(c)] for c in report["checks"]
    ]
    print(table(rows, ["検査", "結果", "秒", "数値"] if ja else ["check", "result", "s", "figures"]))
    if not report["proves_a_card"]:
        print(
            "CPU での結果です。GPU については何も確かめていません。"
            if ja
            else "This ran on a CPU: nothing was proved about a card."
        )
    print(f"{'報告' if ja else 'report'}: {options.out}")


def _detail(check: dict[str, Any]) -> str:
    if check["reason"]:
        return str(check["reason"])
    figures = []
    for m in check["measures"]:
        value = m["value"] if isinstance(m["value"], str) else f"{m['value']:.3g}"
        figures.append(f"{m['name']} {value}" + ("" if m["limit"] is None else f" (<= {m['limit']:g})"))
    return ", ".join(figures)
