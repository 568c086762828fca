"""The suite in llm-jp-eval's common format (DATASET.md of llm-jp/llm-jp-eval, Apache-2.0), and the other way round.

A data set is one JSON file {"instruction", "output_length", "metrics", "few_shots", "samples": [{"input", "output"}]}.
So what its preprocessing made of JGLUE, NIILC and the like runs through `so8t tasks --data FILE.json`, and its own
evaluation can run ours. Offline inference: its dump writes NAME.eval-prompt.json with a "prompt" in each sample,
answer_prompts adds "generated", and its evaluation reads NAME.eval-generated.json.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from so8t.core.errors import RecordInvalid, SourceEmpty, SourceUnreadable
from so8t.core.files import read_json, write_json
from so8t.core.types import Domain, Request
from so8t.judge.triple import TripleJudge
from so8t.prove.tasks.item import MAX_ITEMS, MAX_TEXT, TASKS, TaskItem, empty_folder
from so8t.prove.tasks.run import CONCURRENCY, QA_TOKENS, maximum_tokens

MAX_BYTES = 256 << 20
MAX_TOKENS = 4096
INSTRUCTIONS = {
    "qa": "質問に短く答えてください。回答の他には何も含めないでください。",
    "summary": "文章を指定の字数以内で要約してください。要約の他には何も含めないでください。",
}
PROMPTS, GENERATED = ".eval-prompt.json", ".eval-generated.json"
METRICS = {"qa": ["exact_match", "char_f1"], "summary": ["char_f1"]}


def export(folder: Path, items: Sequence[TaskItem]) -> list[str]:
    """One data set a task below folder/evaluation/test; returns their names. The first accepted answer is the output.

    Raises UsageError for a folder that holds something.
    """
    place = empty_folder(folder) / "evaluation" / "test"
    place.mkdir(parents=True)
    names = []
    for task in TASKS:
        own = [item for item in items if item.task == task]
        if own:
            write_json(place / f"so8t_{task}.json", dataset(own))
            names.append(f"so8t_{task}")
    return names


def dataset(items: Sequence[TaskItem]) -> dict[str, Any]:
    kind = items[0].kind
    return {
        "instruction": INSTRUCTIONS[kind],
        "output_length": max(maximum_tokens(item) for item in items),
        "metrics": METRICS[kind],
        "few_shots": [],
        "samples": [{"input": _input(item), "output": item.reference or item.answers[0]} for item in items],
    }


def _input(item: TaskItem) -> str:
    if item.kind == "summary":
        return f"字数:{item.limit}字以内\n文章:{item.document}"
    return (f"文章:{item.context}\n" if item.context else "") + f"質問:{item.question}"


def read_dataset(path: Path) -> list[TaskItem]:
    """The samples of one data set as questions: its instruction and input are asked, its output is the answer.

    Raises SourceMissing, SourceUnreadable, SourceEmpty, RecordInvalid.
    """
    record = _record(path)
    instruction = record.get("instruction", "")
    if not isinstance(instruction, str):
        raise RecordInvalid(where=path, detail="instruction")
    items = []
    for number, sample in enumerate(_samples(record, path), 1):
        fields = {"id": f"{path.stem}-{number}", "kind": "qa", "domain": Domain.GENERAL.value}
        asked = {"context": instruction, "question": sample.get("input"), "answers": [sample.get("output")]}
        items.append(TaskItem.from_json(fields | asked, f"{path}: samples[{number - 1}]"))
    return items


def read_prompts(path: Path) -> dict[str, Any]:
    """A dumped prompt file, checked: every sample has a prompt. Raises as read_dataset."""
    record = dict(_record(path))
    tokens = record.setdefault("output_length", QA_TOKENS)
    if not isinstance(tokens, int) or isinstance(tokens, bool) or not 0 < tokens <= MAX_TOKENS:
        raise RecordInvalid(where=path, detail=f"output_length: 1 .. {MAX_TOKENS}")
    for number, sample in enumerate(_samples(record, path)):
        prompt = sample.get("prompt")
        if not isinstance(prompt, str) or not 0 < len(prompt) <= MAX_TEXT:
            raise RecordInvalid(where=f"{path}: samples[{number}]", detail=f"prompt: 1 .. {MAX_TEXT}")
    return record


async def answer_prompts(
    record: Mapping[str, Any], judge: TripleJudge, advance: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """The same record with "generated" in every sample. Raises BackendDown, BackendProtocol."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(number: int, sample: Mapping[str, Any]) -> dict[str, Any]:
        async with gate:
            level = judge.policy.levels.names[0]
            request = Request(str(number), sample["prompt"], judge.policy.default_clearance, level)
            tokens = record["output_length"]
            reply = await judge.model.answer(request, judge.policy, judge.domain(request), tokens)
            advance()
            return {**sample, "generated": reply}

    samples = await asyncio.gather(*(one(number, sample) for number, sample in enumerate(record["samples"])))
    return {**record, "samples": samples}


def write_answers(folder: Path, prompts: Path, record: Mapping[str, Any]) -> Path:
    """folder/NAME.eval-generated.json for a prompt file NAME.eval-prompt.json, as their evaluation looks for it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / (prompts.name.removesuffix(PROMPTS).removesuffix(".json") + GENERATED)
    write_json(made, record)
    return made


def read_results(path: Path) -> dict[str, float]:
    """The "scores" of a result file, e.g. jsquad_char_f1, wherever in it they stand. Raises RecordInvalid."""
    scores = _scores(read_json(path))
    found = {str(k): float(v) for k, v in (scores or {}).items() if isinstance(v, int | float) and v is not True}
    if not found:
        raise RecordInvalid(where=path, detail="scores")
    return found


def _scores(record: Any, depth: int = 3) -> Mapping[str, Any] | None:
    if not isinstance(record, Mapping) or depth == 0:
        return None
    own = record.get("scores")
    if isinstance(own, Mapping):
        return own
    return next((found for value in record.values() if (found := _scores(value, depth - 1))), None)


def _record(path: Path) -> Mapping[str, Any]:
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise SourceUnreadable(where=path, detail=f"> {MAX_BYTES} bytes")
    record = read_json(path)
    if not isinstance(record, Mapping):
        raise RecordInvalid(where=path, detail="JSON: not an object")
    return record


def _samples(record: Mapping[str, Any], path: Path) -> list[Mapping[str, Any]]:
    samples = record.get("samples")
    if not isinstance(samples, list) or not all(isinstance(s, Mapping) for s in samples):
        raise RecordInvalid(where=path, detail="samples")
    if not samples:
        raise SourceEmpty(where=path)
    if len(samples) > MAX_ITEMS:
        raise SourceUnreadable(where=path, detail=f"> {MAX_ITEMS} samples")
    return samples
