"""モデル: what the card says of the bundle that is served, and the card itself as a page that can do nothing."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from starlette.responses import Response

from so8t.core.bundle import MAX_CARD_BYTES, Bundle
from so8t.core.bundle_listing import read_bounded
from so8t.core.errors import BundleBroken, So8tError
from so8t.operate.console.visit import Visit
from so8t.operate.server.app import NotFoundHere
from so8t.report.card import VERDICTS, deployed_result, verdict_of
from so8t.report.figures import FIGURES, measured, size
from so8t.report.reading import cell, mapping, moment, plain
from so8t.report.sections import threshold_rows

CARD = "card.html"
# The card's style sheet is inline; its own policy, inside, allows that one by hash and nothing else.
CARD_CSP = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


async def show(visit: Visit) -> Response:
    running = visit.running
    facts = await asyncio.to_thread(_facts, running.bundle)
    file = running.bundle.gguf(running.quantisation)
    return visit.page(
        "model", "model", bundle=running.bundle, quantisation=running.quantisation, context=running.context,
        size=size(file.stat().st_size) if file.is_file() else None, replicas=running.pool.replicas,
        has_card=CARD in running.bundle.listing.get("files", {}), card=facts, why=running.unproven,
    )  # fmt: skip


def _facts(bundle: Bundle) -> dict[str, Any] | None:
    """The main figures in words, or None without a card that can be read."""
    try:
        card = bundle.card
    except (So8tError, OSError):
        return None
    quantisation, result, split = deployed_result(card)
    verdict = verdict_of(card)
    figures = [(f, cell(f, measured(result, f.path))) for f in FIGURES.values()]
    return {
        "verdict": verdict, "verdict_words": VERDICTS[verdict], "name": plain(card.get("name")),
        "profile": plain(card.get("profile")), "created": moment(card.get("created"))[:16], "split": split,
        "quantisation": quantisation, "policy": plain(mapping(card.get("policy")).get("label") or "—"),
        "thresholds": threshold_rows(card, result), "figures": [(f, c) for f, c in figures if c["text"] != "—"],
        "same_payload": card.get("payload_digest") == bundle.payload_digest,
    }  # fmt: skip


async def card(visit: Visit) -> Response:
    """Raises NotFoundHere without one, BundleBroken for one that is not what the signed listing says."""
    listed = visit.running.bundle.listing.get("files", {}).get(CARD)
    if listed is None:
        raise NotFoundHere(detail=CARD)
    raw = await asyncio.to_thread(_card, visit.running.bundle, listed)
    return Response(raw, 200, {"content-security-policy": CARD_CSP}, "text/html")


def _card(bundle: Bundle, listed: str) -> bytes:
    raw = read_bounded(bundle.folder / CARD, MAX_CARD_BYTES)
    if hashlib.sha256(raw).hexdigest() != listed:
        raise BundleBroken(where=CARD, detail="SHA-256")
    return raw
