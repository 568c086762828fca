"""so8t show, ledger, bundle verify|show: looking, never changing."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from so8t.core.errors import LedgerBroken, StageMissing, UsageError
from so8t.core.files import read_json
from so8t.pipeline import STAGE_TABLE, find_run
from so8t.report.data_report import data_report_rows
from so8t.report.summary import table

LEDGER_WORDS = {
    "intact": ("改変なし", "intact"),
    "unsigned": ("連鎖に矛盾なし(署名は未確認)", "chain consistent (signature not checked)"),
    "broken": ("異常あり", "BROKEN"),
}


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


def ledger(options: argparse.Namespace) -> int:
    """verify: exit 9 for anything edited, inserted, reordered, cut off, rolled back or not anchored."""
    from so8t.core import signing
    from so8t.core.ledger_read import export
    from so8t.core.ledger_verify import verify

    if options.action == "export":
        export(options.path, sys.stdout)
        return 0
    own = options.runs / "keys" / "ledger.key.pub"  # never a key that lies beside the ledger: it proves nothing
    key_file: Path | None = options.key or (own if own.is_file() else None)
    key = signing.load_public(key_file) if key_file else None
    if key is None:
        print("錨の署名は確かめていません(--key) / the anchor's signature is not checked (--key)", file=sys.stderr)
    expected = _head(options.head) if options.head else None
    report = verify(options.path, public_key=key, expected=expected)
    if options.json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        for problem in report.problems:
            print(f"seq {problem.seq}: {problem.ja if options.lang == 'ja' else problem.en}")
        state = "broken" if not report.ok else "intact" if key is not None else "unsigned"
        ja, en = LEDGER_WORDS[state]
        count = (
            f"{report.entries} 件、最新 {report.head}"
            if options.lang == "ja"
            else f"{report.entries} entries, head {report.head}"
        )
        print(f"{ja if options.lang == 'ja' else en}: {count}")
    return 0 if report.ok else LedgerBroken.exit_code


def _head(text: str) -> tuple[int, str]:
    seq, _, head = text.partition(":")
    if not seq.isdigit() or not head:
        raise UsageError(detail="--head SEQ:HEX")
    return int(seq), head
