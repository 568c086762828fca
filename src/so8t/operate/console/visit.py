"""One browser's request: who it is, in which language, and what may be shown to him."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from so8t.core.errors import NotIdentified, RecordInvalid
from so8t.operate.console import page
from so8t.operate.console.forms import Form
from so8t.operate.console.usage import Usage
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.identity.sessions import Session
from so8t.operate.server.places import enter
from so8t.operate.serving import Running

HOME, LOGIN = "/console", "/console/login"
LANGUAGE = "so8t-lang"
YEAR = 365 * 86_400
_LOCAL = re.compile(r"/console(?:/[A-Za-z0-9_/-]*)?(?:\?[A-Za-z0-9_=&%.:+-]*)?")


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the menu, and who has it."""

    key: str
    path: str
    ja: str
    en: str
    roles: tuple[Role, ...]


OVERSIGHT = (Role.AUDITOR, Role.ADMIN)
MENU = (
    Place("chat", "/console/chat", "対話", "Chat", (Role.USER,)),
    Place("search", "/console/search", "文書検索", "Search", (Role.USER,)),
    Place("minutes", "/console/minutes", "議事録", "Minutes", (Role.USER,)),
    Place("mail", "/console/mail", "メール", "Mail", (Role.USER,)),
    Place("requests", "/console/requests", "私の依頼", "My requests", (Role.USER,)),
    Place("review", "/console/review", "承認待ち", "Reviews", (Role.REVIEWER,)),
    Place("audit", "/console/audit", "監査", "Audit", (Role.AUDITOR,)),
    Place("policy", "/console/policy", "方針", "Policy", OVERSIGHT),
    Place("model", "/console/model", "モデル", "Model", OVERSIGHT),
    Place("training", "/console/training", "学習", "Training", OVERSIGHT),
    Place("monitor", "/console/monitor", "監視", "Monitoring", OVERSIGHT),
    Place("users", "/console/users", "利用者", "Users", (Role.ADMIN,)),
)


@dataclass(slots=True)
class Console:
    """What all pages share. `runs`: where trainings lie."""

    running: Running
    runs: Path
    maximum_tokens: int
    usage: Usage
    verifying: bool = False

    @property
    def unproven(self) -> str:
        """Why what runs is not what was proved, or ""."""
        if self.running.unproven:
            return self.running.unproven
        return "policy" if self.running.policy.change.kind == "other" else ""


@dataclass(slots=True)
class Visit:
    """A request of somebody who is logged in. `cookies` go out with whatever is answered."""

    http: HttpRequest
    console: Console
    identity: Identity
    session: Session
    lang: str
    form: Form = field(default_factory=Form)
    cookies: list[str] = field(default_factory=list)

    @property
    def running(self) -> Running:
        return self.console.running

    @property
    def seq(self) -> int:
        """The ledger number in the path."""
        return number(self.http.path_params["seq"], "seq")

    @property
    def longest_upload(self) -> int:
        """Bytes of a form that may bring images; 0 = it may not."""
        intake = self.running.intake
        return intake.config.megabytes << 20 if intake else 0

    def asked(self, name: str, longest: int = 100) -> str:
        """A value of the address's query. Raises RecordInvalid for one too long."""
        value = self.http.query_params.get(name, "")
        if len(value) > longest:
            raise RecordInvalid(where=name, detail=f"> {longest}")
        return value

    def page(self, name: str, at: str, status: int = 200, **values: Any) -> Response:
        """A page inside the frame of menu and header; `at` is its place in the menu."""
        return page.page(name, self.lang, status, **self.frame(at), **values)

    def frame(self, at: str) -> Mapping[str, Any]:
        places = [place for place in MENU if place.key != "search" or self.running.search is not None]
        menu = [place for place in places if not self.identity.roles.isdisjoint(place.roles)]
        return {
            "menu": menu, "at": at, "identity": self.identity, "csrf": self.session.csrf, "here": here(self.http),
            "organisation": self.running.policy.policy.org_name, "unproven": self.console.unproven,
        }  # fmt: skip


def language(http: HttpRequest) -> str:
    return "en" if http.cookies.get(LANGUAGE) == "en" else "ja"


def here(http: HttpRequest) -> str:
    """The address asked for, as a place to come back to."""
    query = f"?{http.url.query}" if http.url.query else ""
    return local(http.url.path + query) if http.method == "GET" else HOME


def local(path: str) -> str:
    """A page of ours, or the first one: nobody is led elsewhere (CWE-601)."""
    return path if len(path) < 500 and _LOCAL.fullmatch(path) and "//" not in path else HOME


def number(text: object, where: str) -> int:
    """A ledger number. Raises RecordInvalid."""
    value = str(text)
    if not (value.isascii() and value.isdigit()) or len(value) > 15:
        raise RecordInvalid(where=where, detail="a number expected")
    return int(value)


def client(http: HttpRequest) -> str:
    return http.client.host if http.client else ""


async def visited(console: Console, http: HttpRequest) -> Visit:
    """Who visits. Raises NotIdentified, also for an API key: pages are for people; NotPermitted, TooManyAttempts,
    Crowded.

    Somebody whom the proxy names gets a session by the way, so that his forms have their token.
    """
    authenticator, address = console.running.authenticator, client(http)
    headers = authenticator.read(http.headers.raw)
    identity = await authenticator.identify(headers, address)
    enter(http.scope, identity.name)
    if identity.method == "key":
        raise NotIdentified(detail="API key")
    cookies = []
    try:
        session = await authenticator.session(headers, address)
    except NotIdentified:
        if identity.method != "proxy":
            raise
        session = await authenticator.open_session(identity, address)
        cookies.append(authenticator.set_cookie(session))
    return Visit(http, console, identity, session, language(http), cookies=cookies)
