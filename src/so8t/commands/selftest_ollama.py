"""so8t selftest ollama: run the checks against a real Ollama, show a table, leave a report."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from so8t.commands.deploy import OLLAMA, verified
from so8t.commands.use import bundle_folder
from so8t.core.errors import EnvironmentUnfit, UsageError
from so8t.core.files import read_json, write_json
from so8t.core.progress import Progress
from so8t.judge.triple import PROMPT
from so8t.operate.deploy import selftest as checks
from so8t.report.summary import table

WORDS = {"passed": ("合格", "passed"), "failed": ("不合格", "FAILED"), "skipped": ("対象外", "skipped")}


def selftest(options: argparse.Namespace) -> int:
    """Exit code 12 on any failure, also when the temporary model could not be removed."""
    ja = options.lang == "ja"
    if not options.out.resolve().parent.is_dir():
        raise UsageError(where=options.out, detail="--out")
    options.bundle = bundle_folder(options)
    bundle = verified(options)
    quantisation = options.only or str(read_json(bundle.folder / PROMPT)["deploy"])

    def tell(result: checks.Result) -> None:
        if not options.json:
            name = result.check.ja if ja else result.check.en
            print(f"  {WORDS[result.status][0 if ja else 1]}  {name}  {result.seconds:.1f} s", flush=True)

    work = checks.selftest(bundle, options.address or OLLAMA, quantisation, Progress(lang=options.lang), tell)
    report = asyncio.run(work)
    write_json(options.out, report)
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        _summary(report, options, ja)
    return EnvironmentUnfit.exit_code if report["failed"] or not report["removed"] else 0


def _summary(report: dict[str, Any], options: argparse.Namespace, ja: bool) -> None:
    rows = [
        [c["name"], WORDS[c["status"]][0 if ja else 1], f"{c['seconds']:.1f}", _detail(c)] for c in report["checks"]
    ]
    print(table(rows, ["検査", "結果", "秒", "数値"] if ja else ["check", "result", "s", "figures"]))
    print(f"Ollama {report['ollama']}")
    if not report["removed"]:
        print("試験用のモデルが残りました。消してください" if ja else "The temporary model is still there: remove it")
    print(f"{'報告' if ja else 'report'}: {options.out}")


def _detail(check: dict[str, Any]) -> str:
    if check["reason"]:
        return str(check["reason"])
    figures = ((k, f"{v:.3g}" if isinstance(v, float) else str(v)) for k, v in check["figures"].items())
    return ", ".join(f"{name} {' '.join(value.split())[:60]}" for name, value in figures)
