"""so8t selftest windows, journald: run the checks on this machine, show a table, leave a report."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from so8t.commands.service import service_of
from so8t.core.errors import EnvironmentUnfit, UsageError
from so8t.core.files import write_json
from so8t.operate.service.selftest import Result
from so8t.operate.service.systemd import SystemdService
from so8t.operate.service.windows import WindowsService
from so8t.report.summary import table

WORDS = {"passed": ("合格", "passed"), "failed": ("不合格", "FAILED"), "skipped": ("対象外", "skipped")}


def selftest(options: argparse.Namespace) -> int:
    """Exit code 12 on any failure, and on a system that has no such log."""
    ja = options.lang == "ja"
    if not options.out.resolve().parent.is_dir():
        raise UsageError(where=options.out, detail="--out")
    report = _report(options, ja)
    write_json(options.out, report)
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        heads = ["検査", "結果", "秒", "数値"] if ja else ["check", "result", "s", "figures"]
        rows = [[c["name"], _word(c["status"], ja), f"{c['seconds']:.1f}", _detail(c)] for c in report["checks"]]
        print(table(rows, heads))
        print(f"{'報告' if ja else 'report'}: {options.out}")
    return EnvironmentUnfit.exit_code if report["failed"] else 0


def _report(options: argparse.Namespace, ja: bool) -> dict[str, Any]:
    def tell(result: Result) -> None:
        if not options.json:
            print(f"  {_word(result.status, ja)}  {result.ja if ja else result.en}", flush=True)

    if {"windows": "win32", "journald": "linux"}[options.what] != sys.platform:
        raise EnvironmentUnfit(where=f"selftest {options.what}", detail=sys.platform)
    options.action, options.config, options.account = "status", None, ""
    service = service_of(options)
    if isinstance(service, SystemdService):
        from so8t.operate.service.selftest_journald import JournalBench
        from so8t.operate.service.selftest_journald import selftest as journald

        return journald(JournalBench(service), tell)
    if isinstance(service, WindowsService):
        from so8t.operate.service.selftest_windows import selftest as windows

        return windows(service, tell)
    raise EnvironmentUnfit(where=f"selftest {options.what}", detail=sys.platform)


def _word(status: str, ja: bool) -> str:
    return WORDS[status][0 if ja else 1]


def _detail(check: dict[str, Any]) -> str:
    return str(check["reason"]) or ", ".join(f"{name} {value}" for name, value in check["figures"].items())
