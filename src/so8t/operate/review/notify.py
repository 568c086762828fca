"""Telling people that something waits for them: a line in a file, a mail on the LAN (issue 6.7).

No text of a request is ever in a notification, only its number, whom it waits for and until when. Neither the asker nor
the verdict waits for a notification; one that cannot be delivered is counted and tried again with the next.
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

from so8t.core.errors import ConfigValueInvalid
from so8t.core.serve_config import NotifyConfig
from so8t.core.types import Decision
from so8t.operate.gateway import Recorded

SMTP_SECONDS = 10.0
MAX_WAITING = 1000
logger = logging.getLogger("so8t.serve")


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
class Notifier:
    """An observer of the gateway. `page` is where a reviewer looks; `send` is the edge that tests replace."""

    config: NotifyConfig
    page: str
    send: Callable[[EmailMessage, str, int], None] = send_mail
    failures: int = 0
    _waiting: list[Handed] = field(default_factory=list, repr=False)
    _woken: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def __post_init__(self) -> None:
        if self.config.smtp:
            smtp_address(self.config.smtp)
            if not self.config.sender or not self.config.recipients:
                raise ConfigValueInvalid(where="serve.notify", detail="smtp needs sender and recipients")

    def observe(self, recorded: Recorded) -> None:
        verdict = recorded.verdict
        if verdict.decision != Decision.ESCALATE or not (self.config.file or self.config.smtp):
            return
        if len(self._waiting) >= MAX_WAITING:
            self.failures += 1
            return
        domain = verdict.domain.value if verdict.domain else ""
        page = f"{self.page}/{recorded.entry.seq}"
        self._waiting.append(
            Handed(recorded.entry.seq, recorded.entry.time, verdict.escalation_target or "", domain, page)
        )
        self._woken.set()

    async def run(self) -> None:
        """Deliver what waits, for ever."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self.deliver()

    async def deliver(self) -> None:
        while self._waiting:
            try:
                await asyncio.to_thread(self._one, self._waiting[0])
            except (OSError, smtplib.SMTPException) as error:
                self.failures += 1
                logger.warning("a notification was not delivered: %s", type(error).__name__)
                return
            self._waiting.pop(0)

    def _one(self, handed: Handed) -> None:
        if self.config.smtp:
            self.send(handed.mail(self.config), *smtp_address(self.config.smtp))
        if self.config.file:
            _append(Path(self.config.file), handed.line())


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
