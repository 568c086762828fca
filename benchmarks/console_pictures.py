"""The pictures of docs/console.md: the console of a real server, over sample data that this script makes itself.

    .venv/bin/python benchmarks/console_pictures.py docs/images

Requests, their labels and their answers are the package's own examples (resources/requests/demo.jsonl), asked over the
last two weeks of a clock that is moved by hand; a stand-in takes the model's place and says what the examples say. So
the pictures show what pages look like, not how well a model judges. Training is shown from --runs, the model page from
--bundle; what is not there is left out. Needs Chromium and a Japanese font (apt-get install chromium fonts-noto-cjk).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from chromium import Browser, Tab, chromium
from console_server import PASSWORD, Server, serving

from so8t.ask.backend import GREEDY, FakeBackend, Generation, Sampling
from so8t.core.bundle import newest_bundle, open_bundle
from so8t.core.files import read_jsonl
from so8t.core.packaged import packaged
from so8t.core.types import DECISIONS, Decision, Request
from so8t.decide.domain import DomainModel
from so8t.judge.precedent import Case
from so8t.operate.identity.identity import Identity, Role

DAYS, LARGEST = 14, 200_000  # bytes of a picture
STAFF = {
    "佐藤": ({Role.USER}, "社内限定", "佐藤 花子", ["営業部"]),
    "鈴木": ({Role.USER}, "部外秘", "鈴木 一郎", ["開発部"]),
    "高橋": ({Role.USER, Role.REVIEWER}, "極秘", "高橋 恵", ["情報管理室"]),
    "田中": ({Role.REVIEWER}, "部外秘", "田中 誠", ["人事部"]),
    "伊藤": ({Role.AUDITOR}, "極秘", "伊藤 明", ["監査室"]),
    "渡辺": ({Role.ADMIN}, "部外秘", "渡辺 健", ["情報システム部"]),
}


@dataclass
class Moved:
    """A clock that stands where it is put."""

    value: datetime

    def __call__(self) -> datetime:
        return self.value


MINUTES = "会議の記録から議事録を作る"


@dataclass
class StandIn(FakeBackend):
    """Says of each example what its label and its answer are; minutes are allowed; at all else a person looks."""

    examples: dict[str, dict[str, str]] = field(default_factory=dict)

    async def label_scores(self, prompt: str, labels: Sequence[str]) -> list[float]:
        found = self._found(prompt)
        usual = Decision.ALLOW if MINUTES in prompt else Decision.ESCALATE
        decision = Decision(found["decision"]) if found else usual
        near = {d: -1.6 - 0.9 * abs(d.severity - decision.severity) for d in DECISIONS}
        return [0.0 if d is decision else near[d] for d in DECISIONS]

    async def generate(
        self, prompt: str, maximum_tokens: int, stop: Sequence[str] = (), sampling: Sampling = GREEDY
    ) -> Generation:
        found = self._found(prompt)
        text = found["response"] if found else "担当者に確かめてから、あらためてお答えします。"
        return Generation(text, len(text), True, 0.0)

    def _found(self, prompt: str) -> dict[str, str] | None:
        """The example asked last: earlier turns stand in the prompt too."""
        there = {prompt.rfind(query): example for query, example in self.examples.items() if query in prompt}
        return there[max(there)] if there else None


def examples() -> dict[str, dict[str, str]]:
    return {str(record["query"]): record for _, record in read_jsonl(packaged("requests", "demo.jsonl"))}


async def two_weeks(server: Server, clock: Moved, found: dict[str, dict[str, str]]) -> int:
    """Working days with requests, decided in hours; returns the number of a case that still waits."""
    running, dice, queries = server.running, random.Random(8), list(found)
    reviewer = Identity("高橋", frozenset({Role.REVIEWER}), "極秘", "session", frozenset({"情報管理室"}))
    last, begin = 0, clock.value
    for day in range(DAYS):
        morning = begin + timedelta(days=day)
        count = dice.randint(9, 16) if morning.astimezone().weekday() < 5 else dice.randint(0, 2)
        for n in range(count if day < DAYS - 1 else 8):
            clock.value = max(clock.value, morning + timedelta(minutes=31 * n))
            query = dice.choice(queries) if day < DAYS - 1 or n < 7 else queries[6]
            who = "鈴木" if found[query]["clearance"] == "部外秘" else "佐藤"
            level = STAFF[who][1]
            reply = await running.gateway.ask(Request(f"sample-{day}-{n}", query, level, None, None, who))
            if reply.verdict.decision == Decision.ESCALATE:
                last = reply.ledger_seq
        for case in await running.reviews.waiting_for(reviewer) if day < DAYS - 1 else ():
            clock.value += timedelta(minutes=dice.randint(4, 40))
            chosen = Decision.ALLOW if dice.random() < 0.6 else Decision.DENY
            await running.reviews.decide(case.seq, reviewer, chosen, "手順書 3 の範囲で確認しました。")
    return last


async def staff(server: Server) -> None:
    for name, (roles, clearance, display, groups) in STAFF.items():
        await server.running.authenticator.accounts.add(
            name, roles=roles, clearance=clearance, by="見本", display=display, groups=groups, password=PASSWORD
        )
    await server.running.authenticator.keys.issue("鈴木", by="渡辺", label="議事録の要約")


async def shown(server: Server, browser: Browser, name: str, width: int = 1280, height: int = 860) -> Tab:
    tab = await browser.tab(width, height)
    await tab.go(f"{server.address}/console/login")
    await tab.fill("#name", name)
    await tab.fill("#password", PASSWORD)
    await tab.submit("form.stack button.main")
    return tab


async def pictures(server: Server, out: Path, case: int, found: dict[str, dict[str, str]], model: bool) -> None:
    async with chromium() as browser:
        door = await browser.tab(1280, 560)
        await door.go(f"{server.address}/console/login")
        await taken(door, out, "login", 560)
        user, phone = [await shown(server, browser, "佐藤", *size) for size in ((1280, 860), (390, 844))]
        for tab, queries in ((user, list(found)[3:5]), (phone, list(found)[:1])):
            for query in (*queries, "この見積を、取引先に先に見せてもよいでしょうか。"):
                await tab.fill("#query", query)
                await tab.press("#ask button.main")
                await tab.until("!document.querySelector('#ask button.main').disabled")
        await taken(user, out, "chat", 1000)
        await taken(phone, out, "phone-chat", 1000)
        await minutes(server, user, out)
        reviewer, hand = [await shown(server, browser, "高橋", *size) for size in ((1280, 860), (390, 844))]
        for tab, name in ((reviewer, "review"), (hand, "phone-review")):
            await tab.go(f"{server.address}/console/review/{case}")
            await taken(tab, out, name, 1250)
        await reviewer.go(f"{server.address}/console/review")
        await taken(reviewer, out, "queue", 700)
        auditor = await shown(server, browser, "伊藤")
        for place in ("audit", "policy", "monitor", *(("model",) if model else ()), "training"):
            await auditor.go(f"{server.address}/console/{place}")
            if place != "training" or "まとめ" in await auditor.text():
                await taken(auditor, out, place, 1250 if place == "monitor" else 900)
        await auditor.go(f"{server.address}/console/audit")
        await auditor.submit("form[action$=verify] button")
        await taken(auditor, out, "verify", 700)
        admin = await shown(server, browser, "渡辺")
        await admin.go(f"{server.address}/console/users")
        await taken(admin, out, "users", 900)
        complaints = [p for tab in (door, user, phone, reviewer, hand, auditor, admin) for p in tab.problems]
        if complaints:
            raise SystemExit("\n".join(complaints))


async def minutes(server: Server, tab: Tab, out: Path) -> None:
    """Of a meeting of the test set that is there to be looked at (benchmarks/minutes/dev.jsonl)."""
    first = (Path(__file__).parent / "minutes" / "dev.jsonl").read_text(encoding="utf-8").splitlines()[0]
    meeting = json.loads(first)
    await tab.go(f"{server.address}/console/minutes")
    await tab.fill("#title", "配車と安全の朝会")
    await tab.fill("#date", meeting["date"])
    await tab.fill("#transcript", "\n".join(f"{speaker}: {text}" for speaker, text in meeting["lines"]))
    await tab.press("input[name=plain]")
    await tab.submit("form.panel button.main")
    await taken(tab, out, "minutes", 900)


async def taken(tab: Tab, out: Path, name: str, highest: int) -> None:
    path = out / f"console-{name}.png"
    if (wider := await tab.overflow()) > 0:
        raise SystemExit(f"{name}: {wider} pixels too wide")
    await tab.picture(path, highest=highest)
    size = path.stat().st_size
    print(f"{path}  {size:,} bytes")
    if size > LARGEST:
        raise SystemExit(f"{name}: > {LARGEST} bytes")


def main(arguments: list[str]) -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("out", type=Path)
    made.add_argument("--runs", type=Path, default=Path("runs"))
    made.add_argument("--bundle", type=Path, help="whose card the model page shows; else the newest one below --runs")
    options = made.parse_args(arguments)
    folder = options.bundle or newest_bundle(options.runs)
    found, clock = examples(), Moved(datetime.now(UTC) - timedelta(days=DAYS - 1, hours=5))
    cases = [Case(r["id"], q, Decision(r["decision"]), "見本") for q, r in found.items()]
    with tempfile.TemporaryDirectory() as scratch, serving(
        Path(scratch), StandIn(examples=found), people=False, runs=options.runs, clock=clock, cases=cases,
        domains=DomainModel.from_bytes(packaged("models", "domain_model.npz").read_bytes()),
        found=open_bundle(folder, None) if folder else None,
        unproven="見本のデータと代役のモデルです / sample data and a stand-in",
    ) as server:  # fmt: skip
        server.do(staff(server))
        case = server.do(two_weeks(server, clock, found))
        clock.value = datetime.now(UTC)
        asyncio.run(pictures(server, options.out, case, found, folder is not None))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
