"""so8t status, show, plan, doctor, ledger, bundle verify|show: looking, never changing."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from so8t.core.bundle import open_bundle
from so8t.core.config import load_config
from so8t.core.errors import LedgerBroken, StageMissing, UsageError
from so8t.core.files import read_json
from so8t.core.progress import duration
from so8t.core.run import STAGES, Run
from so8t.pipeline import STAGE_TABLE, find_run
from so8t.report.data_report import data_report_rows
from so8t.report.summary import table

WATCH_SECONDS = 2.0
LEDGER_WORDS = {
    "intact": ("改変なし", "intact"),
    "unsigned": ("連鎖に矛盾なし(署名は未確認)", "chain consistent (signature not checked)"),
    "broken": ("異常あり", "BROKEN"),
}


def status(options: argparse.Namespace) -> int:
    """Every stage with its state; what runs now with its time left, read from the log."""
    run = find_run(options.name, options.runs)
    if not (run.folder / "manifests").is_dir():
        raise StageMissing(where=run.folder)
    while True:
        rows = [_stage_row(run, name) for name in STAGES]
        now = _last_progress(run)
        if options.json:
            print(json.dumps({"run": str(run.folder), "stages": rows, "now": now}, ensure_ascii=False))
        else:
            _print_status(run, rows, now, options.lang == "ja")
        if not options.watch or all(r["state"] == "done" for r in rows):
            return 0
        time.sleep(WATCH_SECONDS)


def _stage_row(run: Run, name: str) -> dict[str, Any]:
    manifest = run.manifest(name)
    if manifest is None:
        return {"stage": name, "state": "waiting", "seconds": None, "adjustments": []}
    return {
        "stage": name, "state": manifest.status, "seconds": manifest.seconds if manifest.done else None,
        "adjustments": manifest.adjustments,
    }  # fmt: skip


def _last_progress(run: Run) -> dict[str, Any] | None:
    """The newest progress record of the log, unless its stage has ended."""
    if not run.log.is_file():
        return None
    with run.log.open("rb") as f:
        f.seek(max(0, run.log.stat().st_size - 20_000))
        lines = f.read().decode("utf-8", "replace").splitlines()
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record.get("event") in ("done", "stopped"):
            return None
        if record.get("event") == "progress":
            found: dict[str, Any] = record
            return found
    return None


def _print_status(run: Run, rows: list[dict[str, Any]], now: dict[str, Any] | None, ja: bool) -> None:
    words = {"done": "済み", "running": "実行中か中断", "waiting": "これから"} if ja else {}
    print(f"{'実行' if ja else 'run'}: {run.folder}")
    body = [
        [r["stage"], words.get(r["state"], r["state"]), "" if r["seconds"] is None else f"{r['seconds']:.1f}"]
        for r in rows
    ]
    print(table(body, ["段階", "状態", "秒"] if ja else ["stage", "state", "seconds"]))
    if now is not None:
        left = duration(float(now.get("seconds_left", 0)))
        print(
            f"{now['stage']}: {now.get('done')}/{now.get('total')} {now.get('unit')}  {'残り' if ja else 'left'} {left}"
        )


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


def plan(options: argparse.Namespace) -> int:
    """Parameters, memory, steps and disk of a configuration, with the plan's figures beside."""
    from so8t.build.planner import estimate

    config = load_config(options.profile, options.config)
    rows = estimate(config)
    if options.json:
        print(json.dumps([r.to_json() for r in rows], ensure_ascii=False))
        return 0
    ja = options.lang == "ja"
    headers = ["項目", "見積り", "計画書の値", "根拠"] if ja else ["item", "estimate", "the plan says", "from"]
    print(table([[r.ja if ja else r.en, r.value, r.plan, r.basis] for r in rows], headers))
    return 0


def doctor(options: argparse.Namespace) -> int:
    """What will not work, before it does not. Exit code 12 when something needed is missing."""
    from so8t.doctor import examine

    config = load_config(options.profile, options.config)
    findings = examine(config, options.runs)
    if options.json:
        print(json.dumps([f.to_json() for f in findings], ensure_ascii=False))
    else:
        ja = options.lang == "ja"
        print(
            table(
                [[f.mark, f.ja if ja else f.en, f.detail] for f in findings],
                ["", "項目" if ja else "item", "詳細" if ja else "detail"],
            )
        )
    return 12 if any(f.fatal and not f.ok for f in findings) else 0


def bundle(options: argparse.Namespace) -> int:
    """verify: listing, hashes, signature against a key you trust, proof. show: what is in it."""
    from so8t.commands.use import trusted_key

    if options.folder is None:
        raise UsageError(detail=f"so8t bundle {options.action} DIR")
    found = open_bundle(options.folder, trusted_key(options))
    if options.action == "verify":
        found.require_proof()
    facts = {
        "bundle": str(found.folder),
        "files": len(found.listing["files"]),
        "payload_digest": found.payload_digest,
        "policy_digest": found.listing.get("policy_digest"),
        "signed_by": found.signed_by,
        "created": found.listing.get("created"),
    }
    if options.action == "show":
        facts["thresholds"] = found.card.get("thresholds")
        facts["contents"] = found.listing["files"]
    print(json.dumps(facts, ensure_ascii=False, indent=None if options.json else 1))
    return 0


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
