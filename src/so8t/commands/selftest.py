"""so8t selftest: run the checks on this machine or server, tell each as it ends, leave a report."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from so8t.core.errors import EnvironmentUnfit, UsageError
from so8t.core.files import read_json, write_json
from so8t.core.selftest import Result
from so8t.report.summary import table

Tell = Callable[[Result], None]
Report = dict[str, Any]
SYSTEMS = {"windows": "win32", "journald": "linux"}
NO_CARD = (
    "CUDA の使える GPU がないため、何も確かめていません。CPU で済む検査だけなら --device cpu で行えます。",
    "There is no CUDA device: nothing was tested. --device cpu makes the checks that a CPU can make.",
)
ON_CPU = (
    "CPU での結果です。GPU については何も確かめていません。",
    "This ran on a CPU: nothing was proved about a card.",
)
LEFT = ("試験用のモデルが残りました。消してください", "The temporary model is still there: remove it")
HEADS = (["検査", "結果", "秒", "数値"], ["check", "result", "s", "figures"])
WORDS = {"passed": ("合格", "passed"), "failed": ("不合格", "FAILED"), "skipped": ("対象外", "skipped")}
LONGEST_FIGURE = 60


def selftest(options: argparse.Namespace) -> int:
    """Exit code 12 on any failure, where this machine has nothing to test, and when something was left behind."""
    options.out = options.out or Path(f"selftest-{options.what}.json")
    if not options.out.resolve().parent.is_dir():
        raise UsageError(where=options.out, detail="--out")
    lang = 0 if options.lang == "ja" else 1

    def tell(result: Result) -> None:
        if not options.json:
            name = (result.ja, result.en)[lang]
            print(f"  {WORDS[result.status][lang]}  {name}  {result.seconds:.1f} s", flush=True)

    report = {"gpu": _gpu, "ollama": _ollama}.get(options.what, _event_log)(options, tell)
    write_json(options.out, report)
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        _summary(report, lang)
        print(f"{('報告', 'report')[lang]}: {options.out}")
    return EnvironmentUnfit.exit_code if report["failed"] or not report.get("removed", True) else 0


def _gpu(options: argparse.Namespace, tell: Tell) -> Report:
    """Raises EnvironmentUnfit where there is no card and --device cpu was not given."""
    from so8t.build.selftest import gpu

    try:
        device = gpu.pick_device(options.device)
    except EnvironmentUnfit:
        if not options.json:
            print(NO_CARD[0 if options.lang == "ja" else 1], file=sys.stderr)
        raise
    return gpu.selftest(device, tell, gpu.CHECKS)


def _ollama(options: argparse.Namespace, tell: Tell) -> Report:
    from so8t.commands.deploy import OLLAMA, verified
    from so8t.commands.use import bundle_folder
    from so8t.core.progress import Progress
    from so8t.judge.triple import PROMPT
    from so8t.operate.deploy.selftest import selftest as ollama

    options.bundle = bundle_folder(options)
    bundle = verified(options)
    quantisation = options.only or str(read_json(bundle.folder / PROMPT)["deploy"])
    return asyncio.run(ollama(bundle, options.address or OLLAMA, quantisation, Progress(lang=options.lang), tell))


def _event_log(options: argparse.Namespace, tell: Tell) -> Report:
    """Raises EnvironmentUnfit on a system that has no such log."""
    from so8t.commands.service import service_of
    from so8t.operate.service.systemd import SystemdService
    from so8t.operate.service.windows import WindowsService

    if SYSTEMS[options.what] != sys.platform:
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


def _summary(report: Report, lang: int) -> None:
    rows = [[c["name"], WORDS[c["status"]][lang], f"{c['seconds']:.1f}", _detail(c)] for c in report["checks"]]
    print(table(rows, HEADS[lang]))
    if "ollama" in report:
        print(f"Ollama {report['ollama']}")
    if not report.get("proves_a_card", True):
        print(ON_CPU[lang])
    if not report.get("removed", True):
        print(LEFT[lang])


def _detail(check: Report) -> str:
    return str(check["reason"]) or ", ".join(map(_figure, check["measures"]))


def _figure(measure: Report) -> str:
    value, limit = measure["value"], measure["limit"]
    shown = f"{value:.3g}" if isinstance(value, float) else " ".join(str(value).split())[:LONGEST_FIGURE]
    return f"{measure['name']} {shown}" + ("" if limit is None else f" (<= {limit:g})")
