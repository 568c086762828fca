"""The office of office_server.py with its console, and people with passwords."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from office_server import ANY, POLICY, configured, judge_of, listening, office

from so8t.ask.backend import Upstream
from so8t.core.progress import Progress
from so8t.core.serve_config import IdentityConfig, NotifyConfig, SearchConfig, SearchFolder, ServeConfig
from so8t.core.types import Domain
from so8t.decide.domain import DomainModel
from so8t.decide.policy import Policy
from so8t.decide.policy_sections import FourEyes
from so8t.judge.precedent import Case
from so8t.operate.console.routes import routes
from so8t.operate.identity.identity import Role
from so8t.operate.search.folders import folders_of
from so8t.operate.search.indexing import update
from so8t.operate.search.store import IndexStore
from so8t.operate.server.guard import Guard
from so8t.operate.server.run import app_of, office_of
from so8t.operate.serving import Running

PASSWORD = "垣根の曲り角 たき火"
PEOPLE: dict[str, tuple[set[Role], str]] = {
    "kanri": ({Role.ADMIN}, "極秘"),
    "sato": ({Role.USER}, "社内限定"),
    "suzuki": ({Role.USER}, "社内限定"),
    "shonin": ({Role.REVIEWER}, "部外秘"),
    "futari": ({Role.REVIEWER}, "極秘"),
    "kansa": ({Role.AUDITOR}, "極秘"),
}


@dataclass
class Server:
    """What a test needs of it. Everything in it may be changed while it runs."""

    address: str
    running: Running
    loop: asyncio.AbstractEventLoop
    folder: Path

    def do(self, coroutine: Any) -> Any:
        """Run a coroutine where the server runs."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)


def config(folder: Path, **identity: Any) -> ServeConfig:
    documents = folder / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    folders = (SearchFolder(str(documents), "総務", "社内限定", (("*役員*", "極秘"),)),)
    return dataclasses.replace(
        configured(folder), notify=NotifyConfig(file=str(folder / "notify.jsonl")),
        identity=IdentityConfig(**{"users": str(folder / "users.db"), "requests_per_minute": 100_000, **identity}),
        search=SearchConfig(str(folder / "search.db"), folders=folders),
    )  # fmt: skip


def application(running: Running, runs: Path) -> Guard:
    made = office_of(running)
    return app_of(running, made, routes(running, made, runs))


@contextmanager
def serving(
    folder: Path, backend: Upstream, settings: ServeConfig | None = None, *, people: bool = True,
    runs: Path | None = None, policy: Policy = POLICY, cases: Sequence[Case] = (), domains: DomainModel = ANY,
    **options: Any,
) -> Iterator[Server]:  # fmt: skip
    """The server for the time of the block. All of PEOPLE have PASSWORD."""

    async def prepared(running: Running) -> Guard:
        for name, (roles, clearance) in PEOPLE.items() if people else ():
            accounts = running.authenticator.accounts
            await accounts.add(name, roles=roles, clearance=clearance, by="test", password=PASSWORD)
        return application(running, runs or folder / "runs")

    judge = judge_of(backend, policy, cases, domains)
    made = office(folder, backend, settings or config(folder), judge, **options)
    with listening(made, prepared) as (address, running, loop):
        yield Server(address, running, loop, folder)


def indexed(server: Server, **texts: str) -> None:
    """Files of these names and texts where the server looks for documents, found from now on."""
    running = server.running
    for name, text in texts.items():
        (server.folder / "documents" / f"{name}.txt").write_text(text, encoding="utf-8")
    policy = running.policy.policy
    store = IndexStore(Path(running.config.search.index), policy.levels.names, write=True)
    update(store, folders_of(running.config.search, policy), policy, Progress(stream=io.StringIO()))
    store.close()


def eyes(*domains: Domain, policy: Policy = POLICY) -> Policy:
    """The same policy with two reviewers for these domains and for nothing else."""
    four = (FourEyes(frozenset(), frozenset(domains), frozenset()),) if domains else ()
    return dataclasses.replace(policy, review=dataclasses.replace(policy.review, four_eyes=four))
