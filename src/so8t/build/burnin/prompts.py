"""The prompts that a burn-in and an export are proved on."""

from __future__ import annotations

import random

from so8t.build.data.sample_lines import load_samples, split_file
from so8t.build.model.tokenizer import chat_format
from so8t.build.train.dataset import sample_prompt
from so8t.build.train.stage import base_folder
from so8t.core.run import StageContext
from so8t.core.types import Split
from so8t.decide.prompt import decision_prompt


def proof_prompts(ctx: StageContext, count: int) -> list[str]:
    """Decision prompts of the validation split: real text that was not trained on, none of it evaluation data."""
    samples = load_samples([split_file(ctx.input("validate"), Split.VALIDATION)])
    requests = [s for s in samples if s.kind == "request"]
    random.Random(ctx.config.train.seed).shuffle(requests)
    chat = chat_format(base_folder(ctx))
    return [decision_prompt(sample_prompt(s), ctx.config.prompt.style, chat) for s in requests[:count]]
