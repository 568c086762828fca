"""The stages that build: each reads the folders of earlier stages and writes its own (order: core/run.py STAGES)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from so8t.build.data.collect import collect
from so8t.build.data.multimodal.stage import multimodal
from so8t.build.data.own import load_own
from so8t.build.data.sample_lines import load_samples, split_file, write_samples
from so8t.build.data.synth import generate
from so8t.build.data.synth_report import report
from so8t.build.data.validate import validate
from so8t.build.data.written import load_written
from so8t.build.export.converter import choose
from so8t.build.model import given_base
from so8t.build.model.base import instruct, pretrain
from so8t.build.model.tokenizer import CHAT_TEMPLATE
from so8t.build.train.dataset import encode, sample_prompt
from so8t.build.train.samples import training_samples
from so8t.core.config import Config
from so8t.core.errors import ConverterMissing
from so8t.core.files import read_json, write_json
from so8t.core.packaged import policy_text
from so8t.core.run import StageContext
from so8t.core.types import Domain, Sample, Split
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.prompt import ChatFormat, Style, training_text

WORTH_PROCESSES = 20_000  # requests; making fewer takes less time than starting a process


def policy_of(config: Config) -> Policy:
    return parse_policy(*policy_text(config.prove.policy))


def written_requests(config: Config) -> list[Sample]:
    policy = policy_of(config)
    return list(load_written({d: policy.contract(d) for d in Domain}, policy.state()))


def run_collect(ctx: StageContext) -> dict[str, Any]:
    """Plain text from the configured sources, and the domain model."""
    return collect(ctx.config, ctx.folder, ctx.work, written_requests(ctx.config), ctx.progress)


def run_synth(ctx: StageContext) -> dict[str, Any]:
    """Judged requests: the generated ones by domain, and the written ones."""
    config, policy = ctx.config.synth, policy_of(ctx.config)
    contracts = {d: policy.contract(d) for d in Domain}
    count = config.samples_per_domain
    written = list(load_written(contracts, policy.state())) if config.written else []
    seeds = [s for s in written if s.split == Split.TRAIN]
    processes = ctx.config.threads if count * len(Domain) >= WORTH_PROCESSES else 1
    made: list[Sample] = []
    with ctx.progress.task("synthesis", count * len(Domain), "request") as task:
        for sample in generate(config, contracts, policy.state(), count, seeds, processes):
            made.append(sample)
            task.advance()
    for domain in Domain:
        write_samples(ctx.folder / f"synthetic_{domain}.jsonl", (s for s in made if s.domain == domain))
    own = list(load_own(config.own, policy))
    write_samples(ctx.folder / "written.jsonl", [*written, *own])
    facts = report([*made, *written, *own])
    write_json(ctx.folder / "synthesis_report.json", facts)
    return {"generated": len(made), "written": len(written), "own": len(own), "report": facts}


def run_multimodal(ctx: StageContext) -> dict[str, Any]:
    """Pages rendered and read again, with requests about them."""
    config, policy = ctx.config.multimodal, policy_of(ctx.config)
    contracts = {d: policy.contract(d) for d in Domain}
    return multimodal(
        ctx.folder, ctx.work, config.samples_per_domain, config.seed, contracts, policy.state(), ctx.progress,
        ctx.config.threads,
    )  # fmt: skip


def run_validate(ctx: StageContext) -> dict[str, Any]:
    """One clean file a split."""
    files = [*sorted(ctx.input("collect").glob("japanese_collected_*.jsonl"))]
    files += [*sorted(ctx.input("synth").glob("synthetic_*.jsonl")), ctx.input("synth") / "written.jsonl"]
    files += sorted(ctx.input("multimodal").glob("synthetic_*.jsonl"))
    upstream = {name: ctx.facts(name) for name in ("collect", "synth", "multimodal")}
    return validate(ctx.config, ctx.folder, load_samples(files), upstream)


def _warn_of_converter(ctx: StageContext) -> None:
    """Said before hours of training: this base can be trained, but not yet be exported on this machine."""
    named = Path(read_json(ctx.folder / "base.json")["path"])
    try:
        choose(named if named.is_absolute() else ctx.folder / named, ctx.config.export.converter)
    except ConverterMissing as error:
        ctx.progress.say(f"      {error.ja} {error.detail}: {error.next_ja}", f"      {error.en} {error.detail}")


def run_base(ctx: StageContext) -> dict[str, Any]:
    """The model to adapt: a folder as it lies, a GGUF converted into the run, or pre-trained here."""
    base = ctx.config.base
    torch.set_num_threads(ctx.config.threads)
    if base.path or base.package:
        facts = given_base.take(base, ctx.folder, ctx.work, ctx.progress)
        _warn_of_converter(ctx)
        return facts
    train, _ = training_samples(ctx.input("validate"), ctx.config.train)
    style, chat, seed = ctx.config.prompt.style, ChatFormat(CHAT_TEMPLATE), ctx.config.train.seed
    samples = load_samples([split_file(ctx.input("validate"), Split.TRAIN)])
    model, tokenizer, facts = pretrain([plain_text(s, style, chat) for s in samples], base, seed, ctx.progress)
    limit = ctx.config.train.maximum_tokens
    requests = [dataclasses.replace(s, response="") for s in train if s.decision is not None]  # the decision alone
    data = [encode(s, tokenizer, chat, style, limit, 1.0) for s in requests]
    facts |= instruct(model, data, base, tokenizer.pad_token_id, seed, ctx.progress)
    model.save_pretrained(ctx.folder / "model")
    tokenizer.save_pretrained(ctx.folder / "model")
    write_json(ctx.folder / "base.json", {"path": "model"})
    count = sum(p.numel() for p in model.parameters())
    return {
        "base": "tiny Phi-3 shape, pre-trained here",
        "parameters": count,
        **facts,
        **model_facts(model.config.to_dict()),
    }


def plain_text(sample: Sample, style: Style, chat: ChatFormat) -> str:
    """What the tiny base reads: prose as it is, requests as whole conversations."""
    if sample.decision is None or sample.response is None:
        return sample.text
    return "".join(training_text(sample_prompt(sample), style, chat, sample.decision, sample.response))


def model_facts(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "layers": config["num_hidden_layers"], "hidden_size": config["hidden_size"], "vocab_size": config["vocab_size"],
    }  # fmt: skip
