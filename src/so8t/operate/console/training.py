"""学習: how a training goes, live (plan 5.2), from the logs below runs/; with the figures of the training report."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.responses import Response

from so8t.core.errors import So8tError
from so8t.core.progress import duration
from so8t.core.run import Run
from so8t.operate.console.visit import Visit
from so8t.report.figures import number
from so8t.report.training_figures import Training, statements
from so8t.report.training_log import ordered_steps, read_tail
from so8t.report.training_sections import training_sections

SECONDS = 5
LIVE = 120.0  # seconds since the last step within which a training counts as going on
MAX_RUNS = 50
HISTORY_TAIL, EVENT_TAIL, LOG_TAIL = 8 << 20, 1 << 20, 64 << 10  # bytes: of a longer log the end is shown
HISTORY = "history.jsonl"


@dataclass(frozen=True, slots=True)
class Found:
    """A run with a training. `changed`: Unix seconds of its last step; `live`: steps still come."""

    run: Run
    log: Path
    changed: float
    live: bool

    @property
    def name(self) -> str:
        return self.run.folder.name


async def show(visit: Visit) -> Response:
    """?run=NAME, else the one with the newest step; ?still=1 stays as it is."""
    name, still = visit.asked("run", 255), visit.asked("still", 1) == "1"
    runs = await asyncio.to_thread(trainings, visit.console.runs, time.time())
    chosen = next((run for run in runs if run.name == name), runs[0] if runs else None)
    told: dict[str, Any] = {"sections": [], "statements": [], "progress": None, "cut": False}
    if chosen is not None:
        told = await asyncio.to_thread(_told, chosen, visit.lang)
    refresh = SECONDS if chosen is not None and chosen.live and not still else 0
    return visit.page("training", "training", runs=runs, chosen=chosen, refresh=refresh, still=still, **told)


def trainings(runs: Path, now: float) -> list[Found]:
    """Runs that have logged a step, the newest step first."""
    found = []
    for folder in sorted(runs.iterdir())[:1000] if runs.is_dir() else ():
        run = Run(folder)
        if (log := _log(run)) is not None:
            changed = log.stat().st_mtime
            found.append(Found(run, log, changed, now - changed < LIVE))
    return sorted(found, key=lambda run: -run.changed)[:MAX_RUNS]


def _log(run: Run) -> Path | None:
    """Beside the checkpoints while it runs, with the outputs once it is done."""
    places = (run.folder / "work" / "train" / HISTORY, run.stage("train") / HISTORY)
    there = [path for path in places if path.is_file()]
    return max(there, key=lambda path: path.stat().st_mtime, default=None)


def _told(found: Found, lang: str) -> dict[str, Any]:
    rows = ordered_steps(read_tail(found.log, HISTORY_TAIL))
    events = read_tail(found.log.with_name("events.jsonl"), EVENT_TAIL)
    known = Training(rows, events, _facts(found.run))
    return {
        "sections": training_sections(known, lang), "statements": statements(known),
        "progress": _progress(found.run) if found.live else None, "cut": found.log.stat().st_size > HISTORY_TAIL,
    }  # fmt: skip


def _facts(run: Run) -> dict[str, Any]:
    try:
        manifest = run.manifest("train")
    except (So8tError, OSError, ValueError, TypeError):  # half-written or of another version
        return {}
    return dict(manifest.facts) if manifest is not None else {}


def _progress(run: Run) -> dict[str, Any] | None:
    """Done, total and time left, as the newest record of the run's log tells them."""
    told = [r for r in read_tail(run.log, LOG_TAIL) if r.get("event") == "progress" and r.get("stage") == "train"]
    done, total = (number(told[-1].get(key)) for key in ("done", "total")) if told else (None, None)
    if done is None or not total:
        return None
    left = number(told[-1].get("seconds_left"))
    return {"done": round(done), "total": round(total), "left": duration(left) if left is not None else None}
