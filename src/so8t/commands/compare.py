"""so8t compare: does an idea of the plan help? Finished trainings in pairs, or made for it (plan 9.3)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so8t.commands.compared_runs import Cell, Study, Wanted, finished, make_cells, measure_all
from so8t.core.config import load_config
from so8t.core.errors import UsageError
from so8t.core.files import write_json, write_text
from so8t.core.progress import Progress
from so8t.pipeline import TRAINING, TRAINING_DATA, find_run
from so8t.prove.ablation.compare import compare as compare_pairs
from so8t.prove.ablation.compare import run_row
from so8t.prove.ablation.factors import IDEAS, factor_of
from so8t.prove.ablation.pairs import Trained, differing, pair, settings_of
from so8t.report.compare import comparison_report
from so8t.report.compare_words import comparison_text

MOST_SEEDS, MOST_RUNS = 50, 400
MAY_BE_ZERO = ("window", "requests")  # 0 = as long as the trainings ask for, all of them
# What only the stage train depends on: with anything else data and base would have to be made again.
ALLOWED = frozenset(TRAINING) - frozenset(TRAINING_DATA)


def compare(options: argparse.Namespace) -> int:
    """Form (a) with names of runs, form (b) with --vary alone; both end in a table, JSON and a page."""
    options.names = list(dict.fromkeys(options.names))
    _check(options)
    if options.names:
        return _finished(options)
    return _made(options)


def _check(options: argparse.Namespace) -> None:
    """Raises UsageError for what neither form understands."""
    if len(options.names) == 1:
        raise UsageError(detail="so8t compare RUN RUN ...")
    if not options.names and not options.vary:
        raise UsageError(detail=f"so8t compare RUN RUN ... | --vary {' | '.join(IDEAS)} | --vary train.KEY=a,b")
    if not 1 <= options.seeds <= MOST_SEEDS or len(options.names) > MOST_RUNS:
        raise UsageError(detail=f"--seeds 1–{MOST_SEEDS}, RUN ≤ {MOST_RUNS}")
    for name, low in (("window", 16), ("windows", 1), ("requests", 3), ("draws", 100)):
        given = getattr(options, name)
        if (given or name not in MAY_BE_ZERO) and not low <= given <= 1_000_000:
            raise UsageError(detail=f"--{name} {given}: ≥ {low}")


def _finished(options: argparse.Namespace) -> int:
    """Runs that are there already; nothing is written into them."""
    cells = [Cell(str(n), find_run(str(n), options.runs)) for n in options.names]
    trained = [_trained(cell) for cell in cells]
    factor = IDEAS.get(options.vary, options.vary).partition("=")[0]
    pairing = None if options.unpaired else pair(trained, factor)  # refused before anything is measured
    folder = options.out or options.runs / f"compare-{_stem(cells[0].name)}-{_stem(cells[1].name)}"
    study = _study(folder, 2, options)
    found = measure_all(study, cells)
    if pairing is None:
        result: dict[str, Any] = {
            "factor": "", "differing": differing(trained), "runs": [run_row(n, m) for n, m in found.items()],
        }  # fmt: skip
    else:
        result = compare_pairs(pairing, found, options.draws)
    return _report(result, study, "compare", options)


def _made(options: argparse.Namespace) -> int:
    """Every value of the factor with every seed, on the same data and base."""
    config = load_config(options.profile, options.config)
    factor = factor_of(options.vary, ALLOWED)
    folder = options.out or options.runs / f"compare-{config.profile}"
    study = _study(folder, config.threads, options)
    source = find_run(str(options.shared), options.runs).folder if options.shared else None
    cells, diverged = make_cells(study, config, factor, options.seeds, source)
    pairing = pair([_trained(cell) for cell in cells], factor.key)
    result = compare_pairs(pairing, measure_all(study, cells), options.draws)
    named = next((name for name, text in IDEAS.items() if text.partition("=")[0] == factor.key), factor.key)
    return _report(result | {"diverged": diverged}, study, f"compare-{named}", options)


def _study(folder: Path, threads: int, options: argparse.Namespace) -> Study:
    folder.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(options.window, options.windows, options.requests, threads)
    return Study(folder, Progress(folder / "log.jsonl", lang=options.lang), wanted, options.accept_change)


def _trained(cell: Cell) -> Trained:
    return Trained(cell.name, settings_of(finished(cell)))


def _stem(name: str) -> str:
    return Path(name).name or "run"


def _report(result: Mapping[str, Any], study: Study, name: str, options: argparse.Namespace) -> int:
    page, record = study.folder / f"{name}.html", study.folder / f"{name}.json"
    write_json(record, result)
    write_text(page, comparison_report(result, options.lang))
    if options.json:
        print(json.dumps({**result, "page": str(page), "record": str(record)}, ensure_ascii=False))
        return 0
    print(comparison_text(result, options.lang))
    print(f"{'報告' if options.lang == 'ja' else 'report'}: {page}")
    return 0
