"""Stage demo: twelve requests chosen in advance through the real gateway, shown as they come out, ledger verified."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from so8t.core import sealing, signing
from so8t.core.errors import BundleUnproven, LedgerBroken
from so8t.core.files import read_json, read_jsonl, write_json
from so8t.core.ledger import Ledger
from so8t.core.ledger_verify import verify
from so8t.core.packaged import packaged
from so8t.core.run import StageContext
from so8t.core.types import Decision, Reply, Request, Verdict
from so8t.decide.combine import combine
from so8t.judge.triple import PROMPT, TripleJudge
from so8t.operate.answering import Answering, AnswerOptions
from so8t.operate.gateway import Gateway
from so8t.operate.serving import running_judge

LEDGER_KEY, TEXT_KEY, BUNDLE_KEY = "ledger.key", "text.key", "bundle.key"


def demo_requests(name: str) -> list[tuple[Request, Decision]]:
    """The listed requests with their labels; the labels are shown beside the verdicts, the judges never see them."""
    path = packaged("requests", f"{name}.jsonl")
    return [
        (Request(r["id"], r["query"], r["clearance"], r["classification"], user="demo"), Decision(r["decision"]))
        for _, r in read_jsonl(path if path.is_file() else Path(name))
    ]


def run_demo(ctx: StageContext) -> dict[str, Any]:
    """Writes demo.json; raises LedgerBroken if the ledger does not verify afterwards."""
    requests = demo_requests(ctx.config.demo.requests)
    key = signing.load_or_create(ctx.run.keys / LEDGER_KEY)
    text_key = sealing.load_or_create(ctx.run.keys / TEXT_KEY)
    with Ledger(ctx.run.ledger, key, text_key) as ledger:
        rows = asyncio.run(_ask(ctx, ledger, requests))
    for row in rows:
        mark = "=" if row["decision"] == row["label"] else "≠"
        line = f"      {row['decision']:<8} {mark} {row['label']:<8} {row['query']}\n               → {row['reply']}"
        ctx.progress.say(line, line)
    report = verify(ctx.run.ledger, public_key=key.public_key(), text_key=text_key)
    if not report.ok:
        raise LedgerBroken(where=ctx.run.ledger, detail="; ".join(p.en for p in report.problems[:3]))
    facts = {
        "requests": len(rows),
        "as_labelled": sum(r["decision"] == r["label"] for r in rows),
        "decisions": {d.value: sum(r["decision"] == d for r in rows) for d in Decision},
        "allowed_by_model": sum(r["allowed_by_model"] for r in rows),
        "allowed_only_with_model": sum(r["allowed_only_with_model"] for r in rows),
        "ledger_entries": report.entries,
        "ledger_ok": report.ok,
    }
    ctx.progress.say(
        f"      ラベルと同じ判定 {facts['as_labelled']}/{len(rows)}、モデルが決め手の許可 {facts['allowed_by_model']}、"
        f"台帳 {report.entries} 件は改変なし",
        f"      as labelled {facts['as_labelled']}/{len(rows)}, allowed with the model as strongest voice "
        f"{facts['allowed_by_model']}, ledger of {report.entries} entries intact",
    )
    write_json(ctx.folder / "demo.json", {"replies": rows, **facts})
    return facts


async def _ask(ctx: StageContext, ledger: Ledger, requests: list[tuple[Request, Decision]]) -> list[dict[str, Any]]:
    trusted = signing.public_path(ctx.run.keys / BUNDLE_KEY)
    async with running_judge(ctx.input("bundle"), trusted, allow_unproven=True) as (bundle, judge, backend):
        try:
            bundle.require_proof()
            proven, why = True, ""
        except BundleUnproven as error:
            proven, why = False, error.detail
            ctx.progress.say(
                "      このバンドルは方針の基準に届いていません。見本として動かし、台帳に残します",
                "      this bundle misses its policy's thresholds: run as a demo, and the ledger says so",
            )
        body = {"payload_digest": bundle.payload_digest, "proven": proven, "why": why, "actor": "demo"}
        await asyncio.wrap_future(ledger.append("bundle", body))
        gateway = Gateway(judge, ledger, Answering(backend, int(read_json(bundle.folder / PROMPT)["context"])))
        options = AnswerOptions(ctx.config.demo.maximum_tokens)
        rows = []
        with ctx.progress.task("asking", len(requests), "request") as task:
            for request, label in requests:
                rows.append(_row(judge, request, label, await gateway.ask(request, options)))
                task.advance()
        return rows


def carried_by_model(verdict: Verdict) -> bool:
    """An ALLOW for which the model was the most certain voice: the verdict's reason names it (decide/combine.py)."""
    return verdict.decision == Decision.ALLOW and verdict.reason.startswith("model:")


def needed_model(judge: TripleJudge, request: Request, verdict: Verdict) -> bool:
    """An ALLOW that the same judges without the model would not have given."""
    others = [o for o in verdict.opinions if o.judge != "model"]
    temperature = judge.calibration.fusion_temperature
    without = combine(request, others, judge.policy, temperature=temperature, domain=verdict.domain)
    return verdict.decision == Decision.ALLOW and without.decision != Decision.ALLOW


def _row(judge: TripleJudge, request: Request, label: Decision, reply: Reply) -> dict[str, Any]:
    """One line of the demo."""
    verdict = reply.verdict
    return {
        "id": request.id,
        "query": request.query,
        "clearance": request.clearance,
        "classification": request.classification,
        "label": label.value,
        "decision": verdict.decision.value,
        "confidence": round(verdict.confidence, 4),
        "opinions": [o.to_json() for o in verdict.opinions],
        "reply": reply.text,
        "ledger_seq": reply.ledger_seq,
        "reason": verdict.reason,
        "allowed_by_model": carried_by_model(verdict),
        "allowed_only_with_model": needed_model(judge, request, verdict),
        "ms": {k: round(v, 2) for k, v in reply.ms.items()},
    }
