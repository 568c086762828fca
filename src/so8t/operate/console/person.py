"""One's own account: what one may, where one is logged in, and a new password."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from so8t.core.errors import AccountInvalid, NotIdentified, So8tError, TooManyAttempts
from so8t.operate.console.visit import LOGIN, Visit, client
from so8t.operate.server.errors import status_of


async def account(visit: Visit, error: So8tError | None = None) -> Response:
    authenticator = visit.running.authenticator
    sessions, user = authenticator.sessions.list(visit.identity.name), authenticator.accounts.find(visit.identity.name)
    return visit.page(
        "account", "account", 200 if error is None else status_of(error), sessions=sessions, current=visit.session,
        error=error, has_password=user is not None and user.has_password,
    )  # fmt: skip


async def change_password(visit: Visit) -> Response:
    """All one's sessions end; one comes in anew with the new one."""
    old, new, again = (visit.form.one(name, 1000) for name in ("old", "new", "again"))
    if new != again:
        return await account(visit, AccountInvalid(detail=("二つの新しいパスワードが違います", "the two differ")))
    try:
        await visit.running.authenticator.change_password(visit.session, old, new, client(visit.http))
    except (AccountInvalid, NotIdentified, TooManyAttempts) as error:
        return await account(visit, error)
    return RedirectResponse(LOGIN, 303, {"set-cookie": visit.running.authenticator.clear_cookie()})


async def logout_everywhere(visit: Visit) -> Response:
    await visit.running.authenticator.logout_everywhere(visit.session)
    return RedirectResponse(LOGIN, 303, {"set-cookie": visit.running.authenticator.clear_cookie()})
