"""A browser without JavaScript that knows its way around the console."""

from __future__ import annotations

import re
from typing import Any

import httpx
from console_server import PASSWORD, Server


class Browser:
    """One person's browser: cookies, Accept, and the headers a browser sends with forms of the same origin."""

    def __init__(self, server: Server, **headers: str) -> None:
        self.server = server
        self.client = httpx.Client(
            base_url=server.address, trust_env=False, timeout=30, headers={"accept": "text/html", **headers}
        )
        self.client.event_hooks["response"].append(self._keep_cookies)
        self.here = "/console"

    def _keep_cookies(self, response: httpx.Response) -> None:
        """Where TLS ends at a proxy, what is for TLS alone comes over our plain connection all the same."""
        for cookie in self.client.cookies.jar:
            cookie.secure = False

    def get(self, path: str, **options: Any) -> httpx.Response:
        answer = self.client.get(path, follow_redirects=True, **options)
        if answer.status_code == 200:
            self.here = str(answer.url)
        return answer

    def post(self, path: str, fields: Any = None, *, csrf: str | None = None, headers: Any = None) -> httpx.Response:
        """Not followed: the answer to the form itself. `csrf` "" leaves the token out."""
        token = self.csrf() if csrf is None else csrf
        data = dict(fields or {}) | ({"csrf": token} if token else {})
        sent = {"sec-fetch-site": "same-origin"} if headers is None else headers
        return self.client.post(path, data=data, headers=sent)

    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.client.get("/console/account").text)
        return found[1] if found else ""

    def login(self, name: str, password: str = PASSWORD, **options: Any) -> httpx.Response:
        return self.post("/console/login", {"name": name, "password": password, "next": "/console"}, csrf="", **options)

    def ask(self, query: str, **fields: str) -> httpx.Response:
        answer = self.post("/console/chat", {"query": query, "after": "", "classification": "", **fields})
        assert answer.status_code == 303, answer.text
        return self.get(answer.headers["location"])

    def seq_asked(self, query: str, **fields: str) -> int:
        return int(re.search(r"after=(\d+)", str(self.ask(query, **fields).url))[1])  # type: ignore[index]
