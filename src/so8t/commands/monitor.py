"""so8t monitor: look at this machine without a server, once (for cron) or until Ctrl-C; take its state as baseline."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import psutil

from so8t.core.config import load_config
from so8t.core.errors import EnvironmentUnfit, FindingCritical
from so8t.operate.monitor.alarm import Alarm, Notice
from so8t.operate.monitor.finding import Finding, Severity
from so8t.operate.monitor.office import outside_watch
from so8t.operate.monitor.watch import FILES_SECONDS, Watch


def monitor(options: argparse.Namespace) -> int:
    """0, or the exit code of FindingCritical where --once found something critical. Writes no ledger.

    Raises ConfigValueInvalid, EnvironmentUnfit, FindingCritical.
    """
    config = load_config(options.profile, options.config).serve
    watch = outside_watch(config, lambda: config.upstream.addresses)
    if options.accept:
        return _accept(options, watch)
    try:
        return _once(options, watch) if options.once else _on(options, watch)
    except KeyboardInterrupt:
        return 0
    finally:
        if watch.files is not None:
            watch.files.stop()


def _accept(options: argparse.Namespace, watch: Watch) -> int:
    try:
        made = watch.reference.take(watch.system, watch.own_port)
    except psutil.Error as error:
        raise EnvironmentUnfit(detail=type(error).__name__) from error
    told = {"baseline": str(watch.reference.path), "digest": made.digest, "files": len(made.package),
            "listeners": list(made.listeners), "media": list(made.media)}  # fmt: skip
    if options.json:
        print(json.dumps(told, ensure_ascii=False))
        return 0
    ja = options.lang == "ja"
    print(f"{'基準を取りました' if ja else 'baseline taken'}: {watch.reference.path} ({made.digest[:16]})")
    print(f"  {'ファイル' if ja else 'files'} {len(made.package)}")
    for name in made.listeners:
        print(f"  {'待ち受け' if ja else 'listens'} {name}")
    for name in made.media:
        print(f"  {'機器' if ja else 'device'} {name}")
    return 0


def _once(options: argparse.Namespace, watch: Watch) -> int:
    found = watch.look(time.monotonic())
    if watch.files is not None:
        found += watch.files.look()
        while watch.files.busy:
            found += watch.files.look()
    found = sorted({f.key: f for f in found}.values(), key=lambda f: (-f.severity, f.kind, f.subject))
    if options.json:
        print(json.dumps({"findings": [f.to_json() for f in found], **_state(watch)}, ensure_ascii=False))
    else:
        for finding in found:
            print(_words(finding, options.lang))
        print(_ending(watch, found, options.lang == "ja"))
    critical = sum(f.severity is Severity.CRITICAL for f in found)
    if critical:
        raise FindingCritical(detail=str(critical))
    return 0


def _on(options: argparse.Namespace, watch: Watch) -> int:
    """Tell what is new, until Ctrl-C. Each finding once, then its repetitions now and then."""
    alarm = Alarm(watch.config.again_minutes * 60)
    if watch.files is not None:
        watch.files.start()
    if not options.json:
        print(_ending(watch, None, options.lang == "ja"), file=sys.stderr)
    while True:
        found = watch.look(time.monotonic())
        if watch.files is not None:
            found += watch.files.look()
        for notice in alarm.take(found, time.monotonic()):
            _tell(options, notice)
        pause = min(turn.due for turn in watch.turns) - time.monotonic()
        time.sleep(max(0.5, min(pause, FILES_SECONDS) if watch.files is not None else pause))


def _tell(options: argparse.Namespace, notice: Notice) -> None:
    if options.json:
        print(json.dumps(notice.body(), ensure_ascii=False), flush=True)
    elif notice.event == "found":
        print(f"{time.strftime('%H:%M:%S')} {_words(notice.finding, options.lang)}", flush=True)
    else:
        print(f"{time.strftime('%H:%M:%S')} {notice.finding.line(options.lang)} x {notice.count}", flush=True)


def _words(finding: Finding, lang: str) -> str:
    arrow = "次に" if lang == "ja" else "next"
    return f"{finding.line(lang)}\n    {arrow}: {finding.meaning.next.only(lang)}"


def _state(watch: Watch) -> dict[str, Any]:
    """What was looked at, and what could not be."""
    reference = watch.reference
    return {
        "watched": [turn.name for turn in watch.turns] + (["files"] if watch.files else []),
        "baseline": reference.baseline.taken if reference.baseline else None,
        "unseen_programs": watch.programs.unseen if watch.programs else None,
        "unknown": list(watch.unknown),
        "files_searched": watch.files.searched if watch.files else None,
        "rules": watch.files.rules.count if watch.files else None,
    }


def _ending(watch: Watch, found: list[Finding] | None, ja: bool) -> str:
    state = _state(watch)
    if found is None:
        lines = ["見張っています(Ctrl-C で止まります)" if ja else "watching (Ctrl-C stops it)"]
    else:
        lines = [f"所見 {len(found)} 件" if ja else f"{len(found)} findings"]
    if found is not None and state["baseline"] is None:
        lines.append(
            "  基準がないので、待ち受け、機器、so8t のファイルは比べていません: so8t monitor --accept"
            if ja
            else "  no baseline, so listeners, devices and so8t's files are not compared: so8t monitor --accept"
        )
    if state["unseen_programs"]:
        number = state["unseen_programs"]
        lines.append(
            f"  権限がなく見えないプログラム {number}" if ja else f"  {number} programs not shown without more rights"
        )
    if state["unknown"]:
        lines.append(
            ("  この OS では分からないもの: " if ja else "  not told by this system: ") + ", ".join(watch.unknown)
        )
    if state["files_searched"] is not None and found is not None:
        number, rules = state["files_searched"], state["rules"]
        lines.append(f"  調べたファイル {number}、規則 {rules}" if ja else f"  {number} files searched, {rules} rules")
    return "\n".join(lines)
