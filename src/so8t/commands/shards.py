"""so8t collect|multimodal --shard I/N, collect --tasks N: a part of a stage, for several machines (SPEC T7)."""

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
    shard, of = _shard(options.shard) if not options.tasks else (0, 1)
    from so8t.build.data.scale import CollectShard, run_local
    from so8t.build.steps import written_requests

    config = load_config(options.profile, options.config)
    run = Run(options.runs / (options.name or config.profile))
    step = CollectShard(config.collect, tuple(written_requests(config)), run.work("collect"))
    if options.tasks:
        run_local(step, options.tasks, config.threads)
        done: list[int] = []
    else:
        done = step.run(shard, of, Progress(run.log, lang=options.lang))
    facts = {"run": str(run.folder), "shard": options.shard or f"*/{options.tasks}", "units": done}
    ja = options.lang == "ja"
    print(json.dumps(facts) if options.json else f"{'単位' if ja else 'units'}: {done or options.tasks}")
    return 0


def multimodal_shard(options: argparse.Namespace) -> int:
    """Leaves finished pages in the run's work folder; `so8t multimodal` then puts them together."""
    shard, of = _shard(options.shard)
    from so8t.build.data.multimodal.stage import make_shard
    from so8t.build.steps import policy_of

    config = load_config(options.profile, options.config)
    run = Run(options.runs / (options.name or config.profile))
    wanted, progress = config.multimodal, Progress(run.log, lang=options.lang)
    made = make_shard(
        run.work("multimodal"), wanted.samples_per_domain, wanted.seed, policy_of(config).state(), progress,
        config.threads, shard, of,
    )  # fmt: skip
    facts = {"run": str(run.folder), "shard": options.shard, "pages": made}
    print(json.dumps(facts) if options.json else f"{'枚' if options.lang == 'ja' else 'pages'}: {made}")
    return 0


def _shard(text: str) -> tuple[int, int]:
    """(i, n) of "i/n", counted from 0. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None or not 0 <= int(match[1]) < int(match[2]):
        raise UsageError(detail=f"--shard {text}: 0/4 … 3/4")
    return int(match[1]), int(match[2])
