"""A headless Chromium driven by its DevTools protocol: as much of it as our pages need, over aiohttp's WebSocket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

SECONDS = 30.0
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# It asks nobody anything: no updates, no safe browsing, no name but this machine's.
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--remote-debugging-port=0", "--lang=ja",
    "--force-color-profile=srgb",
)  # fmt: skip


class Failed(Exception):
    """The browser said no, or did not come to what was waited for."""


@dataclass
class Browser:
    """One process. `tab()` opens a page with cookies of its own."""

    socket: aiohttp.ClientWebSocketResponse
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _tabs: dict[str, Tab] = field(default_factory=dict)

    async def tab(self, width: int = 1280, height: int = 900) -> Tab:
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        session = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = self._tabs[session["sessionId"]] = Tab(self, session["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.call(f"{domain}.enable")
        await tab.resize(width, height)
        return tab

    async def call(self, method: str, session: str = "", **values: Any) -> Any:
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": values} | ({"sessionId": session} if session else {})
        await self.socket.send_json(message)
        return await asyncio.wait_for(future, SECONDS)

    async def listen(self) -> None:
        async for message in self.socket:
            told = json.loads(message.data)
            if "id" in told:
                future = self._waiting.pop(told["id"])
                if not future.done():
                    if "error" in told:
                        future.set_exception(Failed(told["error"]["message"]))
                    else:
                        future.set_result(told["result"])
            elif (tab := self._tabs.get(told.get("sessionId", ""))) is not None:
                tab.heard(told["method"], told["params"])


@dataclass
class Tab:
    """One page. `problems`: what its console and its Content-Security-Policy complained of; `asked`: all addresses."""

    browser: Browser
    session: str
    problems: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    width: int = 0
    _loaded: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, method: str, **values: Any) -> Any:
        return await self.browser.call(method, self.session, **values)

    def heard(self, method: str, values: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Network.requestWillBeSent":
            self.asked.append(values["request"]["url"])
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.problems.append(f"{values['entry']['source']}: {values['entry']['text']} {values['entry'].get('url')}")
        elif method == "Runtime.exceptionThrown":
            self.problems.append(f"exception: {values['exceptionDetails']}")
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.problems.append(f"console: {values['args']}")

    async def resize(self, width: int, height: int) -> None:
        self.width, phone = width, width < 600
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        await self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    async def go(self, address: str) -> None:
        self._loaded.clear()
        told = await self.call("Page.navigate", url=address)
        if told.get("errorText"):
            raise Failed(told["errorText"])
        await asyncio.wait_for(self._loaded.wait(), SECONDS)

    async def run(self, script: str) -> Any:
        """The value of an expression."""
        told = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise Failed(str(told["exceptionDetails"]))
        return told["result"].get("value")

    async def until(self, condition: str) -> Any:
        """Look until an expression is true; its value."""
        value: Any = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                while True:
                    with contextlib.suppress(Failed):  # between two pages there is none
                        if value := await self.run(condition):
                            return value
                    await asyncio.sleep(0.05)
        raise Failed(f"never: {condition}\n{await self.text()}")

    async def text(self) -> str:
        return str(await self.run("document.body.innerText"))

    async def fill(self, selector: str, text: str) -> None:
        """Type into a field as a person would."""
        found = json.dumps(selector)
        await self.run(f"(() => {{ const f = document.querySelector({found}); f.focus(); f.select && f.select(); }})()")
        await self.call("Input.insertText", text=text)

    async def press(self, selector: str) -> None:
        """Click where it is, which must be visible; does not wait for what follows."""
        box = await self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1, buttons=1
            )

    async def submit(self, selector: str) -> None:
        """Click what leads to another page, and wait for it."""
        self._loaded.clear()
        await self.press(selector)
        await asyncio.wait_for(self._loaded.wait(), SECONDS)

    async def key(self, name: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    async def overflow(self) -> int:
        """Pixels that the page is wider than its window was made: a telephone's innerWidth grows with a wide page."""
        return int(await self.run("document.documentElement.scrollWidth")) - self.width

    async def picture(self, path: Path, *, whole: bool = True, highest: int = 1600) -> None:
        values: dict[str, Any] = {}
        if whole:
            size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], highest), "scale": 1}
            values = {"captureBeyondViewport": True, "clip": clip}
        told = await self.call("Page.captureScreenshot", format="png", optimizeForSpeed=False, **values)
        path.write_bytes(base64.b64decode(told["data"]))


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser with an empty profile, ended with the block. Raises Failed where none is installed."""
    if PROGRAM is None:
        raise Failed("no chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [PROGRAM, *OPTIONS, f"--user-data-dir={profile}", "about:blank"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"LANGUAGE": "ja"},
        )  # fmt: skip
        try:
            port, path = await _told(Path(profile) / "DevToolsActivePort")
            async with (
                aiohttp.ClientSession() as client,
                client.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=64 << 20) as socket,
            ):
                browser = Browser(socket)
                listening = asyncio.create_task(browser.listen())
                try:
                    yield browser
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _told(file: Path) -> tuple[int, str]:
    """The port and path that the browser writes down when it listens."""
    async with asyncio.timeout(SECONDS):
        while not file.exists() or len(file.read_text().split("\n")) < 2:
            await asyncio.sleep(0.05)
    port, path = file.read_text().strip().split("\n")
    return int(port), path
