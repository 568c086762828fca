"""Stage prove: calibrate and measure every quantisation through the real judges; the card holds it to the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from so8t.core.bundle import payload_digest
from so8t.core.files import hash_folder, read_json, read_jsonl, write_json, write_text
from so8t.core.run import StageContext
from so8t.core.types import DECISIONS, Sample, Split
from so8t.decide.domain import DomainModel
from so8t.decide.policy import Policy, parse_policy
from so8t.judge.triple import CALIBRATION, DOMAIN_MODEL, POLICY
from so8t.prove.card import measured_card
from so8t.prove.card_sections import sections
from so8t.prove.evaluation import read_evaluation
from so8t.prove.measure import Job, Measured, check_mix, measure
from so8t.prove.perplexity import held_out_texts
from so8t.report.card import card_html


def evaluation_samples(folder: Path, split: Split, limit: int = 0) -> list[Sample]:
    """The written requests of one split; `limit` keeps the first so many of each decision (profile micro)."""
    path = folder / f"{split}.jsonl"
    samples = [Sample.from_json(r, f"{path}:{n}") for n, r in read_jsonl(path)]
    return limited([s for s in samples if s.decision is not None], limit)


def limited(requests: list[Sample], limit: int) -> list[Sample]:
    """The first limit // 3 of each decision; all of them without a limit."""
    if not limit:
        return requests
    return [s for d in DECISIONS for s in [r for r in requests if r.decision == d][: limit // 3]]


def run_prove(ctx: StageContext) -> dict[str, Any]:
    """Writes calibration.json, card.json and card.html; thresholds that fail are on the card, not an exception."""
    config, payload = ctx.config, ctx.input("export")
    check_mix(config.prove)
    policy = parse_policy((payload / POLICY).read_text(encoding="utf-8"), str(payload / POLICY))
    job = Job(
        payload=payload,
        quantisations=config.export.quantisations,
        context=config.export.context,
        splits={Split.CALIBRATION: _calibration(ctx, policy), Split.TEST: _test(ctx)},
        texts=held_out_texts(ctx.input("validate")) if config.prove.perplexity_tokens else [],
        settings=config.prove,
        deployed=config.prove.deploy,
        sections=sections(config.prove),
    )
    measured = measure(job, ctx.progress)
    write_json(ctx.folder / CALIBRATION, {n: c.to_json() for n, c in measured.calibrations.items()})
    card = _card(ctx, measured, policy)
    write_json(ctx.folder / "card.json", card)
    write_text(ctx.folder / "card.html", card_html(card))
    test = measured.results[config.prove.deploy]["splits"]["test"]
    return {
        "accuracy": test["accuracy"]["value"], "macro_f1": test["f1"]["macro"]["value"],
        "refuse_recall": test["refuse_recall"]["value"], "danger_allowed": test["danger_allowed"]["value"],
        "passed": card["thresholds"]["passed"], "payload_digest": card["payload_digest"],
    }  # fmt: skip


def _test(ctx: StageContext) -> list[Sample]:
    return evaluation_samples(ctx.input("validate"), Split.TEST, ctx.config.prove.limit)


def _calibration(ctx: StageContext, policy: Policy) -> list[Sample]:
    """Split calibration, or the user's own labelled requests in its place (so8t calibrate tells how that came out)."""
    settings = ctx.config.prove
    if not settings.calibration:
        return evaluation_samples(ctx.input("validate"), Split.CALIBRATION, settings.limit)
    domains = DomainModel.from_bytes((ctx.input("export") / DOMAIN_MODEL).read_bytes())
    path = Path(settings.calibration).expanduser()
    return limited(
        read_evaluation(path, policy, lambda text: domains.classify(text)[0], Split.CALIBRATION), settings.limit
    )


def _card(ctx: StageContext, measured: Measured, policy: Policy) -> dict[str, Any]:
    """Everything an auditor reads, from the manifests of the run and what was measured just now."""
    config, export = ctx.config, ctx.facts("export")
    digest = payload_digest(hash_folder(ctx.input("export")) | hash_folder(ctx.folder))
    data, base, train = ctx.facts("validate"), ctx.facts("base"), ctx.facts("train")
    demo = config.profile in ("tiny", "micro")
    return measured_card(measured, policy, config.prove.deploy, export.get("files", []), digest) | {
        "name": ctx.run.folder.name,
        "profile": config.profile,
        "demo": demo,
        "model": base | {k: train[k] for k in ("lora_parameters", "gate_parameters") if k in train},
        "data": {
            "texts": data.get("texts"), "characters": data.get("characters"), "requests": data.get("requests"),
            "synthetic": ctx.facts("synth").get("generated"), "licenses": data.get("licenses"),
        },
        "training": train
        | {"seconds": _seconds(ctx, "train"), "history": _history(ctx.input("train") / "history.jsonl")},
        "burnin": ctx.facts("burnin"),
        "parity": export.get("parity"),
        "limits_ja": LIMITS_JA if demo else [],
        "limits_en": LIMITS_EN if demo else [],
        "data_warnings": [],
    }  # fmt: skip


LIMITS_JA = [
    "このモデルは数分で作られた見本です。工程がつながることを示すもので、世の中のことは何も知りません。",
    "判定の数値は規則・先例・モデルの三者を合わせたものです。実務の可否判断には使えません。",
    "答えの文は日本語として崩れることがあります。",
]
LIMITS_EN = [
    "This model was made in minutes as a sample. It proves that the chain works; it knows nothing of the world.",
    "The figures are those of rules, precedents and model together. Do not use it for real decisions.",
    "The wording of its answers may not be good Japanese.",
]


def _seconds(ctx: StageContext, stage: str) -> float:
    manifest = ctx.run.manifest(stage)
    return manifest.seconds if manifest else 0.0


def _history(path: Path, most: int = 400) -> list[dict[str, Any]]:
    """The training curve, thinned to at most `most` points."""
    records = [record for _, record in read_jsonl(path)] if path.exists() else []
    stride = max(1, -(-len(records) // most))
    return records[::stride]


def card_of(run_folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = read_json(run_folder / "prove" / "card.json")
    return card
