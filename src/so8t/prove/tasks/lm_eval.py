"""The suite for EleutherAI's lm-evaluation-harness (MIT): a folder that its own command runs against our model.

    lm_eval --model local-completions --include_path DIR --tasks so8t \
        --model_args base_url=http://127.0.0.1:8080/v1/completions,model=so8t,tokenizer_backend=None
    lm_eval --model hf --include_path DIR --tasks so8t --model_args pretrained=runs/tiny/burnin/model

Each line holds the finished prompt, the very text that our own run sends, so do not pass --apply_chat_template. The
metrics are this package's too: it must be importable where the harness runs, which then adds no opinion of its own
about what is right. Tested with lm_eval 0.4.13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from so8t.core.errors import RecordInvalid, SourceMissing
from so8t.core.files import parse_json_line, read_json, read_jsonl, write_jsonl, write_text
from so8t.core.types import Decision, canonical_json
from so8t.decide.prompt import answer_prompt
from so8t.judge.model import ENDS
from so8t.judge.triple import TripleJudge
from so8t.prove.tasks.item import TASKS, TaskItem, empty_folder
from so8t.prove.tasks.run import maximum_tokens, request_of
from so8t.prove.tasks.score import scores

GROUP = "so8t"
DATA = "items.jsonl"
FIGURES = {
    "general_qa": ("score", "exact", "normalised", "char_f1"),
    "domain_qa": ("score", "exact", "normalised", "char_f1"),
    "summary": ("score", "rouge1", "rouge2", "rougeL", "within_limit"),
}
# The harness looks for functions of a task in a module beside its YAML file.
MODULE = '''"""Written by so8t: the items of this folder and the figures of a reply, for lm-evaluation-harness."""

from pathlib import Path

from datasets import Dataset

from so8t.prove.tasks.lm_eval import documents, figures


def split(task):
    return {"test": Dataset.from_list(documents(Path(__file__).parent, task))}


def general_qa(**_):
    return split("general_qa")


def domain_qa(**_):
    return split("domain_qa")


def summary(**_):
    return split("summary")


def process_results(doc, results):
    return figures(doc, results[0])
'''


def prompt_of(item: TaskItem, judge: TripleJudge) -> str:
    """The text that ModelJudge.answer sends for this item."""
    request = request_of(item, judge)
    prompt = judge.model.prompt(request, judge.policy, judge.domain(request))
    return answer_prompt(prompt, judge.model.style, judge.model.chat, Decision.ALLOW)


def export(folder: Path, items: Sequence[TaskItem], judge: TripleJudge) -> list[str]:
    """Write the task folder; returns the names of its tasks. Raises UsageError for a folder that holds something."""
    empty_folder(folder)
    rows = [{"item": item.to_json(), "prompt": prompt_of(item, judge)} for item in items]
    write_jsonl(folder / DATA, rows)
    write_text(folder / "so8t_tasks.py", MODULE)
    names = [name for name in TASKS if any(item.task == name for item in items)]
    for name in names:
        tokens = max(maximum_tokens(item) for item in items if item.task == name)
        write_text(folder / f"so8t_{name}.yaml", task_yaml(name, tokens))
    listed = "".join(f"  - so8t_{name}\n" for name in names)
    write_text(folder / "so8t.yaml", f"group: {GROUP}\ntask:\n{listed}")
    return [f"so8t_{name}" for name in names]


def task_yaml(name: str, tokens: int) -> str:
    """One task as the harness reads it. Its stop strings are the ends of a turn, as in our own run."""
    until = "".join(f'    - "{end}"\n' for end in ENDS)
    listed = "".join(
        f"  - metric: {figure}\n    aggregation: mean\n    higher_is_better: true\n" for figure in FIGURES[name]
    )
    return (
        f"task: so8t_{name}\n"
        f"custom_dataset: !function so8t_tasks.{name}\n"
        "test_split: test\n"
        "output_type: generate_until\n"
        'doc_to_text: "{{prompt}}"\n'
        'doc_to_target: "{{target}}"\n'
        "process_results: !function so8t_tasks.process_results\n"
        f"generation_kwargs:\n  do_sample: false\n  temperature: 0.0\n  max_gen_toks: {tokens}\n  until:\n{until}"
        f"metric_list:\n{listed}"
        "metadata:\n  version: 1\n"
    )


def documents(folder: Path, task: str) -> list[dict[str, str]]:
    """The rows of one task; the item as JSON text, since columns must be of one type. Raises as read_items."""
    rows = []
    for number, record in read_jsonl(folder / DATA):
        where = f"{folder / DATA}:{number}"
        values, prompt = record.get("item"), record.get("prompt")
        if not isinstance(values, dict) or not isinstance(prompt, str):
            raise RecordInvalid(where=where, detail="item, prompt")
        item = TaskItem.from_json(values, where)
        if item.task == task:
            target = item.reference or item.answers[0]
            rows.append({"id": item.id, "prompt": prompt, "target": target, "item": canonical_json(item.to_json())})
    return rows


def figures(doc: Mapping[str, Any], reply: str) -> dict[str, float]:
    """What the harness averages: the same figures as on our card."""
    return scores(TaskItem.from_json(parse_json_line(doc["item"], doc["id"])), reply)


def read_results(path: Path) -> dict[str, dict[str, float]]:
    """{task: {figure: value}} of a results_*.json, or of the newest one below a folder, without errors and counts.

    Raises SourceMissing, RecordInvalid.
    """
    if path.is_dir():
        found = max(path.rglob("results_*.json"), key=lambda p: p.stat().st_mtime, default=None)
        if found is None:
            raise SourceMissing(where=path / "results_*.json")
        path = found
    record = read_json(path)
    results = record.get("results") if isinstance(record, Mapping) else None
    if not isinstance(results, Mapping):
        raise RecordInvalid(where=path, detail="results")
    return {str(task): _numbers(values) for task, values in results.items() if isinstance(values, Mapping)}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """ "score,none" is the figure score under filter none; another filter stays in the name."""
    found = {}
    for key, value in values.items():
        name, _, kind = str(key).partition(",")
        if (
            name == "sample_len"
            or name.endswith("_stderr")
            or isinstance(value, bool)
            or not isinstance(value, int | float)
        ):
            continue
        found[name if kind in ("", "none") else f"{name} ({kind})"] = float(value)
    return found
