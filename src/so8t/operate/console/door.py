"""Coming in and going out: password, the company's OpenID provider, or the proxy that has identified everybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request as HttpRequest
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from so8t.core.errors import AccessError, NotIdentified, So8tError, TooManyAttempts, UsageError
from so8t.operate.console import page
from so8t.operate.console import visit as visits
from so8t.operate.console.faults import guarded
from so8t.operate.console.forms import check_origin, read_form
from so8t.operate.console.visit import HOME, LOGIN, MENU, Console, Visit, client, local
from so8t.operate.identity.passwords import LONGEST
from so8t.operate.server.errors import status_of
from so8t.operate.serving import address

RETURN = f"{LOGIN}/oidc/return"
UNKNOWN_SECONDS = 5.0  # for the form of somebody who is not known yet


def routes(console: Console) -> list[Route]:
    def of(
        handler: Callable[[Console, HttpRequest], Awaitable[Response]],
    ) -> Callable[[HttpRequest], Awaitable[Response]]:
        async def answered(http: HttpRequest) -> Response:
            return await handler(console, http)

        return guarded(answered)

    return [
        Route(LOGIN, of(show), methods=["GET"]),
        Route(LOGIN, of(enter), methods=["POST"]),
        Route(f"{LOGIN}/oidc", of(to_provider), methods=["GET"]),
        Route(RETURN, of(from_provider), methods=["GET"]),
    ]


async def home(visit: Visit) -> Response:
    """The first page that this person has."""
    place = next((p for p in MENU if not visit.identity.roles.isdisjoint(p.roles)), None)
    return RedirectResponse(place.path if place else f"{HOME}/account", 303)


async def show(console: Console, http: HttpRequest) -> Response:
    """The form; whoever is in already, also by the proxy, goes on."""
    wanted = local(http.query_params.get("next", HOME))
    try:
        visit = await visits.visited(console, http)
    except NotIdentified:
        return _form(console, http, wanted)
    except AccessError as error:
        return _form(console, http, wanted, error)
    response = RedirectResponse(wanted, 303)
    for cookie in visit.cookies:
        response.headers.append("set-cookie", cookie)
    return response


async def enter(console: Console, http: HttpRequest) -> Response:
    """A login always makes a new session; a cookie that was planted before is overwritten."""
    check_origin(http)
    form = await read_form(http, UNKNOWN_SECONDS)
    wanted, name = local(form.one("next", 500)), form.one("name", 200)
    try:
        session = await console.running.authenticator.login(name, form.one("password", 4 * LONGEST), client(http))
    except (NotIdentified, TooManyAttempts) as error:
        return _form(console, http, wanted, error)
    return RedirectResponse(wanted, 303, {"set-cookie": console.running.authenticator.set_cookie(session)})


async def to_provider(console: Console, http: HttpRequest) -> Response:
    """A link and not a form: form-action 'self' would hold the redirect back."""
    if not console.running.config.identity.oidc.issuer:
        raise UsageError(where="serve.identity.oidc.issuer", detail="OIDC")
    url, cookie = await console.running.authenticator.oidc_url(address(console.running.config) + RETURN)
    return RedirectResponse(url, 303, {"set-cookie": cookie})


async def from_provider(console: Console, http: HttpRequest) -> Response:
    """A page of ours that goes on by itself: a redirect would keep the new SameSite=Strict cookie back."""
    authenticator = console.running.authenticator
    try:
        headers = authenticator.read(http.headers.raw)
        session = await authenticator.finish_oidc(dict(http.query_params), headers, client(http))
    except AccessError as error:
        return _form(console, http, HOME, error)
    answer = page.page("onward", visits.language(http), target=HOME)
    answer.headers.append("set-cookie", authenticator.set_cookie(session))
    return answer


async def logout(visit: Visit) -> Response:
    await visit.running.authenticator.logout(visit.session)
    return RedirectResponse(LOGIN, 303, {"set-cookie": visit.running.authenticator.clear_cookie()})


async def language(http: HttpRequest) -> Response:
    """The switch between Japanese and English; it needs no login, so it has no token, only a page of ours."""
    check_origin(http)
    form = await read_form(http, UNKNOWN_SECONDS)
    lang = "en" if form.one("to", 2) == "en" else "ja"
    secure = "; Secure" if http.url.scheme == "https" else ""
    cookie = f"{visits.LANGUAGE}={lang}; Path=/; Max-Age={visits.YEAR}; HttpOnly; SameSite=Lax{secure}"
    return RedirectResponse(local(form.one("next", 500)), 303, {"set-cookie": cookie})


def _form(console: Console, http: HttpRequest, wanted: str, error: So8tError | None = None) -> Response:
    running = console.running
    status = 200 if error is None else status_of(error)
    answer = page.page(
        "login", visits.language(http), status, error=error, wanted=wanted,
        organisation=running.policy.policy.org_name, oidc=bool(running.config.identity.oidc.issuer),
        seconds=getattr(error, "seconds", 0), unproven=console.unproven,
    )  # fmt: skip
    if isinstance(error, TooManyAttempts):
        answer.headers["retry-after"] = str(max(1, error.seconds))
    return answer
