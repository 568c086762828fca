"""What is proposed when memory is short: only what helps, nothing that is on already."""

from __future__ import annotations

import dataclasses

from so8t.build.plan.architecture import architecture_of
from so8t.build.plan.memory import memory
from so8t.build.plan.proposals import proposals
from so8t.core.config import load_config

CONFIG = load_config("phi4-mini-12gb")
SHAPE = architecture_of(CONFIG)


def settings(**changes: object) -> list[str]:
    train = dataclasses.replace(CONFIG.train, **changes)  # type: ignore[arg-type]
    return [p.setting for p in proposals(SHAPE, train, "cuda")]


def test_the_plans_ladder_in_its_order() -> None:
    assert settings(gradient_checkpointing=False) == [
        "train.gradient_checkpointing = true", "train.offload_activations = true", 'train.quantization = "nf4"',
        "train.maximum_tokens = 512", "train.lora.rank = 32", "train.lora.targets = ['q_proj', 'v_proj']",
    ]  # fmt: skip


def test_what_is_on_already_is_not_proposed() -> None:
    found = settings(gradient_checkpointing=True, offload_activations=True, quantization="nf4")
    assert found == ["train.maximum_tokens = 512", "train.lora.rank = 32", "train.lora.targets = ['q_proj', 'v_proj']"]


def test_each_helps_and_says_how_much() -> None:
    train = dataclasses.replace(CONFIG.train, batch_size=1)
    now = memory(SHAPE, train, "cuda").peak
    for proposal in proposals(SHAPE, CONFIG.train, "cuda"):
        assert 0 < proposal.peak < now
        assert "GiB" in str(proposal)


def test_on_a_cpu_nothing_of_a_card_is_proposed() -> None:
    found = [p.setting for p in proposals(SHAPE, CONFIG.train, "cpu")]
    assert not any("nf4" in s or "offload" in s for s in found) and found
