"""so8t run and the single stages: plan shown, asked, done, budget table at the end."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys

from so8t.core.config import Config, load_config
from so8t.core.errors import UsageError
from so8t.core.launch import launched
from so8t.core.progress import Progress
from so8t.core.run import STAGES, Manifest, Run
from so8t.pipeline import Pipeline, budget_rows
from so8t.report.summary import table


def run(options: argparse.Namespace) -> int:
    """All stages up to --to."""
    config = load_config(options.profile, options.config)
    if not options.yes and not _agreed(config, options.lang):
        return 0
    pipeline = _pipeline(options)
    manifests = pipeline.start(to=options.to)
    _report(pipeline, manifests, options)
    return 0


def stage(options: argparse.Namespace) -> int:
    """One stage of a run whose earlier stages are finished."""
    if getattr(options, "action", None):
        from so8t.commands.look import bundle

        return bundle(options)
    if getattr(options, "shard", "") or getattr(options, "tasks", 0):
        from so8t.commands.shards import collect_shards, multimodal_shard

        return collect_shards(options) if options.stage == "collect" else multimodal_shard(options)
    pipeline = _pipeline(options)
    manifests = pipeline.start(only=options.stage)
    if not launched().rank:  # of several processes the first one speaks
        _report(pipeline, manifests, options)
    return 0


def _pipeline(options: argparse.Namespace) -> Pipeline:
    config = load_config(options.profile, options.config)
    run_ = Run(options.runs / (options.name or config.profile))
    run_.folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(stream=io.StringIO()) if launched().rank else Progress(run_.log, lang=options.lang)
    return Pipeline(run_, config, progress, options.accept_change, getattr(options, "from_checkpoint", None))


def _agreed(config: Config, lang: str) -> bool:
    """plan 5.2: show what is about to happen and ask. Without a terminal the answer is --yes or nothing."""
    print(f"profile {config.profile}: {' → '.join(STAGES)}")
    if not sys.stdin.isatty():
        raise UsageError(detail="no terminal to ask: pass --yes")
    answer = input("始めますか [Y/n] " if lang == "ja" else "Start [Y/n] ").strip().lower()
    return answer in ("", "y", "yes", "はい")


def _report(pipeline: Pipeline, manifests: list[Manifest], options: argparse.Namespace) -> None:
    rows = budget_rows(manifests, _setup_seconds())
    peak = max((m.peak_mb for m in manifests), default=0.0)
    if options.json:
        stages = [{"stage": n, "seconds": s, "budget": b} for n, s, b in rows]
        print(json.dumps({"run": str(pipeline.run.folder), "stages": stages, "peak_mb": peak}, ensure_ascii=False))
        return
    ja = options.lang == "ja"
    headers = ["段階", "秒", "予算", ""] if ja else ["stage", "seconds", "budget", ""]
    body = [[n, f"{s:.1f}", f"{b:.0f}", _mark(n, s, b, pipeline, ja)] for n, s, b in rows]
    body.append(["合計" if ja else "total", f"{sum(r[1] for r in rows):.1f}", f"{sum(r[2] for r in rows):.0f}", ""])
    print(table(body, headers))
    print(f"{'最大メモリ' if ja else 'peak memory'} {peak:.0f} MB")
    card = pipeline.run.bundle / "card.html"
    if card.is_file():
        print(f"{'カード' if ja else 'card'}: {card}")


def _mark(name: str, seconds: float, budget: float, pipeline: Pipeline, ja: bool) -> str:
    if name in pipeline.done_before:
        return "前回" if ja else "before"
    return ("超過" if ja else "over") if seconds > budget and pipeline.config.profile == "tiny" else ""


def _setup_seconds() -> float | None:
    """start.py tells how long set-up took in this start."""
    try:
        return float(os.environ["SO8T_SETUP_SECONDS"])
    except (KeyError, ValueError):
        return None
