"""The same request in four voices, and one that differs in the one point that matters: is it judged by its meaning?

resources/tasks/paraphrases.jsonl: for each group four phrasings with one label and a near-identical request with
another (LABELS.md), all with the same two levels. Written for this measure; never trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from so8t.core.errors import RecordInvalid
from so8t.core.files import read_jsonl
from so8t.core.packaged import packaged
from so8t.core.types import Sample, Split
from so8t.judge.triple import TripleJudge
from so8t.prove.consistency import consistency, group_agreement
from so8t.prove.decision_records import from_outcomes
from so8t.prove.suite import Outcome, evaluate

Advance = Callable[[], None]


def paraphrases(path: Path | None = None) -> list[Sample]:
    """The packaged groups, or those of a file in the same form. Raises RecordInvalid, SourceMissing."""
    source = path or packaged("tasks", "paraphrases.jsonl")
    samples = []
    for number, record in read_jsonl(source):
        where = f"{source}:{number}"
        if not all(isinstance(record.get(k), str) and record[k] for k in ("id", "query", "group", "decision")):
            raise RecordInvalid(where=where, detail="id, query, group, decision")
        named = {"text": record["query"], "family": record["group"], "pair": record["group"], "split": Split.TEST}
        fixed = {"kind": "request", "source": "so8t paraphrases", "license": "CC0-1.0"}
        samples.append(Sample.from_json(record | named | fixed, where))
    return samples


async def card_section(
    judge: TripleJudge, outcomes: list[Outcome], draws: int, advance: Advance = lambda: None
) -> dict[str, Any]:
    """Key "consistency" of card.json: like requests among those already evaluated, and the paraphrase groups."""
    reworded = await evaluate(judge, paraphrases(), advance)
    evaluated = from_outcomes(outcomes)
    return {
        "log": consistency(evaluated, draws),
        "minimal_pairs": group_agreement(evaluated, draws)["told_apart"],
        "paraphrases": group_agreement(from_outcomes(reworded), draws),
    }
