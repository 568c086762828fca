"""The suite goes through the judges and the prompt that serve, and sees neither answers nor domains."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so8t.ask.backend import FakeBackend, Generation
from so8t.core.errors import BackendDown
from so8t.core.packaged import policy_text
from so8t.core.types import DECISIONS, Decision
from so8t.decide.calibrate import Calibration
from so8t.decide.domain import BUCKETS, DomainModel
from so8t.decide.policy import parse_policy
from so8t.decide.prompt import ChatFormat
from so8t.judge.model import ENDS, ModelJudge
from so8t.judge.precedent import PrecedentStore
from so8t.judge.triple import TripleJudge
from so8t.prove.paraphrases import card_section as consistency_section
from so8t.prove.paraphrases import paraphrases
from so8t.prove.suite import evaluate
from so8t.prove.tasks.item import packaged_items
from so8t.prove.tasks.lm_eval import prompt_of
from so8t.prove.tasks.run import QA_TOKENS, answer_all, card_section, maximum_tokens, request_of

A, E, D = DECISIONS
POLICY = parse_policy(*policy_text("demo"))
CHAT = ChatFormat("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>")
ANY = DomainModel(np.zeros((8, BUCKETS), np.float32), np.zeros(8, np.float32), 1.0, 0.0)
SUITE = packaged_items()


def judge(backend: FakeBackend) -> TripleJudge:
    return TripleJudge(POLICY, ModelJudge(backend, CHAT, "compact", 1.0), PrecedentStore([]), ANY, Calibration())


class Knowing(FakeBackend):
    """Answers every item rightly, by finding it in the prompt; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__({"": [1.0, 0.0, -1.0]})
        self.asked: list[tuple[str, int, tuple[str, ...]]] = []

    async def generate(self, prompt: str, maximum_tokens: int, stop: Sequence[str] = ()) -> Generation:
        self.asked.append((prompt, maximum_tokens, tuple(stop)))
        (item,) = [i for i in SUITE if (i.document or i.question) in prompt]
        return Generation(item.reference or item.answers[0], 1, True, 0.0)


def test_a_model_that_knows_all_reaches_every_target() -> None:
    backend = Knowing()
    count: list[int] = []
    found = asyncio.run(card_section(judge(backend), 50, advance=lambda: count.append(1)))
    assert found["n"] == found["of"] == len(count) == 64 and found["total"]["score"]["value"] == 1.0
    assert all(t["met"] for t in found["tasks"].values())
    for prompt, tokens, stop in backend.asked:
        assert prompt.endswith(f"<assistant>{A}\n") and stop == ENDS and tokens in {QA_TOKENS, 96, 108}
    json.dumps(found, allow_nan=False)


def test_neither_answers_nor_domain_are_shown() -> None:
    backend = Knowing()
    asyncio.run(answer_all(judge(backend), SUITE))
    prompts = {p for p, *_ in backend.asked}
    for item in SUITE:
        request = request_of(item, judge(backend))
        assert request.domain is None and request.query == item.query
        (prompt,) = [p for p in prompts if (item.document or item.question) in p]
        assert not item.reference or item.reference not in prompt
        assert item.context or not any(a in prompt for a in item.answers), item.id


def test_the_exported_prompt_is_the_one_that_is_sent() -> None:
    backend = Knowing()
    made = judge(backend)
    asyncio.run(answer_all(made, SUITE, concurrency=1))
    assert [p for p, *_ in backend.asked] == [prompt_of(i, made) for i in SUITE]


def test_the_verdict_is_reported_and_does_not_hide_the_reply() -> None:
    refusing = FakeBackend({"": [-9.0, -9.0, 9.0]}, answer="心臓")
    found = asyncio.run(answer_all(judge(refusing), SUITE[:4]))
    assert not any(a.released for a in found) and all(a.reply == "心臓" for a in found)


def test_a_short_card() -> None:
    found = asyncio.run(card_section(judge(Knowing()), 20, limit=16))
    assert (found["n"], found["of"]) == (16, 64) and len(found["per_domain"]) == 8


def test_a_model_that_fails_is_no_score() -> None:
    with pytest.raises(BackendDown):
        asyncio.run(answer_all(judge(FakeBackend({"": [1, 0, 0]}, error=BackendDown())), SUITE[:2]))


def test_tokens_suffice_for_the_references() -> None:
    for item in SUITE:
        assert maximum_tokens(item) >= len(item.reference or max(item.answers, key=len))


def test_consistency_on_the_card() -> None:
    """A model that always says the same is consistent and tells nothing apart; the section shows both."""
    always = judge(FakeBackend({"": [-9.0, 9.0, -9.0]}))
    samples = paraphrases()
    outcomes = asyncio.run(evaluate(always, samples[:10], lambda: None))
    count: list[int] = []
    found: dict[str, Any] = asyncio.run(consistency_section(always, outcomes, 50, lambda: count.append(1)))
    assert found.keys() == {"log", "minimal_pairs", "paraphrases"} and len(count) == 80
    by_model = {o.sample.id for o in outcomes if o.verdict.decision is Decision.ESCALATE}
    assert by_model  # rules may have spoken on others
    assert found["paraphrases"]["pairs"]["n"] == 96 and found["paraphrases"]["told_apart"]["n"] == 64
    assert found["paraphrases"]["pairs"]["value"] > 0.6 > found["paraphrases"]["told_apart"]["value"]
    json.dumps(found, allow_nan=False)


def test_the_command(micro_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from so8t import cli

    bundle, out = micro_runs / "micro" / "bundle", tmp_path / "replies.json"
    arguments = ["tasks", str(bundle), "--runs", str(micro_runs)]
    assert cli.main([*arguments, "--limit", "16", "--out", str(out), "--json"]) == 0
    found, kept = json.loads(capsys.readouterr().out), json.loads(out.read_text(encoding="utf-8"))
    assert found["n"] == len(kept["replies"]) == 16 and kept["result"] == found
    assert cli.main([*arguments, "--export", "lm-eval", "--out", str(tmp_path / "harness")]) == 0
    assert (tmp_path / "harness" / "so8t_summary.yaml").is_file()
    assert cli.main([*arguments, "--export", "lm-eval", "--out", str(tmp_path / "harness")]) == 2  # never overwritten
    assert cli.main([*arguments, "--export", "llm-jp-eval", "--out", str(tmp_path / "jp")]) == 0
    own = tmp_path / "jp" / "evaluation" / "test" / "so8t_general_qa.json"
    assert cli.main([*arguments, "--data", str(own), "--lang", "ja"]) == 0
    assert "一般の質問" in capsys.readouterr().out
    assert cli.main([*arguments, "--export", "lm-eval"]) == cli.main([*arguments, "--draws", "0"]) == 2
