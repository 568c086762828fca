"""Telling people that something waits for them: a line in a file, a mail on the LAN (issue 6.7). What the host monitor
finds goes the same ways.

No text of a request is ever in a notification, only its number, whom it waits for and until when. Neither the asker nor
the verdict waits for a notification. One that cannot be delivered is counted and tried again; a mail server that is
down keeps no line out of the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import smtplib
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

from so8t.core.errors import ConfigValueInvalid
from so8t.core.serve_config import NotifyConfig
from so8t.core.types import Decision
from so8t.operate.gateway import Recorded

SMTP_SECONDS = 10.0
MAX_WAITING = 1000
MAX_TRIES, RETRY_SECONDS = 20, 30.0
logger = logging.getLogger("so8t.serve")


class Message(Protocol):
    """What can be told in either way."""

    def line(self) -> str: ...
    def mail(self, config: NotifyConfig) -> EmailMessage: ...


@dataclass(frozen=True, slots=True)
class Handed:
    """What is told of one handed-over request."""

    seq: int
    time: str
    target: str
    domain: str
    address: str

    def line(self) -> str:
        fields = {"event": "escalated", "seq": self.seq, "time": self.time, "target": self.target,
                  "domain": self.domain, "address": self.address}  # fmt: skip
        return json.dumps(fields, ensure_ascii=False)

    def mail(self, config: NotifyConfig) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = config.sender, ", ".join(config.recipients)
        message["Subject"] = f"[so8t] 承認待ち {self.seq} ({_one_line(self.target)})"
        message.set_content(
            f"依頼 {self.seq} が {self.target} の判断を待っています。\n受付 {self.time}\n{self.address}\n\n"
            f"Request {self.seq} waits for a decision.\n"
        )
        return message


def send_mail(message: EmailMessage, host: str, port: int) -> None:
    with smtplib.SMTP(host, port, timeout=SMTP_SECONDS) as smtp:
        smtp.send_message(message)


@dataclass(slots=True)
class Way:
    """One way of telling. What comes first is told first; what fails again and again is given up, and counted."""

    tell: Callable[[Message], None]
    waiting: list[Message] = field(default_factory=list)
    tries: int = 0
    failures: int = 0

    def put(self, message: Message) -> None:
        if len(self.waiting) < MAX_WAITING:
            self.waiting.append(message)
        else:
            self.failures += 1

    async def go(self) -> None:
        """Tell what waits, up to the first failure."""
        while self.waiting:
            try:
                await asyncio.to_thread(self.tell, self.waiting[0])
            except Exception as error:
                self.tries, self.failures = self.tries + 1, self.failures + 1
                logger.warning("a notification was not delivered: %s", type(error).__name__)
                if self.tries < MAX_TRIES:
                    return
            self.tries = 0
            self.waiting.pop(0)


@dataclass(slots=True)
class Notifier:
    """An observer of the gateway. `page` is where a reviewer looks; `send` is the edge that tests replace."""

    config: NotifyConfig
    page: str
    send: Callable[[EmailMessage, str, int], None] = send_mail
    ways: list[Way] = field(init=False)
    _woken: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def __post_init__(self) -> None:
        self.ways = []
        if self.config.file:
            self.ways.append(Way(lambda message: _append(Path(self.config.file), message.line())))
        if self.config.smtp:
            host, port = smtp_address(self.config.smtp)
            if not self.config.sender or not self.config.recipients:
                raise ConfigValueInvalid(where="serve.notify", detail="smtp needs sender and recipients")
            self.ways.append(Way(lambda message: self.send(message.mail(self.config), host, port)))

    @property
    def failures(self) -> int:
        return sum(way.failures for way in self.ways)

    def observe(self, recorded: Recorded) -> None:
        verdict = recorded.verdict
        if verdict.decision != Decision.ESCALATE or not self.ways:
            return
        domain = verdict.domain.value if verdict.domain else ""
        page = f"{self.page}/{recorded.entry.seq}"
        self.tell(Handed(recorded.entry.seq, recorded.entry.time, verdict.escalation_target or "", domain, page))

    def tell(self, message: Message) -> None:
        """Nobody waits for it."""
        for way in self.ways:
            way.put(message)
        self._woken.set()

    async def run(self) -> None:
        """Deliver what waits, for ever; what failed, again after a while."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self.deliver()
            if any(way.waiting for way in self.ways):
                await asyncio.sleep(RETRY_SECONDS)
                self._woken.set()

    async def deliver(self) -> None:
        for way in self.ways:
            await way.go()


def smtp_address(text: str) -> tuple[str, int]:
    """IP:PORT, literally. Raises ConfigValueInvalid."""
    host, _, port = text.rpartition(":")
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host.strip("[]"))
        if 0 < int(port) < 1 << 16:
            return host.strip("[]"), int(port)
    raise ConfigValueInvalid(where="serve.notify.smtp", detail=f"{text!r}: a literal IP:PORT")


def _append(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as f:
        f.write(line + "\n")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:80]
