"""監査: the ledger's entries, the texts behind them for who may read them, and the proof that nothing was changed.

Reading somebody's text is itself an entry, made before the text is shown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from so8t.core import signing
from so8t.core.errors import NotPermitted, RecordInvalid
from so8t.core.ledger_format import KINDS
from so8t.core.ledger_read import Filters, LedgerReader, Stored
from so8t.core.ledger_report import Report
from so8t.core.ledger_verify import verify as verify_ledger
from so8t.core.types import DECISIONS, Request
from so8t.decide.clearance import effective_classification, highest
from so8t.decide.policy import Policy
from so8t.decide.views import views
from so8t.operate.console.moments import day_begins
from so8t.operate.console.pictures import picture, shown
from so8t.operate.console.visit import Visit, number
from so8t.operate.intake.kept import KEYS
from so8t.operate.server.errors import Busy
from so8t.operate.serving import text_key

PAGE = 50
FIELDS = ("kind", "decision", "actor", "since", "until")


async def listed(visit: Visit) -> Response:
    """The newest first, by kind, decision, person and days; ?before=SEQ goes on."""
    asked = {name: visit.asked(name) for name in FIELDS}
    before = visit.asked("before", 15)
    filters = _filters(asked) | Filters(before=number(before, "before") if before else None)
    entries = await asyncio.to_thread(
        lambda: visit.running.reader.entries(limit=PAGE + 1, newest_first=True, **filters)
    )
    more = None
    if len(entries) > PAGE:
        given = {name: value for name, value in asked.items() if value}
        more = "/console/audit?" + urlencode(given | {"before": entries[PAGE - 1].seq})
    return visit.page(
        "audit", "audit", entries=entries[:PAGE], asked=asked, kinds=sorted(KINDS), decisions=DECISIONS, more=more,
        head=visit.running.gateway.ledger.head, failure=visit.running.gateway.ledger_failure,
    )  # fmt: skip


def _filters(asked: Mapping[str, str]) -> Filters:
    if asked["kind"] and asked["kind"] not in KINDS:
        raise RecordInvalid(where="kind", detail=" ".join(sorted(KINDS)))
    if asked["decision"] and asked["decision"] not in DECISIONS:
        raise RecordInvalid(where="decision", detail=" ".join(DECISIONS))
    return Filters(
        kinds=(asked["kind"],) if asked["kind"] else (), decision=asked["decision"] or None,
        actor=asked["actor"] or None, since=day_begins(asked["since"], "since"),
        until=day_begins(asked["until"], "until", after=True),
    )  # fmt: skip


async def entry(visit: Visit) -> Response:
    """What the chain holds of an entry; no text yet."""
    return await _entry_page(visit, await _stored(visit))


async def texts(visit: Visit) -> Response:
    """The texts, once it is written down that they are read. Raises NotPermitted above the auditor's clearance."""
    stored = await _stored(visit)
    found, who = await _readable(visit, stored), visit.identity
    body = {"event": "text_read", "actor": who.name, "seq": stored.seq, "of": stored.actor, "texts": sorted(found)}
    await visit.running.gateway.note("access", body)
    return await _entry_page(visit, stored, found)


async def image(visit: Visit) -> Response:
    """A page of an image, for an auditor whose clearance reaches. Raises NotPermitted, RecordInvalid."""
    stored = await _stored(visit)
    await _readable(visit, stored)
    return await picture(visit, stored)


async def _readable(visit: Visit, stored: Stored) -> dict[str, str]:
    """The texts of an entry, for an auditor whose clearance reaches. Raises NotPermitted."""
    found, level = await asyncio.to_thread(_texts, visit.running.reader, stored, visit.running.policy.policy)
    levels = visit.running.policy.policy.levels
    if level is not None and levels.gap(visit.identity.clearance, level) > 0:
        raise NotPermitted(detail=level)
    return found


async def _stored(visit: Visit) -> Stored:
    found = await asyncio.to_thread(visit.running.reader.entry, visit.seq)
    if found is None:
        raise RecordInvalid(where=f"seq {visit.seq}", detail=("その番号の項目はありません", "no such entry"))
    return found


async def _entry_page(visit: Visit, stored: Stored, found: dict[str, str] | None = None) -> Response:
    data = json.dumps(stored.data, ensure_ascii=False, indent=2, sort_keys=True)
    related = [] if not stored.request_id else await asyncio.to_thread(_related, visit.running.reader, stored)
    return visit.page("entry", "audit", entry=stored, data=data, texts=found, related=related,
                      pictures=shown(visit, stored.data, found) if found else [])  # fmt: skip


def _related(reader: LedgerReader, stored: Stored) -> list[Stored]:
    """The other entries of the same request."""
    return [e for e in reader.entries(request_id=stored.request_id, limit=50) if e.seq != stored.seq]


def _texts(reader: LedgerReader, stored: Stored, policy: Policy) -> tuple[dict[str, str], str | None]:
    """The texts and the highest level that is stated or marked for them, or for the request they belong to."""
    found = {name: text for name, text in reader.texts_of([stored]).get(stored.seq, {}).items() if name != KEYS}
    of = stored.data.get("case", stored.data.get("decision_seq"))
    request = reader.entry(of) if isinstance(of, int) else stored
    stated = [] if request is None else _stated(request, policy)
    marked = (_marked(text, policy) for text in found.values())
    return found, highest((*stated, *marked), policy)


def _stated(stored: Stored, policy: Policy) -> list[str]:
    review: Any = stored.data.get("review")
    told = (stored.data.get("classification"), review.get("classification") if isinstance(review, dict) else None)
    # A level that today's policy has no more is above all of them: nobody reads it by mistake.
    return [level if level in policy.levels.names else policy.levels.names[-1] for level in told if level]


def _marked(text: str, policy: Policy) -> str | None:
    return effective_classification(Request("", text), views(text), policy)


async def verify(visit: Visit) -> Response:
    """Check the whole ledger, in a thread, once at a time. Raises Busy, RecordInvalid, TextKeyWrong."""
    console, config = visit.console, visit.running.config.ledger
    expected = _noted(visit.form.one("head", 200).strip())
    if console.verifying:
        raise Busy(detail="verify")
    console.verifying = True
    try:
        path = Path(config.postgres_file or config.path)
        public = signing.load_public(signing.public_path(Path(config.key)))
        report: Report = await asyncio.to_thread(
            lambda: verify_ledger(path, None, public, text_key(config), expected=expected)
        )
    finally:
        console.verifying = False
    return visit.page("verify", "audit", report=report, expected=expected)


def _noted(text: str) -> tuple[int, str] | None:
    """A head that was copied down: SEQ:HEX, spaces and line breaks between the digits allowed."""
    seq, colon, head = "".join(text.split()).lower().partition(":")
    if not text:
        return None
    if not colon or len(head) != 64 or not set(head) <= set("0123456789abcdef"):
        raise RecordInvalid(where="head", detail="SEQ:HEX (64)")
    return number(seq, "head"), head
