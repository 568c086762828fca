"""What the skins of one server share: the gateway, who is who, and how the model is called outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.requests import Request as HttpRequest

from so8t.core.errors import NotPermitted, RecordInvalid
from so8t.core.types import Decision, Request, Turn, Verdict
from so8t.operate.agents.desk import AgentDesk
from so8t.operate.answering import AnswerOptions
from so8t.operate.gateway import Gateway
from so8t.operate.identity.authenticator import Authenticator
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.intake.intake import Intake, Said
from so8t.operate.server.body import MAX_BYTES, Json, only
from so8t.operate.server.errors import ModelUnknown
from so8t.operate.server.places import enter

MAX_STOPS, MAX_STOP = 8, 100
# A clearance would open everything; a domain chooses rules, thresholds and reviewers.
NOT_THE_ASKERS = {
    "clearance": ("権限は送れません。依頼する人のものです", "not offered: the clearance is the asker's own"),
    "domain": ("分野は送れません。文から判定します", "not offered: the domain is told from the text"),
}
AMBIENT = ("session", "proxy", "oidc")  # what a browser sends by itself, whichever page asked it to


@dataclass(slots=True)
class Office:
    """`model` is the name clients use; `created`: Unix seconds of the bundle; `details`: for Ollama's model list.

    An agent of `agents` is to a client a model of its own, "so8t/finance".
    """

    gateway: Gateway
    authenticator: Authenticator
    model: str
    created: int
    maximum_tokens: int
    details: Mapping[str, Any]
    intake: Intake | None = None
    agents: AgentDesk | None = None

    async def identity(self, http: HttpRequest, *roles: Role) -> Identity:
        """Who asks. Raises NotIdentified, NotPermitted, TooManyAttempts, Crowded."""
        headers = self.authenticator.read(http.headers.raw)
        identity = await self.authenticator.identify(headers, http.client.host if http.client else "")
        enter(http.scope, identity.name)
        if identity.method in AMBIENT and http.method not in ("GET", "HEAD"):
            check_same_origin(http)
        identity.require(*(roles or (Role.USER,)))
        return identity

    def known(self, model: object) -> str:
        """The name asked for. Raises ModelUnknown for any but ours and our agents'."""
        if not isinstance(model, str):
            raise ModelUnknown(detail=repr(model)[:80])
        name, _, agent = model.removesuffix(":latest").partition("/")
        there = self.agents.catalogue.agents if self.agents else {}
        if name != self.model or (agent not in there if "/" in model else bool(agent)):
            raise ModelUnknown(detail=repr(model)[:80])
        return model

    @property
    def longest(self) -> int:
        """Bytes of a request that may hold images."""
        return MAX_BYTES if self.intake is None else self.intake.config.megabytes << 20

    async def asked(self, identity: Identity, said: Sequence[Said], body: Json) -> Request:
        """request() of what was said, images read. Raises RecordInvalid, Busy, ReaderFailed, PackageMissing."""
        if not any(one.uploads for one in said):
            return self.request(identity, [Turn(one.role, one.text) for one in said], body)  # type: ignore[arg-type]
        if self.intake is None:
            raise RecordInvalid(where="messages", detail="images are not read here (serve.intake, so8t[ocr])")
        turns, attachments = await self.intake.turns(identity.name, said, self.gateway.judge.policy)
        return replace(self.request(identity, turns, body), attachments=attachments)

    def models(self, identity: Identity) -> list[str]:
        """The names that this person may ask for."""
        agents = self.agents.offered(identity) if self.agents else []
        return [self.model, *(f"{self.model}/{agent.id}" for agent in agents)]

    async def prepared(self, identity: Identity, request: Request) -> Request:
        """The request with what its agent reads for it. Raises NotPermitted, and what the agent's search raises."""
        return (await self.agents.prepared(identity, request)).request if self.agents else request

    def request(self, identity: Identity, turns: list[Turn], body: Json) -> Request:
        """What the gateway judges: the last turn, after those before it.

        Clearance comes from who asks, never from what is sent. `so8t` of the body may name the classification.
        """
        if not turns or turns[-1].role != "user":
            raise RecordInvalid(where="messages", detail="the last message must be the user's")
        return Request(
            f"req-{uuid4().hex}", turns[-1].text, identity.clearance, stated_level(body), None, identity.name,
            tuple(turns[:-1]), agent=self._agent(body["model"]) if "model" in body else "",
        )  # fmt: skip

    def _agent(self, model: object) -> str:
        return self.known(model).removesuffix(":latest").partition("/")[2]

    def options(self, limit: object, temperature: object, top_p: object, seed: object, stop: object) -> AnswerOptions:
        """What a client may choose about its answer, checked; None = ours. Raises RecordInvalid."""
        most = self.maximum_tokens
        limit = most if limit is None or limit == -1 else _whole(limit, "max_tokens", 1, 1 << 20)
        stops = [stop] if isinstance(stop, str) else [] if stop is None else stop
        if not isinstance(stops, list) or len(stops) > MAX_STOPS:
            raise RecordInvalid(where="stop", detail=f"at most {MAX_STOPS} strings expected")
        if not all(isinstance(s, str) and 0 < len(s) <= MAX_STOP for s in stops):
            raise RecordInvalid(where="stop", detail=f"strings of 1 to {MAX_STOP} characters expected")
        return AnswerOptions(
            min(limit, most),
            _number(temperature, "temperature", 0.0, 2.0, 0.0),
            _number(top_p, "top_p", 0.0, 1.0, 1.0),
            None if seed is None else _whole(seed, "seed", -(1 << 63), (1 << 63) - 1) & 0xFFFFFFFF,
            tuple(stops),
        )


def stated_level(body: Json) -> str | None:
    """The classification that `so8t` of the body names. Raises RecordInvalid for that and for all else it holds."""
    told = body.get("so8t")
    if told is None:
        return None
    if not isinstance(told, dict):
        raise RecordInvalid(where="so8t", detail="an object expected")
    for name, why in NOT_THE_ASKERS.items():
        if name in told:
            raise RecordInvalid(where=f"so8t.{name}", detail=why)
    only(told, "classification", where="so8t.")
    level = told.get("classification")
    if level is not None and not isinstance(level, str):
        raise RecordInvalid(where="so8t.classification", detail="a level's name expected")
    return level


def check_same_origin(http: HttpRequest) -> None:
    """Raises NotPermitted where a browser says that another site sent it; a program says nothing (Fetch Metadata).

    Without this, any page in the company could make a logged-in reviewer's browser approve (CSRF): another port of the
    same host is the same site, so SameSite cookies go along.
    """
    site, origin = http.headers.get("sec-fetch-site", "same-origin"), http.headers.get("origin")
    same_host = origin is None or urlsplit(origin).netloc.lower() == http.headers.get("host", "").lower()
    if site != "same-origin" or not same_host:
        raise NotPermitted(detail="Origin / Sec-Fetch-Site")


def shown(verdict: Verdict, seq: int, head: str) -> Json:
    """The documented field `so8t` of every answer: what was decided, on what ground, and where that is written down."""
    return {
        "decision": verdict.decision.value,
        "confidence": round(verdict.confidence, 4),
        "policy_ref": verdict.policy_ref,
        "escalation_target": verdict.escalation_target,
        "domain": verdict.domain.value if verdict.domain else None,
        "request_id": verdict.request_id,
        "ledger": {"seq": seq, "head": head},
        "policy_digest": verdict.policy_digest,
        "payload_digest": verdict.payload_digest,
    }


def verdict_headers(verdict: Verdict, seq: int, head: str) -> dict[str, str]:
    """The same for clients that drop what they do not know."""
    return {
        "x-so8t-decision": verdict.decision.value,
        "x-so8t-request": verdict.request_id,
        "x-so8t-ledger": f"{seq}:{head}",
    }


def finish_reason(decision: Decision, *, cut: bool, withheld: bool, failed: bool) -> str:
    """OpenAI's word for how an answer ended; a refusal and a hand-over are its content_filter."""
    if decision != Decision.ALLOW or withheld or failed:
        return "content_filter"
    return "length" if cut else "stop"


def _number(value: object, name: str, least: float, most: float, default: float) -> float:
    if value is None:
        return default
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise RecordInvalid(where=name, detail=f"{least:g} to {most:g} expected")
    return float(value)


def _whole(value: object, name: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RecordInvalid(where=name, detail=f"a whole number from {least} to {most} expected")
    return value
