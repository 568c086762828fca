"""so8t review: what was handed over, decided through a running server; and what people decided, as training data."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from so8t.ask.wire import Wire
from so8t.core.config import load_config
from so8t.core.errors import UsageError
from so8t.core.files import write_jsonl
from so8t.core.key_file import read_key
from so8t.core.ledger_read import LedgerReader, Stored
from so8t.core.sealing import load
from so8t.core.types import Decision
from so8t.operate.office_wire import OfficeWire
from so8t.operate.review.case import STATUS_WORDS, Status, after, opened
from so8t.operate.review.draft import MADE
from so8t.report.figures import DOMAIN_WORDS, JUDGE_WORDS, Words
from so8t.report.summary import printable, table

BASE = "/so8t/v1/reviews"
SERVER = "http://127.0.0.1:8008"
FACTS = {
    "state": "状態", "for": "判断する人", "deadline": "期限", "asker": "依頼者(権限)", "level": "区分",
    "domain": "分野", "rules": "当たった規則", "reason": "理由",
}  # fmt: skip
TEXTS = {
    "query": "依頼", "history": "ここまでのやりとり", "documents": "読ませる資料", "draft": "許可すると渡る文",
    "reply": "依頼者への返事",
}  # fmt: skip


def review(options: argparse.Namespace) -> int:
    """list, show, approve, reject ask the server with a reviewer's key; export reads the ledger."""
    if options.action == "export":
        return export(options)
    if not options.key_file:
        raise UsageError(where="--key-file", detail="a file with a reviewer's API key (so8t users key NAME)")
    if options.action != "list" and not options.seq:
        raise UsageError(where="so8t review", detail=f"{options.action} NUMBER")
    return asyncio.run(_asked(options))


async def _asked(options: argparse.Namespace) -> int:
    wire = OfficeWire(options.server or SERVER, (f"{BASE}", f"{BASE}/"), key=read_key(options.key_file))
    try:
        answer = await _ACTIONS[options.action](wire, options)
    finally:
        await wire.close()
    if options.json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print(_shown(answer, options.lang))
    return 0


async def _list(wire: Wire, _: argparse.Namespace) -> Any:
    return await wire.get(BASE)


async def _show(wire: Wire, options: argparse.Namespace) -> Any:
    return await wire.get(f"{BASE}/{options.seq}")


async def _decide(wire: Wire, options: argparse.Namespace, decision: Decision) -> Any:
    body = {"decision": decision.value, "comment": options.comment, "answer": options.answer}
    return await wire.post(f"{BASE}/{options.seq}", body)


_ACTIONS: dict[str, Callable[[Wire, argparse.Namespace], Awaitable[Any]]] = {
    "list": _list,
    "show": _show,
    "approve": lambda wire, options: _decide(wire, options, Decision.ALLOW),
    "reject": lambda wire, options: _decide(wire, options, Decision.DENY),
}


def _shown(answer: Any, lang: str) -> str:
    return _waiting(answer["reviews"], lang) if "reviews" in answer else _case(answer, lang)


def _waiting(cases: list[dict[str, Any]], lang: str) -> str:
    ja = lang == "ja"
    if not cases:
        return "判断を待つ依頼はありません。" if ja else "Nothing waits for you."
    heads = ["番号", "期限", "判断する人", "分野", "状態"] if ja else ["no.", "deadline", "for", "domain", "state"]
    rows = [
        [str(c["seq"]), _moment(c["deadline"]), c["target"], _word(DOMAIN_WORDS, c["domain"], lang),
         _word(STATUS_WORDS, c["status"], lang)]
        for c in cases
    ]  # fmt: skip
    return table(rows, heads)


def _case(case: dict[str, Any], lang: str) -> str:
    """Everything a decision needs: who asked at which level, why it was handed over, and the texts."""
    ja = lang == "ja"
    names = FACTS if ja else {name: name for name in FACTS}
    facts = {
        "state": _word(STATUS_WORDS, case["status"], lang),
        "for": case["target"],
        "deadline": _moment(case["deadline"]),
        "asker": f"{case['asker']} ({case['clearance']})",
        "level": case["classification"] or "-",
        "domain": _word(DOMAIN_WORDS, case["domain"], lang),
        "rules": "、".join(case["rules"]) or "-",
        "reason": case["reason"] or "-",
    }
    lines = [f"{case['seq']}", *(f"  {names[name]}: {printable(fact)}" for name, fact in facts.items())]
    for opinion in case["opinions"]:
        shares = " ".join(f"{d} {p:.2f}" for d, p in (opinion["probabilities"] or {}).items())
        lines.append(f"  {_word(JUDGE_WORDS, opinion['judge'], lang)}: {opinion['decision'] or '-'} {shares}".rstrip())
    for name, text in _texts(case.get("texts", {})):
        lines += ["", f"[{TEXTS.get(name, name) if ja else name}]", *map(printable, text.splitlines())]
    return "\n".join(lines)


def _texts(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The texts as a person reads them: what is kept as JSON is laid out, or left out where a text says it too."""
    for name, text in texts.items():
        if name == "documents":
            yield name, "\n".join(f"{place} ({level})\n{said}" for _, place, level, said in json.loads(text))
        elif name == "history":
            yield name, "\n".join(f"{role}: {said}" for role, said in json.loads(text))
        elif name not in ("order", MADE):
            yield name, text


def _word(words: Mapping[str, Words], name: str | None, lang: str) -> str:
    return words[name].only(lang) if name is not None and name in words else printable(name or "-")


def _moment(text: str) -> str:
    """In this machine's time."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")


def export(options: argparse.Namespace) -> int:
    """Closed cases with their texts, as rows for `synth.own`. Erased ones are left out, and so are expired ones."""
    config = load_config("", options.config).serve.ledger
    path = options.ledger or Path(config.postgres_file or config.path)
    key = load(options.text_key or Path(config.text_key))
    with LedgerReader(path, key) as reader:
        rows = list(decided(reader))
    write_jsonl(options.out, rows)
    if options.json:
        print(json.dumps({"written": len(rows), "file": str(options.out)}, ensure_ascii=False))
    else:
        print(f"{len(rows)} 件 / rows: {options.out}")
    return 0


def decided(reader: LedgerReader) -> Iterator[dict[str, Any]]:
    """What people decided, oldest first: the request, its levels, their decision, and the answer that was given."""
    cases = {e.seq: opened(e) for e in every(reader, kinds=("decision",), decision=Decision.ESCALATE.value)}
    for entry in every(reader, kinds=("review",)):
        if (seq := entry.data.get("case")) in cases:
            cases[seq] = after(cases[seq], entry)
    for case in cases.values():
        if case.closed not in (Status.ALLOWED, Status.DENIED) or (query := reader.texts(case.seq).get("query")) is None:
            continue
        vote = case.votes[-1]
        own = next((a for v in reversed(case.votes) if (a := reader.texts(v.seq).get("answer"))), None)
        given = reader.texts(case.answer_seq).get("reply") if case.answer_seq else None
        yield {
            "id": f"review-{case.seq}", "query": query, "decision": vote.decision.value, "domain": case.domain,
            "clearance": case.clearance, "classification": case.classification, "response": own or given,
            "by": vote.reviewer, "time": vote.time,
        }  # fmt: skip


def every(reader: LedgerReader, **filters: Any) -> Iterator[Stored]:
    """All entries of a kind, page by page."""
    last = 0
    while page := reader.entries(after=last, **filters):
        yield from page
        last = page[-1].seq
