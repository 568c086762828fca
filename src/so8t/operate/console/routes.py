"""The console's addresses: who may open what, and what every form passes before anything reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request as HttpRequest
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from so8t.operate.console import (
    audit,
    chat,
    door,
    model,
    monitor,
    own,
    people,
    person,
    policy,
    review,
    training,
    work,
)  # fmt: skip
from so8t.operate.console.faults import guarded
from so8t.operate.console.forms import check_origin, read_form
from so8t.operate.console.page import STATIC, static
from so8t.operate.console.usage import Usage
from so8t.operate.console.visit import HOME, OVERSIGHT, Console, Visit, number, visited
from so8t.operate.identity.identity import Role
from so8t.operate.server.app import NotFoundHere
from so8t.operate.server.office import Office
from so8t.operate.serving import Running

Handler = Callable[[Visit], Awaitable[Response]]
USER, REVIEWER, AUDITOR, ADMIN = (Role.USER,), (Role.REVIEWER,), (Role.AUDITOR,), (Role.ADMIN,)
ANYBODY = tuple(Role)


@dataclass(frozen=True, slots=True)
class Page:
    """An address for people who are logged in and hold one of `roles`. `files`: its form may bring some; `longest`:
    bytes of one that is sent in parts for its length alone."""

    method: str
    path: str
    handler: Handler
    roles: tuple[Role, ...]
    files: bool = False
    longest: int = 0


PAGES = (
    Page("GET", "", door.home, ANYBODY),
    Page("POST", "/logout", door.logout, ANYBODY),
    Page("GET", "/account", person.account, ANYBODY),
    Page("POST", "/account/password", person.change_password, ANYBODY),
    Page("POST", "/account/logout", person.logout_everywhere, ANYBODY),
    Page("GET", "/chat", chat.show, USER),
    Page("POST", "/chat", chat.ask, USER, files=True),
    Page("GET", "/search", work.search, USER),
    Page("POST", "/search", work.answered, USER),
    Page("GET", "/minutes", work.minutes_form, USER),
    Page("POST", "/minutes", work.make_minutes, USER, longest=2 << 20),
    Page("GET", "/mail", work.mail_form, USER),
    Page("POST", "/mail", work.make_mail, USER),
    Page("GET", "/requests", own.listed, USER),
    Page("GET", "/requests/{seq}", own.one, USER),
    Page("GET", "/requests/{seq}/state", own.state, USER),
    Page("GET", "/review", review.listed, REVIEWER),
    Page("GET", "/review/{seq}", review.one, REVIEWER),
    Page("POST", "/review/{seq}", review.decide, REVIEWER),
    Page("GET", "/review/{seq}/image/{number}/{page}", review.image, REVIEWER),
    Page("POST", "/review/{seq}/assign", review.assign, REVIEWER),
    Page("GET", "/audit", audit.listed, AUDITOR),
    Page("POST", "/audit/verify", audit.verify, AUDITOR),
    Page("GET", "/audit/{seq}", audit.entry, AUDITOR),
    Page("POST", "/audit/{seq}/texts", audit.texts, AUDITOR),
    Page("GET", "/audit/{seq}/image/{number}/{page}", audit.image, AUDITOR),
    Page("GET", "/policy", policy.show, OVERSIGHT),
    Page("GET", "/model", model.show, OVERSIGHT),
    Page("GET", "/model/card", model.card, OVERSIGHT),
    Page("GET", "/training", training.show, OVERSIGHT),
    Page("GET", "/monitor", monitor.show, OVERSIGHT),
    Page("GET", "/users", people.listed, ADMIN),
    Page("POST", "/users", people.add, ADMIN),
    Page("GET", "/users/account", people.one, ADMIN),
    Page("POST", "/users/change", people.change, ADMIN),
    Page("POST", "/users/switch", people.switch, ADMIN),
    Page("POST", "/users/password", people.set_password, ADMIN),
    Page("POST", "/users/keys", people.issue_key, ADMIN),
    Page("POST", "/users/keys/revoke", people.revoke_key, ADMIN),
    Page("POST", "/users/sessions", people.close_session, ADMIN),
)


def routes(running: Running, office: Office, runs: Path) -> list[BaseRoute]:
    """Everything below /console. `runs`: the folder whose trainings are shown."""
    console = Console(running, runs, office.maximum_tokens, Usage(running.reader))
    return [
        Route("/", _root, methods=["GET"]),
        Route(f"{HOME}/", _root, methods=["GET"]),
        Route("/review/{seq}", _told, methods=["GET"]),
        Route(f"{HOME}/static/{{name}}", guarded(_static), methods=["GET"]),
        Route(f"{HOME}/language", guarded(door.language), methods=["POST"]),
        *door.routes(console),
        *(Route(HOME + page.path, guarded(_opened(console, page)), methods=[page.method]) for page in PAGES),
        Route(f"{HOME}/{{rest:path}}", guarded(_nothing), methods=["GET", "POST"]),
    ]


def _opened(console: Console, page: Page) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def opened(http: HttpRequest) -> Response:
        if page.method == "POST":
            check_origin(http)
        visit = await visited(console, http)
        visit.identity.require(*page.roles)
        if page.method == "POST":
            visit.form = await read_form(http, most=visit.longest_upload if page.files else page.longest)
            visit.session.require_csrf(visit.form.one("csrf", 100))
        response = await page.handler(visit)
        for cookie in visit.cookies:
            response.headers.append("set-cookie", cookie)
        return response

    return opened


async def _root(_: HttpRequest) -> Response:
    return RedirectResponse(HOME, 303)


async def _told(http: HttpRequest) -> Response:
    """The address that notifications name (review/notify.py)."""
    return RedirectResponse(f"{HOME}/review/{number(http.path_params['seq'], 'seq')}", 303)


async def _static(http: HttpRequest) -> Response:
    name = http.path_params["name"]
    if name not in STATIC:
        raise NotFoundHere(detail=name[:80])
    headers = {"cache-control": "public, max-age=31536000, immutable", "content-security-policy": "default-src 'none'"}
    return Response(static(name), 200, headers, STATIC[name])


async def _nothing(http: HttpRequest) -> Response:
    raise NotFoundHere(detail=http.url.path[:200])
