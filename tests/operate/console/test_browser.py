"""The whole story in a real Chromium, at a desk and on a telephone: ask, hand over, allow, answer, audit (6.8)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import chromium
import pytest
from chromium import Browser, Tab
from console_server import PASSWORD, Server, indexed
from office_server import ANSWER, SCORES

from so8t.ask.backend import FakeBackend, Piece

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed (apt-get install chromium)"),
]
PLAIN = "会議の議事録を三行にまとめてください。"
HANDED = "人に聞くべき契約の件です。" + "長い" * 200 + "w" * 300
EVERYWHERE = {
    "sato": ("chat", "requests", "account", "nothing"),
    "shonin": ("review",),
    "kansa": ("audit", "audit/1", "policy", "model", "training", "monitor"),
    "kanri": ("users", "users/account?name=sato"),
}
FREE = "!document.querySelector('#ask button.main').disabled"  # the answer is there for good
OVERLAPPING = """[...document.querySelectorAll('main tbody tr, main .row, main .verdict')].filter(row => {
  const boxes = [...row.children].map(c => c.getBoundingClientRect()).filter(b => b.width * b.height > 4);
  return boxes.some((a, i) => boxes.slice(i + 1).some(b => a.left < b.right - 1 && b.left < a.right - 1
    && a.top < b.bottom - 1 && b.top < a.bottom - 1) || row.scrollWidth > row.clientWidth + 1);
}).map(row => row.innerText)"""
SIZES = pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])


def in_chromium(story: Callable[[Browser], Awaitable[None]]) -> None:
    async def main() -> None:
        async with chromium.chromium() as browser:
            await story(browser)

    asyncio.run(main())


async def entered(browser: Browser, server: Server, name: str, width: int, height: int) -> Tab:
    tab = await browser.tab(width, height)
    await tab.go(f"{server.address}/console/login")
    assert await tab.overflow() <= 0
    await tab.fill("#name", name)
    await tab.fill("#password", PASSWORD)
    await tab.submit("form.stack button.main")
    return tab


def clean(server: Server, *tabs: Tab) -> None:
    """Nothing was complained of, and nobody else was asked for anything."""
    for tab in tabs:
        assert tab.problems == []
        # data: the browser draws its own date field with it
        assert [a for a in tab.asked if not a.startswith((server.address, "about:", "data:"))] == []


@SIZES
def test_from_question_to_proof(server: Server, width: int, height: int) -> None:
    async def story(browser: Browser) -> None:
        user = await entered(browser, server, "sato", width, height)
        await user.fill("#query", PLAIN)
        await user.press("#ask button.main")
        await user.until(f"document.body.innerText.includes({ANSWER!r}) && {FREE}")
        assert "許可" in await user.text() and await user.overflow() <= 0
        await user.fill("#query", HANDED)
        await user.press("#ask button.main")
        seq = await user.until("document.querySelector('[data-state]')?.dataset.state.match(/\\d+/)[0]")
        assert "人へ回す" in await user.text() and "判断待ち" in await user.text() and await user.overflow() <= 0
        assert PLAIN in await user.text()

        reviewer = await entered(browser, server, "shonin", width, height)
        await reviewer.submit(f"a[href='/console/review/{seq}']")
        assert "三者の意見" in await reviewer.text() and await reviewer.overflow() <= 0
        await reviewer.fill("#comment", "一般論としてなら差し支えない。")
        await reviewer.submit("button[value=ALLOW]")
        assert "許可されました" in await reviewer.text()

        await user.until(f"document.body.innerText.split({ANSWER!r}).length > 2")  # by itself, without a reload
        assert "許可されました" in await user.text()

        auditor = await entered(browser, server, "kansa", width, height)
        await auditor.go(f"{server.address}/console/audit?kind=decision&actor=sato")
        await auditor.submit(f"a[href='/console/audit/{seq}']")
        assert HANDED not in await auditor.text() and await auditor.overflow() <= 0
        await auditor.submit("form[action$=texts] button")
        assert HANDED in await auditor.text() and await auditor.overflow() <= 0
        await auditor.go(f"{server.address}/console/audit")
        assert "本文を読んだ" in await auditor.text()
        await auditor.submit("form[action$=verify] button")
        assert "改変は見つかりませんでした" in await auditor.text() and await auditor.overflow() <= 0
        clean(server, user, reviewer, auditor)

    in_chromium(story)
    kinds = [e.kind for e in server.running.reader.entries()]
    assert {"decision", "answer", "review", "access"} <= set(kinds)


class Halting(FakeBackend):
    """Says the first sentence, and the others only when it may."""

    may = threading.Event()

    async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[Piece]:
        first, rest = ANSWER[:10], ANSWER[10:]
        yield Piece(f"{first}{rest[:10]}")
        while not self.may.is_set():
            await asyncio.sleep(0.01)
        yield Piece(rest[10:], 9, True)


@SIZES
def test_an_answer_from_documents_comes_sentence_by_sentence(server: Server, width: int, height: int) -> None:
    indexed(server, 旅費="旅費は<七日>以内に精算します。三行にまとめました。" + "長い" * 150 + "w" * 300)
    backend = server.running.pool.replicas[0].backend = Halting(SCORES)
    backend.may.clear()

    async def story(browser: Browser) -> None:
        user = await entered(browser, server, "sato", width, height)
        await user.go(f"{server.address}/console/search?q=旅費")
        await user.press("#answer button")
        shown = await user.until(
            f"document.querySelector('.paper')?.innerText.includes({ANSWER[:10]!r}) && document.body.innerText"
        )
        assert "[1]" in shown and "許可" in shown and "二つめ" not in shown and await user.overflow() <= 0
        backend.may.set()
        await user.until("document.querySelector('h1').innerText === '文書からの答え'")
        shown = await user.text()
        assert "二つめは人です。" in shown and "根拠なし" in shown and "<七日>" in shown and await user.overflow() <= 0
        assert await user.run("document.activeElement.id") == "main"
        clean(server, user)

    in_chromium(story)


@SIZES
def test_every_page_fits_and_complains_of_nothing(server: Server, width: int, height: int) -> None:
    async def story(browser: Browser) -> None:
        for name, places in EVERYWHERE.items():
            tab = await entered(browser, server, name, width, height)
            for place in places:
                await tab.go(f"{server.address}/console/{place}")
                assert await tab.overflow() <= 0, place
                assert await tab.run(OVERLAPPING) == [], place
                assert await tab.run("document.querySelectorAll('h1').length") == 1
                unnamed = "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')]"
                assert await tab.run(f"{unnamed}.filter(f => !f.labels.length).map(f => f.name)") == []
            tab.problems = [p for p in tab.problems if "/console/nothing" not in p]  # the 404 that was asked for
            clean(server, tab)

    in_chromium(story)


def test_with_the_keyboard_alone(server: Server) -> None:
    """The first stop is the skip link; then name, password, and Enter; Ctrl+Enter sends."""

    async def story(browser: Browser) -> None:
        tab = await browser.tab()
        await tab.go(f"{server.address}/console/login")
        assert await tab.run("document.activeElement.id") == "name"
        await tab.call("Input.insertText", text="sato")
        await tab.key("Tab", 9)
        await tab.call("Input.insertText", text=PASSWORD)
        await tab.key("Tab", 9)
        assert await tab.run("document.activeElement.tagName") == "BUTTON"
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await tab.run(outline) == "solid"
        await tab.submit("form.stack button.main")
        await tab.key("Tab", 9)
        assert await tab.run("document.activeElement.className") == "skip"
        await tab.run("document.querySelector('#query').focus()")
        await tab.call("Input.insertText", text=PLAIN)
        for kind in ("rawKeyDown", "keyUp"):
            await tab.call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, modifiers=2
            )
        await tab.until(f"document.body.innerText.includes({ANSWER!r})")
        assert await tab.run("document.activeElement.id") == "query"
        assert "許可" in await tab.run("document.querySelector('[role=status]').textContent")
        clean(server, tab)

    in_chromium(story)


def test_without_a_script(server: Server) -> None:
    async def story(browser: Browser) -> None:
        tab = await browser.tab()
        await tab.call("Emulation.setScriptExecutionDisabled", value=True)
        await tab.go(f"{server.address}/console/login")
        await tab.fill("#name", "sato")
        await tab.fill("#password", PASSWORD)
        await tab.submit("form.stack button.main")
        await tab.fill("#query", PLAIN)
        await tab.submit("#ask button.main")
        assert ANSWER in await tab.text() and "許可" in await tab.text()
        clean(server, tab)

    in_chromium(story)


def test_a_session_that_ended_says_so(server: Server) -> None:
    async def story(browser: Browser) -> None:
        tab = await entered(browser, server, "sato", 1280, 900)
        server.do(server.running.authenticator.sessions.close_all("sato", "test"))
        await tab.fill("#query", PLAIN)
        await tab.press("#ask button.main")
        said = await tab.until("document.querySelector('.live.bad')?.textContent")
        assert "誰からの依頼か" in said
        assert await tab.run("document.querySelector('#query').value") == PLAIN  # nothing written is lost

    in_chromium(story)
    assert server.running.reader.entries(kinds=("decision",)) == []
