"""The stages that build: each reads the folders of earlier stages and writes its own (order: core/run.py STAGES)."""

from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from so8t.ask.hf import HuggingFace
from so8t.build import burnin, gguf, parity
from so8t.build.assemble import assemble, write_modelfile
from so8t.build.data.collect import DOMAIN_MODEL, collect
from so8t.build.data.multimodal.stage import multimodal
from so8t.build.data.sample_lines import load_samples, split_file, write_samples
from so8t.build.data.synth import generate
from so8t.build.data.synth_report import report
from so8t.build.data.validate import validate
from so8t.build.data.written import load_written
from so8t.build.model import given_base
from so8t.build.model.attach import attach
from so8t.build.model.base import instruct, pretrain
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.build.model.tokenizer import CHAT_TEMPLATE, chat_format
from so8t.build.quantise import quantise
from so8t.build.train.dataset import encode, sample_prompt
from so8t.build.train.samples import WRITTEN, training_samples
from so8t.build.train.stage import base_folder
from so8t.build.train.swa import copy_into
from so8t.core.config import Config
from so8t.core.errors import BurnInFailed, ParityFailed
from so8t.core.files import fresh_folder, read_json, write_json, write_jsonl, write_text
from so8t.core.packaged import policy_text
from so8t.core.run import StageContext
from so8t.core.types import Domain, Sample, Split
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.prompt import ChatFormat, Style, decision_prompt, training_text
from so8t.judge.precedent import Case
from so8t.judge.triple import POLICY, PRECEDENTS, PROMPT

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
    write_samples(ctx.folder / "written.jsonl", written)
    facts = report([*made, *written])
    write_json(ctx.folder / "synthesis_report.json", facts)
    return {"generated": len(made), "written": len(written), "report": facts}


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


def run_base(ctx: StageContext) -> dict[str, Any]:
    """The model to adapt: a folder as it lies, a GGUF converted into the run, or pre-trained here."""
    base = ctx.config.base
    torch.set_num_threads(ctx.config.threads)
    if base.path or base.package:
        return given_base.take(base, ctx.folder, ctx.work, ctx.progress)
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


def run_burnin(ctx: StageContext) -> dict[str, Any]:
    """Merge, fold, prove; an unproven model is not written."""
    config = ctx.config.burnin
    torch.set_num_threads(ctx.config.threads)
    folder = base_folder(ctx)
    model = attach(load_causal(folder, torch.float32), ctx.config.train.lora, ctx.config.train.gate)
    copy_into(model.parameters(), load_file(ctx.input("train") / "adapter.safetensors"))
    if model.rotations is not None:
        model.rotations.refresh()
    plain, layer_error = burnin.fold(model)
    tokenizer = load_tokenizer(folder)
    prompts = [
        tokenizer(p, add_special_tokens=False)["input_ids"][: config.tokens] for p in proof_prompts(ctx, config.prompts)
    ]
    checks = burnin.prove(model, plain, prompts, config, layer_error)
    facts = {"checks": [c.to_json() for c in checks], "layers": len(plain.model.layers), "max_layer_error": layer_error}
    write_json(ctx.folder / "burnin.json", facts)
    if failed := [f"{c.name} {c.precision}" for c in checks if not c.passed]:
        raise BurnInFailed(where=ctx.folder / "burnin.json", detail=", ".join(failed))
    plain.save_pretrained(ctx.folder / "model")
    tokenizer.save_pretrained(ctx.folder / "model")
    return facts


def proof_prompts(ctx: StageContext, count: int) -> list[str]:
    """Decision prompts of the validation split: real text that was not trained on, none of it evaluation data."""
    samples = load_samples([split_file(ctx.input("validate"), Split.VALIDATION)])
    requests = [s for s in samples if s.kind == "request"]
    random.Random(ctx.config.train.seed).shuffle(requests)
    chat = chat_format(base_folder(ctx))
    return [decision_prompt(sample_prompt(s), ctx.config.prompt.style, chat) for s in requests[:count]]


def run_export(ctx: StageContext) -> dict[str, Any]:
    """The payload but for its calibration: GGUFs, tokenizer, template, Modelfiles, policy, precedents, domain model."""
    config, model = ctx.config.export, ctx.input("burnin") / "model"
    files = fresh_folder(ctx.folder / "gguf")
    f16 = files / "model-F16.gguf"
    layers = read_json(model / "config.json")["num_hidden_layers"]
    gguf.export_f16(model, f16, f"so8t-{ctx.config.profile}")
    made = []
    with ctx.progress.task("quantising", len(config.quantisations), "file") as task:
        for name in config.quantisations:
            path = files / f"model-{name}.gguf"
            if name != "F16":
                quantise(f16, path, name, quantiser=config.quantiser, threads=ctx.config.threads)
            made.append(
                {
                    "name": path.name,
                    "quantisation": name,
                    "bytes": path.stat().st_size,
                    "tensors": gguf.verify(path, name, layers),
                }
            )
            write_modelfile(ctx.folder, name, model, config.context)
            task.advance()
    found = check_parity(ctx, f16, model)
    write_json(ctx.folder / "parity.json", found.to_json())
    if not found.passed:
        raise ParityFailed(
            where=ctx.folder / "parity.json",
            detail=f"{found.equal}+{found.ties}/{found.prompts}, {found.strings_equal}/{found.strings}",
        )
    write_payload(ctx, model)
    return {"files": made, "parity": found.to_json()}


def check_parity(ctx: StageContext, f16: Path, model: Path) -> parity.Parity:
    """A release gate: the GGUF continues and tokenizes as transformers does."""
    config = ctx.config.export
    reference = HuggingFace(load_causal(model, torch.float32), load_tokenizer(model))
    texts = [s.text for s in load_samples([split_file(ctx.input("validate"), Split.VALIDATION)])]
    prompts, strings = proof_prompts(ctx, config.parity_prompts), parity.odd_strings(texts, config.parity_strings)
    return parity.compare(f16, reference, prompts, strings, config.parity_tokens, config.context)


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
    write_json(ctx.folder / "licences.json", ctx.facts("validate").get("licenses", {}))


def run_bundle(ctx: StageContext) -> dict[str, Any]:
    """Payload + calibration + card, listed, hashed and signed with the trainer's key."""
    return assemble(ctx)
