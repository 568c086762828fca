"""so8t plan, doctor: what it will take, and what will not work, before anything is started."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from so8t.core.config import Config, load_config
from so8t.core.errors import EnvironmentUnfit, So8tError
from so8t.doctor.card import find_cards
from so8t.doctor.examine import examine
from so8t.report.summary import table

if TYPE_CHECKING:
    from so8t.build.plan.numerics import Device
    from so8t.build.plan.row import Row
    from so8t.build.plan.timing import Timing

UNFIT = EnvironmentUnfit.exit_code


def plan(options: argparse.Namespace) -> int:
    """Parameters, memory, time, disk and money of a configuration, with the plan document's figures beside."""
    from so8t.build.planner import estimate

    config = load_config(options.profile, options.config)
    device = chosen_device(options.device)
    timing, why = measure(config, device) if options.probe else (None, None)
    rows = estimate(config, device, timing)
    if options.json:
        print(json.dumps([r.to_json() for r in rows], ensure_ascii=False))
    else:
        print(render(rows, options.lang))
    if why is not None:  # the rest of the plan stands
        print(
            "時間は測れませんでした。" if options.lang == "ja" else "The time could not be measured.", file=sys.stderr
        )
        print(why.render(options.lang), file=sys.stderr)
    return 0


def chosen_device(wanted: str) -> Device:
    """As asked; else the card if the driver shows one."""
    if wanted:
        return "cuda" if wanted == "cuda" else "cpu"
    return "cuda" if find_cards().cards else "cpu"


def measure(config: Config, device: Device) -> tuple[Timing | None, So8tError | None]:
    """The measured timing, or the reason why there is none."""
    from so8t.build.plan.probe import probe_here

    try:
        return probe_here(config, device), None
    except So8tError as error:
        return None, error


def render(rows: list[Row], lang: str) -> str:
    """One table a topic."""
    from so8t.build.plan.row import TOPICS

    headers = (
        ["項目", "見積り", "計画書の値", "根拠"] if lang == "ja" else ["item", "estimate", "the plan says", "from"]
    )
    parts = []
    for topic, names in TOPICS.items():
        found = [r.cells(lang) for r in rows if r.topic == topic]
        if found:
            parts.append(f"■ {names[0] if lang == 'ja' else names[1]}\n{table(found, headers)}")
    return "\n\n".join(parts)


def doctor(options: argparse.Namespace) -> int:
    """What will not work, before it does not. Exit code 12 when something needed is missing."""
    config = load_config(options.profile, options.config)
    findings = examine(config, Path(options.runs))
    ja = options.lang == "ja"
    if options.json:
        print(json.dumps([f.to_json() for f in findings], ensure_ascii=False))
    else:
        headers = ["", "項目", "詳細"] if ja else ["", "item", "detail"]
        print(table([[f.mark, f.ja if ja else f.en, f.detail] for f in findings], headers))
        for f in findings:
            if not f.ok and f.advice(options.lang):
                print(f"{f.mark} {f.ja if ja else f.en}: {f.advice(options.lang)}")
    return UNFIT if any(f.fatal and not f.ok for f in findings) else 0
