"""A real office whose clock stands where the test puts it, and things that happen in it: for reports on its ledger."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from office_server import ANSWER, POLICY, SCORES, build

from so8t.ask.backend import FakeBackend
from so8t.core import sealing, signing
from so8t.core.errors import BackendDown, RecordInvalid
from so8t.core.ledger import Ledger
from so8t.core.ledger_read import LedgerReader
from so8t.core.types import Decision, Domain, Request
from so8t.decide.policy_change import change
from so8t.decide.policy_sections import FourEyes, ReviewPolicy
from so8t.operate.gateway import Gateway
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.policy_watch import entry_body
from so8t.operate.review.queue import ReviewQueue

START = datetime(2026, 10, 30, 20, 0, tzinfo=UTC)
PERSONAL = "担当の連絡先は 090-1234-5678 です。"
FOUR = ReviewPolicy(four_eyes=(FourEyes(frozenset(), frozenset({Domain.FINANCE}), frozenset()),))
REVIEWERS = [
    Identity(f"審査{name}", frozenset({Role.REVIEWER}), "極秘", "session") for name in ("乙", "丙")
]  # fmt: skip
# What may happen, one after the other; each takes a few hours.
STEPS = (
    "allow", "deny", "above", "hand", "hand-finance", "vote-allow", "vote-deny", "vote-second", "expire", "assign",
    "personal", "stream", "failed", "too-long", "login-refused", "user-added", "erase", "policy-changed",
    "policy-refused", "restart", "clock-back",
)  # fmt: skip


@dataclass
class Story:
    """`keys`: ledger.key and text.key lie in `folder`, as `so8t serve` has them in runs/keys."""

    folder: Path
    backend: FakeBackend
    gateway: Gateway
    ledger: Ledger
    queue: ReviewQueue
    texts: sealing.TextKey
    now: datetime = START
    number: int = 0
    handed: list[int] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / "ledger.db"

    async def ask(self, query: str, classification: str = "社内限定", domain: Domain = Domain.BUSINESS) -> int:
        self.number += 1
        request = Request(f"req-{self.number}", query, "社内限定", classification, domain, "社員甲")
        return (await self.gateway.ask(request)).ledger_seq

    async def happen(self, step: str) -> None:
        self.now += timedelta(hours=5, minutes=self.number % 7)
        await getattr(self, "_" + step.replace("-", "_"))()

    async def _allow(self) -> None:
        await self.ask("会議の議事録を三行にまとめてください。")

    async def _deny(self) -> None:
        await self.ask("禁じる件です。", domain=Domain.MEDICAL)

    async def _above(self) -> None:
        await self.ask("要約してください。", "極秘")

    async def _hand(self) -> None:
        self.handed.append(await self.ask("人に聞くべき契約の件です。"))

    async def _hand_finance(self) -> None:
        self.handed.append(await self.ask("人に聞くべき融資の件です。", domain=Domain.FINANCE))

    async def _vote(self, who: Identity, decision: Decision) -> None:
        for case in await self.queue.waiting_for(who):
            await self.queue.decide(case.seq, who, decision, "意見")
            return

    async def _vote_allow(self) -> None:
        await self._vote(REVIEWERS[0], Decision.ALLOW)

    async def _vote_deny(self) -> None:
        await self._vote(REVIEWERS[0], Decision.DENY)

    async def _vote_second(self) -> None:
        await self._vote(REVIEWERS[1], Decision.ALLOW)

    async def _expire(self) -> None:
        self.now += timedelta(days=5)
        await self.queue.expire()

    async def _assign(self) -> None:
        for case in await self.queue.waiting_for(REVIEWERS[0]):
            await self.queue.assign(case.seq, case.target, REVIEWERS[0])
            return

    async def _personal(self) -> None:
        self.backend.answer = PERSONAL
        await self.ask("担当を教えてください。")
        self.backend.answer = ANSWER

    async def _stream(self) -> None:
        self.backend.answer = f"次のとおりです。{PERSONAL}"
        stream = await self.gateway.stream(Request(f"stream-{self.number}", "連絡先の一覧を。", user="社員乙"))
        async for _ in stream.sentences:
            pass
        await self.gateway.settled()
        self.backend.answer = ANSWER

    async def _failed(self) -> None:
        self.backend.error = BackendDown(where="fake")
        await self.ask("会議室の予約の手順は。")
        self.backend.error = None

    async def _too_long(self) -> None:
        try:
            await self.ask("あ" * 30_000)
        except RecordInvalid:
            return
        raise AssertionError("a request nobody can judge was judged")

    async def _login_refused(self) -> None:
        await self.gateway.note("access", {"event": "login_refused", "actor": None, "name": None})

    async def _user_added(self) -> None:
        await self.gateway.note("access", {"event": "user_added", "actor": "admin", "name": "社員丁"})

    async def _erase(self) -> None:
        found = LedgerReader(self.path).entries(kinds=("decision",), newest_first=True, limit=1)
        try:
            await asyncio.wrap_future(self.ledger.erase(found[0].seq if found else 1, "本人の請求", actor="admin"))
        except RecordInvalid:  # erased already, or nothing to erase
            return

    async def _policy_changed(self) -> None:
        policy = dataclasses.replace(self.gateway.judge.policy, version=str(self.number), digest=f"{self.number:064x}")
        found = change(self.gateway.judge.policy, policy)
        await self.gateway.note("policy", entry_body("changed", policy, found, actor="server"))
        self.gateway.judge = dataclasses.replace(self.gateway.judge, policy=policy)

    async def _policy_refused(self) -> None:
        await self.gateway.note("policy", {"event": "refused", "error": "Y01", "detail": "", "actor": "server"})

    async def _restart(self) -> None:
        self.now += timedelta(hours=3)
        digest = "a" * 64 if self.number % 2 else "b" * 64
        body = {"event": "serving", "payload_digest": digest, "proven": bool(self.number % 2), "why": "", "actor": "s"}
        await self.gateway.note("bundle", body)

    async def _clock_back(self) -> None:
        self.now -= timedelta(hours=12)
        await self._allow()


def tell(folder: Path, steps: Iterable[str], also: Callable[[Story], None] = lambda story: None) -> Path:
    """Everything in order, then the office closes; the path of its ledger. `also` is called before that."""
    folder.mkdir(parents=True, exist_ok=True)
    backend = FakeBackend(SCORES, answer=ANSWER)
    (folder / "office").mkdir()
    gateway, _, unused, texts, authenticator = build(folder / "office", backend)
    unused.close()
    (folder / "text.key").write_bytes(texts.encode())
    key = signing.load_or_create(folder / "ledger.key")
    # A ledger of our own: the first entry too is dated by the story's clock.
    ledger = gateway.ledger = Ledger(folder / "ledger.db", key, texts, clock=lambda: START)
    policy = dataclasses.replace(POLICY, review=FOUR)
    gateway.judge = dataclasses.replace(gateway.judge, policy=policy)
    queue = ReviewQueue(gateway, LedgerReader(folder / "ledger.db", texts))
    story = Story(folder, backend, gateway, ledger, queue, texts)
    queue.now = gateway.now = lambda: story.now
    ledger._clock = lambda: story.now

    async def all_of_it() -> None:
        for step in steps:
            await story.happen(step)
        also(story)

    try:
        asyncio.run(all_of_it())
    finally:
        authenticator.close()
        ledger.close()
    return folder / "ledger.db"


def key_of(folder: Path) -> signing.Ed25519PublicKey:
    return signing.load_public(folder / "ledger.key.pub")
