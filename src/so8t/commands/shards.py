"""so8t collect --shard I/N and --tasks N: a part of the collect stage, for several processes or machines (SPEC T7)."""

from __future__ import annotations

import argparse
import json
import re

from so8t.core.config import load_config
from so8t.core.errors import UsageError
from so8t.core.progress import Progress
from so8t.core.run import Run


def collect_shards(options: argparse.Namespace) -> int:
    """Leaves finished units in the run's work folder; `so8t collect` then puts them together."""
    from so8t.build.data.scale import CollectShard, run_local
    from so8t.build.steps import written_requests

    config = load_config(options.profile, options.config)
    run = Run(options.runs / (options.name or config.profile))
    step = CollectShard(config.collect, tuple(written_requests(config)), run.work("collect"))
    if options.tasks:
        run_local(step, options.tasks, config.threads)
        done: list[int] = []
    else:
        shard, of = _shard(options.shard)
        done = step.run(shard, of, Progress(run.log, lang=options.lang))
    facts = {"run": str(run.folder), "shard": options.shard or f"*/{options.tasks}", "units": done}
    ja = options.lang == "ja"
    print(json.dumps(facts) if options.json else f"{'単位' if ja else 'units'}: {done or options.tasks}")
    return 0


def _shard(text: str) -> tuple[int, int]:
    """(i, n) of "i/n", counted from 0. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None or not 0 <= int(match[1]) < int(match[2]):
        raise UsageError(detail=f"--shard {text}: 0/4 … 3/4")
    return int(match[1]), int(match[2])
