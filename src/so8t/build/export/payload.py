"""What a bundle carries beside its GGUFs: tokenizer, prompt, policy, precedents, domain model, licences."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from so8t.build.bundle.licences import write_licences
from so8t.build.data.collect import DOMAIN_MODEL
from so8t.build.data.own import OWN
from so8t.build.data.sample_lines import load_samples, split_file
from so8t.build.data.wording import fit_wording
from so8t.build.model.tokenizer import chat_format
from so8t.build.train.samples import WRITTEN
from so8t.core.files import write_bytes, write_json, write_jsonl, write_text
from so8t.core.packaged import policy_text
from so8t.core.run import StageContext
from so8t.core.types import Sample, Split
from so8t.decide.policy import parse_policy
from so8t.judge.precedent import Case
from so8t.judge.triple import POLICY, PRECEDENTS, PROMPT, WORDING_MODEL


def by_people(train: Sequence[Sample]) -> list[Sample]:
    """The requests that people wrote. Those that the generator composes teach the wording model nothing more, and in
    their tens of thousands would drown them (benchmarks/judgement.py --generated)."""
    written = [s for s in train if s.decision is not None and s.source.startswith((WRITTEN, OWN))]
    return written or list(train)


def write_payload(ctx: StageContext, model: Path) -> None:
    chat = chat_format(model)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(model / name, ctx.folder / name)
    prompt = {"style": ctx.config.prompt.style, **chat.to_json()}
    write_json(ctx.folder / PROMPT, prompt | {"context": ctx.config.export.context, "deploy": ctx.config.prove.deploy})
    write_text(ctx.folder / POLICY, policy_text(ctx.config.prove.policy)[0])
    shutil.copyfile(ctx.input("collect") / DOMAIN_MODEL, ctx.folder / DOMAIN_MODEL)
    train = load_samples([split_file(ctx.input("validate"), Split.TRAIN)])
    cases = [
        Case(s.id, s.text, s.decision, s.source)
        for s in train
        if s.decision is not None and s.source.startswith(WRITTEN)
    ]
    write_jsonl(ctx.folder / PRECEDENTS, (c.to_json() for c in cases))
    policy = parse_policy(*policy_text(ctx.config.prove.policy))
    write_bytes(ctx.folder / WORDING_MODEL, fit_wording(by_people(train), policy.levels).to_bytes())
    write_licences(ctx)
