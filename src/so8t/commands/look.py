"""so8t show, bundle verify|show: looking, never changing."""

from __future__ import annotations

import argparse
import json
from typing import Any

from so8t.core.errors import StageMissing, UsageError
from so8t.core.files import read_json
from so8t.pipeline import STAGE_TABLE, find_run
from so8t.report.data_report import data_report_rows
from so8t.report.summary import table


def show(options: argparse.Namespace) -> int:
    """The figures of a run in short."""
    run = find_run(options.name, options.runs)
    facts = {name: dict(m.facts) for name in STAGE_TABLE if (m := run.manifest(name)) and m.done}
    if not facts:
        raise StageMissing(where=run.folder)
    if options.json:
        print(json.dumps({"run": str(run.folder), "facts": facts}, ensure_ascii=False))
        return 0
    rows = [
        [stage, key, _short(value)]
        for stage, values in facts.items()
        for key, value in values.items()
        if isinstance(value, str | int | float)
    ]
    ja = options.lang == "ja"
    print(table(rows, ["段階", "項目", "値"] if ja else ["stage", "item", "value"]))
    report = run.stage("validate") / "report.json"
    if "validate" in facts and report.is_file():
        print(table(data_report_rows(read_json(report), options.lang), ["データ", "値"] if ja else ["data", "value"]))
        print(f"{'詳しくは' if ja else 'details'}: {report.with_suffix('.html')}")
    return 0


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"


def bundle(options: argparse.Namespace) -> int:
    """verify: everything, against a key you trust, or exit 8. show: what is in it."""
    from so8t.commands.bundle_view import show_bundle, verify_bundle

    if options.folder is None:
        raise UsageError(detail=f"so8t bundle {options.action} DIR")
    return verify_bundle(options) if options.action == "verify" else show_bundle(options)
