"""People are told that something waits, never what it says; nobody waits for the telling."""

from __future__ import annotations

import asyncio
import json
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from so8t.core.errors import ConfigValueInvalid
from so8t.core.ledger_format import Entry
from so8t.core.serve_config import NotifyConfig
from so8t.core.types import DECISIONS, Decision, Domain, Request, Verdict
from so8t.operate.gateway import Recorded
from so8t.operate.review.notify import MAX_TRIES, MAX_WAITING, Notifier, smtp_address

MAIL = {"smtp": "192.168.0.25:25", "sender": "so8t@example.co.jp", "recipients": ("a@example.co.jp", "b@example.co.jp")}
SECRET = "ひみつの依頼の中身"


def recorded(seq: int, decision: Decision = Decision.ESCALATE, target: str = "法務部") -> Recorded:
    probabilities = {d: float(d == decision) for d in DECISIONS}
    verdict = Verdict(
        f"q-{seq}", decision, probabilities, (), reason=SECRET, escalation_target=target, domain=Domain.BUSINESS
    )
    entry = Entry(seq, "2026-11-26T00:00:00+00:00", "decision", b"\1" * 32)
    return Recorded(verdict, Request(f"q-{seq}", SECRET, user="社員甲"), entry)


class Post:
    """Takes mails; fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.taken = failures, list[tuple[EmailMessage, str, int]]()

    def __call__(self, message: EmailMessage, host: str, port: int) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionRefusedError
        self.taken.append((message, host, port))


def test_a_line_and_a_mail_without_the_text(tmp_path: Path) -> None:
    post, file = Post(), tmp_path / "waiting.jsonl"
    notifier = Notifier(NotifyConfig(file=str(file), **MAIL), "http://127.0.0.1:8008/review", post)
    notifier.observe(recorded(7))
    asyncio.run(notifier.deliver())
    ((message, host, port),) = post.taken
    assert (host, port) == ("192.168.0.25", 25) and message["To"] == "a@example.co.jp, b@example.co.jp"
    whole = message.as_string() + message.get_content() + file.read_text(encoding="utf-8")
    assert "法務部" in message.get_content() and SECRET not in whole and "社員甲" not in whole
    line = json.loads(file.read_text(encoding="utf-8"))
    assert (line["seq"], line["target"], line["address"]) == (7, "法務部", "http://127.0.0.1:8008/review/7")


@pytest.mark.parametrize("decision", [Decision.ALLOW, Decision.DENY])
def test_only_what_was_handed_over(decision: Decision) -> None:
    post = Post()
    notifier = Notifier(NotifyConfig(**MAIL), "", post)
    notifier.observe(recorded(1, decision))
    asyncio.run(notifier.deliver())
    assert post.taken == []


def test_a_header_cannot_be_smuggled_in() -> None:
    post = Post()
    notifier = Notifier(NotifyConfig(**MAIL), "", post)
    notifier.observe(recorded(1, target="法務\r\nBcc: evil@example.com"))
    asyncio.run(notifier.deliver())
    assert post.taken[0][0]["Bcc"] is None and "\n" not in post.taken[0][0]["Subject"]


def test_what_failed_is_tried_again_in_order() -> None:
    post = Post(failures=1)
    notifier = Notifier(NotifyConfig(**MAIL), "", post)
    notifier.observe(recorded(1))
    asyncio.run(notifier.deliver())
    assert post.taken == [] and notifier.failures == 1
    notifier.observe(recorded(2))
    asyncio.run(notifier.deliver())
    assert [m["Subject"].split()[2] for m, _, _ in post.taken] == ["1", "2"]


def test_memory_is_bounded() -> None:
    notifier = Notifier(NotifyConfig(**MAIL), "", Post())
    for seq in range(MAX_WAITING + 5):
        notifier.observe(recorded(seq))
    assert len(notifier.ways[0].waiting) == MAX_WAITING and notifier.failures == 5


@pytest.mark.parametrize(
    "config",
    [
        {"smtp": "mail.example.co.jp:25"}, {"smtp": "127.0.0.1"}, {"smtp": "127.0.0.1:0"}, {"smtp": "127.0.0.1:x"},
        {"smtp": "127.0.0.1:25", "sender": ""}, {"smtp": "127.0.0.1:25", "recipients": ()},
    ],
)  # fmt: skip
def test_a_bad_configuration_is_told_at_the_start(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigValueInvalid):
        Notifier(NotifyConfig(**(MAIL | config)), "")


def test_ipv6() -> None:
    assert smtp_address("[::1]:25") == ("::1", 25)


def test_a_mail_server_that_is_down_keeps_nothing_out_of_the_file(tmp_path: Path) -> None:
    post, file = Post(failures=100), tmp_path / "waiting.jsonl"
    notifier = Notifier(NotifyConfig(file=str(file), **MAIL), "", post)
    for seq in (1, 2):
        notifier.observe(recorded(seq))
        asyncio.run(notifier.deliver())
    assert [json.loads(line)["seq"] for line in file.read_text(encoding="utf-8").splitlines()] == [1, 2]


def test_what_can_never_be_told_does_not_stand_in_the_way_for_ever() -> None:
    post = Post(failures=MAX_TRIES)
    notifier = Notifier(NotifyConfig(**MAIL), "", post)
    notifier.observe(recorded(1))
    notifier.observe(recorded(2))
    for _ in range(MAX_TRIES):
        asyncio.run(notifier.deliver())
    assert [m["Subject"].split()[2] for m, _, _ in post.taken] == ["2"]
