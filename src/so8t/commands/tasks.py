"""so8t tasks: questions and summaries put to a bundle; our suite, the user's own, or handed to another harness."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so8t.commands.use import bundle_folder, trusted_key
from so8t.core.errors import UsageError
from so8t.core.files import write_json
from so8t.core.progress import Progress
from so8t.judge.triple import TripleJudge
from so8t.prove.tasks import llm_jp_eval, lm_eval
from so8t.prove.tasks.item import TaskItem, packaged_items, read_items, subset
from so8t.prove.tasks.run import answer_all
from so8t.prove.tasks.score import Answered, result, scores
from so8t.report.summary import table
from so8t.report.tasks_text import tasks_table


def tasks(options: argparse.Namespace) -> int:
    """Exit 0 whatever the score: the card's thresholds judge, this measures."""
    if options.draws < 1 or options.threads < 1 or options.limit < 0:
        raise UsageError(detail="--draws N, --threads N (1 ≤ N), --limit N (0 ≤ N)")
    if options.results:
        return _show_results(options)
    if (options.export or _is_prompts(options.data)) and not options.out:
        raise UsageError(detail="--out DIR")
    if options.export == "llm-jp-eval":
        return _told(options, llm_jp_eval.export(options.out, _items(options)))
    return asyncio.run(_with_bundle(options))


async def _with_bundle(options: argparse.Namespace) -> int:
    from so8t.operate.serving import running_judge

    folder = bundle_folder(options)
    async with running_judge(folder, trusted_key(options), allow_unproven=True, threads=options.threads) as (
        _,
        judge,
        _,
    ):
        if options.export == "lm-eval":
            return _told(options, lm_eval.export(options.out, _items(options), judge))
        if _is_prompts(options.data):
            return await _answer_prompts(options, judge)
        return await _measure(options, judge)


async def _measure(options: argparse.Namespace, judge: TripleJudge) -> int:
    items = _items(options)
    chosen = subset(items, options.limit)
    with Progress(lang=options.lang).task("tasks", len(chosen), "item") as task:
        answered = await answer_all(judge, chosen, task.advance)
    found = result(answered, options.draws) | {"of": len(items)}
    if options.out:
        write_json(options.out, {"result": found, "replies": [_reply(a) for a in answered]})
    print(json.dumps(found, ensure_ascii=False) if options.json else tasks_table(found, options.lang))
    return 0


async def _answer_prompts(options: argparse.Namespace, judge: TripleJudge) -> int:
    record = llm_jp_eval.read_prompts(options.data)
    with Progress(lang=options.lang).task("tasks", len(record["samples"]), "prompt") as task:
        answered = await llm_jp_eval.answer_prompts(record, judge, task.advance)
    return _told(options, [llm_jp_eval.write_answers(options.out, options.data, answered).name])


def _items(options: argparse.Namespace) -> list[TaskItem]:
    """Our suite, a JSONL file of ours, or one data set of llm-jp-eval (.json)."""
    if options.data is None:
        return packaged_items()
    data: Path = options.data
    return llm_jp_eval.read_dataset(data) if data.suffix == ".json" else read_items(data)


def _is_prompts(data: Path | None) -> bool:
    return data is not None and data.name.endswith(llm_jp_eval.PROMPTS)


def _reply(answered: Answered) -> dict[str, Any]:
    figures = scores(answered.item, answered.reply)
    return {"id": answered.item.id, "reply": answered.reply, "released": answered.released, "scores": figures}


def _told(options: argparse.Namespace, names: list[str]) -> int:
    shown = {"out": str(options.out), "made": names}
    print(json.dumps(shown, ensure_ascii=False) if options.json else f"{options.out}: {' '.join(names)}")
    return 0


def _show_results(options: argparse.Namespace) -> int:
    """What another harness measured: lm_eval's results_*.json (or their folder), or llm-jp-eval's result file."""
    harness = options.export or "lm-eval"
    found: Mapping[str, Any]
    if harness == "lm-eval":
        found = lm_eval.read_results(options.results)
        rows = [[task, name, f"{value:.4f}"] for task, values in found.items() for name, value in values.items()]
    else:
        found = llm_jp_eval.read_results(options.results)
        rows = [["", name, f"{value:.4f}"] for name, value in found.items()]
    ja, en = ["課題", "指標", "値"], ["task", "figure", "value"]
    print(json.dumps(found, ensure_ascii=False) if options.json else table(rows, ja if options.lang == "ja" else en))
    return 0
