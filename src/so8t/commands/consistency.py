"""so8t consistency: are like requests of a ledger, or of `so8t decide` lines, judged alike? Reads, never changes."""

from __future__ import annotations

import argparse
import json

from so8t.core import sealing
from so8t.core.errors import SourceEmpty, UsageError
from so8t.core.progress import Progress
from so8t.prove.consistency import consistency as measure
from so8t.prove.decision_records import read_log
from so8t.report.consistency_text import log_table


def consistency(options: argparse.Namespace) -> int:
    """Exit 0 whatever the score; the texts shown are masked. `ledger verify` tells whether the ledger is intact."""
    if not 0 < options.least <= 1:
        raise UsageError(detail="--least X (0 < X ≤ 1)")
    if options.draws < 1:
        raise UsageError(detail="--draws N (1 ≤ N)")
    key_file = getattr(options, "text_key", None) or options.runs / "keys" / "text.key"
    log = read_log(options.path, options.queries, sealing.load(key_file) if key_file.is_file() else None)
    if not log.records:
        raise SourceEmpty(where=options.path)
    with Progress(lang=options.lang).task("consistency", len(log.records), "request") as task:
        found = measure(log.records, options.draws, least=options.least, advance=task.advance)
    found["left_out"] = log.left_out
    print(json.dumps(found, ensure_ascii=False) if options.json else log_table(found, options.lang))
    return 0
