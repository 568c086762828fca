"""Putting a request to an agent: who may, what it reads for them, and the answer, all over the gateway as any request.

An agent only narrows. The office's policy, the asker's clearance and the ledger are the same; what it adds are floors
(judge/narrowing.py), the folders it may look into, and who the model is when it answers. It has no rights of its own:
it reads with the clearance of whoever asks, at most up to the highest level it is for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from so8t.core.errors import AgentUnknown, NotPermitted, RecordInvalid
from so8t.core.types import Excerpt, Request, Turn
from so8t.decide.clearance import highest
from so8t.decide.policy import Policy
from so8t.operate.agents.agent import EVERYTHING, Agent
from so8t.operate.agents.catalogue import Catalogue
from so8t.operate.answering import AnswerOptions
from so8t.operate.gateway import MAX_QUERY, Gateway
from so8t.operate.identity.identity import Identity
from so8t.operate.search.searching import MAXIMUM_QUERY, Result
from so8t.operate.search.service import DocumentSearch
from so8t.operate.search.sourced import Reading, Sourced, excerpts
from so8t.operate.search.streamed import SourcedStream

if TYPE_CHECKING:  # an office without tools does not load what speaks to them
    from so8t.operate.tools.calling import Called, ToolDesk

LOOKED_AT = 10  # documents found; the best passages of them are read


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with what was read for it; `called`: tools that the model called."""

    reading: Reading
    called: tuple[Called, ...] = ()

    @property
    def request(self) -> Request:
        return self.reading.request


@dataclass(slots=True)
class AgentDesk:
    """The agents of one office. No search = nothing is read for anybody; no tools = none are called."""

    gateway: Gateway
    catalogue: Catalogue
    search: DocumentSearch | None = None
    tools: ToolDesk | None = None
    calls: int = 0

    def offered(self, identity: Identity) -> list[Agent]:
        """Those that this person may use."""
        return [agent for agent in self.catalogue.agents.values() if agent.serves(identity)]

    def open(self, identity: Identity, name: str) -> Agent:
        """Raises AgentUnknown, NotPermitted."""
        agent = self.catalogue.agents.get(name)
        if agent is None:
            raise AgentUnknown(detail=repr(name)[:80])
        if not agent.serves(identity):
            raise NotPermitted(detail=agent.id)
        return agent

    async def prepared(self, identity: Identity, request: Request) -> Prepared:
        """The request as it is put to the gateway: with passages, at the highest level of what was read.

        Raises AgentUnknown, NotPermitted, and what the search and the ledger raise.
        """
        if not request.agent or not 0 < len(request.query.strip()) <= MAX_QUERY:  # the gateway's to refuse
            return Prepared(Reading(request))
        agent = self.open(identity, request.agent)
        found = await self._found(identity, agent, request.query)
        documents, left_out = self._excerpts(agent, found, identity) if found else ((), ())
        made = with_documents(request, documents, self.gateway.judge.policy)
        called: tuple[Called, ...] = ()
        if self.tools is not None and agent.tools and self.calls:
            called = await self.tools.chosen(identity, agent, made, self.calls)
            told = tuple(excerpt for one in called for excerpt in one.excerpts)
            made = with_documents(made, told, self.gateway.judge.policy)
        return Prepared(Reading(made, found.hits if found else (), left_out), called)

    async def ask(
        self, identity: Identity, name: str, query: str, history: Sequence[Turn] = (),
        options: AnswerOptions | None = None,
    ) -> Answered:  # fmt: skip
        """Raises what prepared() and Gateway.ask raise."""
        agent, prepared = await self._put(identity, name, query, history)
        made = prepared.reading.sourced(await self.gateway.ask(prepared.request, options))
        return Answered(made, about(agent, prepared.called))

    async def stream(
        self, identity: Identity, name: str, query: str, history: Sequence[Turn] = (),
        options: AnswerOptions | None = None,
    ) -> SourcedStream:  # fmt: skip
        """ask() as it comes. Raises what prepared() and Gateway.stream raise."""
        agent, prepared = await self._put(identity, name, query, history)
        made = await self.gateway.stream(prepared.request, options)
        return SourcedStream(prepared.reading, made, about(agent, prepared.called))

    async def _put(self, identity: Identity, name: str, query: str, history: Sequence[Turn]) -> tuple[Agent, Prepared]:
        agent = self.open(identity, name)
        request = Request(
            f"req-{uuid4().hex}", query, identity.clearance, None, None, identity.name, tuple(history), agent=agent.id
        )
        return agent, await self.prepared(identity, request)

    async def _found(self, identity: Identity, agent: Agent, query: str) -> Result | None:
        """None where the agent reads nothing, or the request holds nothing to look for."""
        if self.search is None or not agent.folders:
            return None
        reader = dataclasses.replace(identity, clearance=self._reach(identity, agent))
        folders = None if agent.folders == (EVERYTHING,) else agent.folders
        try:
            return await self.search.ask(reader, query[:MAXIMUM_QUERY], folders, LOOKED_AT)
        except RecordInvalid:
            return None

    def _reach(self, identity: Identity, agent: Agent) -> str:
        """The lower of the asker's clearance and what the agent is for."""
        rank = self.gateway.judge.policy.levels.rank
        return min(identity.clearance, agent.highest or identity.clearance, key=rank)

    def _excerpts(self, agent: Agent, found: Result, identity: Identity) -> tuple[tuple[Excerpt, ...], tuple[str, ...]]:
        """As for any answer from documents; what the agent's own rules see an order in is left out as well."""
        policy, narrowing = self.gateway.judge.policy, agent.narrowing()
        doubtful = {
            id(hit)
            for hit in found.hits
            if narrowing.opinion(Request("document", hit.passage, identity.clearance), policy).floor is not None
        }
        kept, left_out = excerpts([h for h in found.hits if id(h) not in doubtful], identity.clearance, policy)
        return kept, (*(hit.place for hit in found.hits if id(hit) in doubtful), *left_out)


def with_documents(request: Request, documents: Sequence[Excerpt], policy: Policy) -> Request:
    """More to answer from, the most secret first: the answer inherits the highest level that was read for it."""
    if not documents:
        return request
    rank = policy.levels.rank
    everything = tuple(sorted((*request.documents, *documents), key=lambda one: -rank(one.classification)))
    level = highest((request.classification, everything[0].classification), policy)
    return dataclasses.replace(request, documents=everything, classification=level)


@dataclass(frozen=True, slots=True)
class Answered:
    """An agent's answer with its sources. about: whose it is."""

    sourced: Sourced
    about: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {**self.about, **self.sourced.to_json()}


def about(agent: Agent, called: Sequence[Called]) -> dict[str, Any]:
    """Which agent answers, and what the model called for it."""
    return {
        "agent": {"name": agent.id, "digest": agent.digest},
        "tools": [one.to_json() for one in called],
    }
