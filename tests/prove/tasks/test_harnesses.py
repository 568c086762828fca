"""What goes to the two other harnesses and what comes back; the real one runs where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from so8t.ask.backend import FakeBackend
from so8t.core.errors import RecordInvalid, SourceEmpty, SourceMissing, SourceUnreadable
from so8t.core.files import read_json, read_jsonl, write_json
from so8t.core.types import Domain
from so8t.decide.prompt import ChatFormat
from so8t.prove.tasks import llm_jp_eval, lm_eval
from so8t.prove.tasks.item import packaged_items, subset
from so8t.prove.tasks.score import Answered, result, scores

SUITE = packaged_items()
DATASET: dict[str, Any] = {
    "instruction": "質問に答えてください。", "output_length": 15, "metrics": ["char_f1"], "few_shots": [],
    "samples": [{"input": "質問:日本の首都は?", "output": "東京"}, {"input": "質問:山は?", "output": "富士山"}],
}  # fmt: skip


@pytest.fixture
def judge() -> Any:
    import numpy as np

    from so8t.core.packaged import policy_text
    from so8t.decide.calibrate import Calibration
    from so8t.decide.domain import BUCKETS, DomainModel
    from so8t.decide.policy import parse_policy
    from so8t.judge.model import ModelJudge
    from so8t.judge.precedent import PrecedentStore
    from so8t.judge.triple import TripleJudge

    chat = ChatFormat("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>")
    anything = DomainModel(np.zeros((8, BUCKETS), np.float32), np.zeros(8, np.float32), 1.0, 0.0)
    model = ModelJudge(FakeBackend(answer="東京"), chat, "compact", 1.0)
    return TripleJudge(parse_policy(*policy_text("demo")), model, PrecedentStore([]), anything, Calibration())


# ---- lm-evaluation-harness


def test_export_for_lm_eval(tmp_path: Path, judge: Any) -> None:
    names = lm_eval.export(tmp_path / "out", SUITE, judge)
    assert names == ["so8t_general_qa", "so8t_domain_qa", "so8t_summary"]
    assert [r["prompt"] for _, r in read_jsonl(tmp_path / "out" / lm_eval.DATA)] == [
        lm_eval.prompt_of(i, judge) for i in SUITE
    ]
    rows = lm_eval.documents(tmp_path / "out", "summary")
    assert len(rows) == 16 and all(isinstance(v, str) for row in rows for v in row.values())
    assert all(lm_eval.figures(row, row["target"])["score"] == 1.0 for row in rows)
    compile((tmp_path / "out" / "so8t_tasks.py").read_text(), "so8t_tasks.py", "exec")


def test_the_yaml_names_every_figure(tmp_path: Path, judge: Any) -> None:
    import yaml

    class Loader(yaml.SafeLoader):
        """With the harness's tag for functions."""

    Loader.add_constructor("!function", lambda loader, node: f"function {node.value}")
    lm_eval.export(tmp_path / "out", SUITE, judge)
    for task in ("general_qa", "domain_qa", "summary"):
        made = Loader((tmp_path / "out" / f"so8t_{task}.yaml").read_text(encoding="utf-8")).get_single_data()
        item = next(i for i in SUITE if i.task == task)
        assert [m["metric"] for m in made["metric_list"]] == list(scores(item, "x"))
        assert made["custom_dataset"] == f"function so8t_tasks.{task}" and made["doc_to_text"] == "{{prompt}}"
        assert made["generation_kwargs"]["do_sample"] is False and "<|end|>" in made["generation_kwargs"]["until"]
    group = yaml.safe_load((tmp_path / "out" / "so8t.yaml").read_text(encoding="utf-8"))
    assert group == {"group": "so8t", "task": ["so8t_general_qa", "so8t_domain_qa", "so8t_summary"]}


def test_results_of_lm_eval(tmp_path: Path) -> None:
    measured = {
        "score,none": 0.25,
        "score_stderr,none": 0.1,
        "score,strict": 1,
        "alias": "so8t",
        "ok": True,
        "sample_len": 16,
    }
    write_json(tmp_path / "results_1.json", {"results": {"so8t_summary": measured, "odd": 3}})
    want = {"so8t_summary": {"score": 0.25, "score (strict)": 1.0}}
    assert lm_eval.read_results(tmp_path / "results_1.json") == lm_eval.read_results(tmp_path) == want
    write_json(tmp_path / "results_1.json", {"result": {}})
    with pytest.raises(RecordInvalid, match="results"):
        lm_eval.read_results(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceMissing):
        lm_eval.read_results(tmp_path / "empty")


@pytest.mark.slow
def test_the_real_harness_says_what_we_say(micro_run: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """EleutherAI's own command asks our server and our weights; its averages are those of our own run."""
    if importlib.util.find_spec("lm_eval") is None:
        pytest.skip("lm_eval is not installed (pip install lm_eval)")
    from so8t.ask.llamacpp_server import serve
    from so8t.operate.serving import running_judge
    from so8t.prove.tasks.run import answer_all

    items = subset(SUITE, 16)
    bundle = micro_run / "bundle"

    async def ours() -> list[Answered]:
        async with running_judge(bundle, None, allow_unproven=True) as (_, judge, _):
            lm_eval.export(tmp_path / "tasks", items, judge)
            return await answer_all(judge, items)

    answered = asyncio.run(ours())
    mine = result(answered, 20)["tasks"]
    prompt = read_json(bundle / "prompt.json")
    with serve(bundle / "gguf" / f"model-{prompt['deploy']}.gguf", int(prompt["context"]), slots=1) as address:
        asked = f"base_url={address}/v1/completions,model=so8t,tokenizer_backend=None,max_length={prompt['context']}"
        served = harness(tmp_path, environment, "local-completions", asked + ",num_concurrent=1,max_retries=1")
    folded = harness(tmp_path, environment, "hf", f"pretrained={micro_run / 'burnin' / 'model'},dtype=float32")
    for task, values in served.items():
        for name, value in values.items():
            assert value == pytest.approx(mine[task.removeprefix("so8t_")][name]["value"], abs=1e-6), (task, name)
    assert served.keys() == folded.keys() == {f"so8t_{t}" for t in mine}
    assert all(0 <= v <= 1 for values in folded.values() for v in values.values())
    theirs = replies(tmp_path / "local-completions")  # as many tokens for every summary: a longer one may go on
    assert {a.item.id for a in answered} == theirs.keys() and all(
        theirs[a.item.id].startswith(a.reply) for a in answered
    )


def harness(folder: Path, environment: dict[str, str], model: str, arguments: str) -> dict[str, dict[str, float]]:
    """The averages of lm_eval's own command on the exported folder, one process, no connection to anywhere else."""
    options = f"--model {model} --tasks {lm_eval.GROUP} --batch_size 1 --device cpu --log_samples".split()
    options += [
        "--model_args",
        arguments,
        "--include_path",
        str(folder / "tasks"),
        "--output_path",
        str(folder / model),
    ]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", *options], env=environment | offline, capture_output=True,
        encoding="utf-8", timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found = lm_eval.read_results(folder / model)
    return {task: values for task, values in found.items() if task != lm_eval.GROUP}


def replies(folder: Path) -> dict[str, str]:
    """What the model said to the harness, by item."""
    rows = [r for p in folder.rglob("samples_*.jsonl") for _, r in read_jsonl(p)]
    return {row["doc"]["id"]: row["resps"][0][0].strip() for row in rows}


# ---- llm-jp-eval


def test_export_for_llm_jp_eval_and_back(tmp_path: Path) -> None:
    names = llm_jp_eval.export(tmp_path / "out", SUITE)
    place = tmp_path / "out" / "evaluation" / "test"
    assert sorted(p.stem for p in place.iterdir()) == sorted(names)
    made = read_json(place / "so8t_domain_qa.json")
    assert (
        made.keys() == DATASET.keys() and made["metrics"] == ["exact_match", "char_f1"] and len(made["samples"]) == 42
    )
    items = llm_jp_eval.read_dataset(place / "so8t_domain_qa.json")
    own = [i for i in SUITE if i.task == "domain_qa"]
    assert [i.answers for i in items] == [(o.answers[0],) for o in own]
    assert all(o.question in i.query and o.context in i.query for i, o in zip(items, own, strict=True))


def test_a_dataset_of_theirs(tmp_path: Path) -> None:
    write_json(tmp_path / "jsquad.json", DATASET)
    items = llm_jp_eval.read_dataset(tmp_path / "jsquad.json")
    assert [i.id for i in items] == ["jsquad-1", "jsquad-2"] and items[0].domain is Domain.GENERAL
    assert "質問に答えてください。" in items[0].query and scores(items[0], "東京です")["score"] == 1.0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"samples": []}, SourceEmpty), ({"samples": "x"}, RecordInvalid), ({"samples": [3]}, RecordInvalid),
        ({"samples": [{"input": "x"}]}, RecordInvalid), ({"samples": [{"output": "x"}]}, RecordInvalid),
        ({"samples": [{"input": "x", "output": ""}]}, RecordInvalid), ({"instruction": 3}, RecordInvalid),
    ],
)  # fmt: skip
def test_bad_datasets(tmp_path: Path, change: dict[str, Any], error: type[Exception]) -> None:
    write_json(tmp_path / "d.json", DATASET | change)
    with pytest.raises(error, match=r"d\.json"):
        llm_jp_eval.read_dataset(tmp_path / "d.json")


def test_too_large_or_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "d.json", [DATASET])
    with pytest.raises(RecordInvalid, match="not an object"):
        llm_jp_eval.read_dataset(tmp_path / "d.json")
    monkeypatch.setattr(llm_jp_eval, "MAX_ITEMS", 1)
    write_json(tmp_path / "d.json", DATASET)
    with pytest.raises(SourceUnreadable, match="samples"):
        llm_jp_eval.read_dataset(tmp_path / "d.json")
    monkeypatch.setattr(llm_jp_eval, "MAX_BYTES", 10)
    with pytest.raises(SourceUnreadable, match="bytes"):
        llm_jp_eval.read_dataset(tmp_path / "d.json")


def test_dumped_prompts_are_answered(tmp_path: Path, judge: Any) -> None:
    samples = [{"input": "x", "output": "y", "prompt": "日本の首都は?", "kept": 1}]
    path = tmp_path / f"jsquad{llm_jp_eval.PROMPTS}"
    write_json(path, {"target_dataset": "jsquad", "output_length": 15, "config": {"a": 1}, "samples": samples})
    count: list[int] = []
    answered = asyncio.run(llm_jp_eval.answer_prompts(llm_jp_eval.read_prompts(path), judge, lambda: count.append(1)))
    made = llm_jp_eval.write_answers(tmp_path / "offline", path, answered)
    found = read_json(made)
    assert made.name == "jsquad.eval-generated.json" and found["config"] == {"a": 1} and count == [1]
    assert found["samples"] == [samples[0] | {"generated": "東京"}]


@pytest.mark.parametrize(
    "change",
    [
        {"output_length": 0}, {"output_length": "9"}, {"output_length": 10**9}, {"samples": [{"prompt": ""}]},
        {"samples": [{}]}, {"samples": [{"prompt": "x" * 20_001}]}, {"samples": None},
    ],
)  # fmt: skip
def test_bad_dumps(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / f"jsquad{llm_jp_eval.PROMPTS}"
    write_json(path, {"output_length": 15, "samples": [{"prompt": "問い"}]} | change)
    with pytest.raises(RecordInvalid, match="jsquad"):
        llm_jp_eval.read_prompts(path)


def test_results_of_llm_jp_eval(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"config": {}, "evaluation": {"scores": {"AVG": 0.5, "jsquad_char_f1": 1, "ok": True, "x": "y"}}})
    assert llm_jp_eval.read_results(path) == {"AVG": 0.5, "jsquad_char_f1": 1.0}
    for bad in ([], {}, {"scores": {}}, {"a": {"b": {"c": {"d": {"scores": {"x": 1}}}}}}):
        path.write_text(json.dumps(bad))
        with pytest.raises(RecordInvalid, match="scores"):
            llm_jp_eval.read_results(path)
