"""What the gateway can make besides answers: the works by the name of their task."""

from __future__ import annotations

from so8t.core.serve_config import MailConfig
from so8t.operate.answering import Answering
from so8t.operate.gateway import Work
from so8t.operate.mail import making as mail
from so8t.operate.minutes import making as minutes


def works_of(answering: Answering, config: MailConfig) -> dict[str, Work]:
    return {
        minutes.TASK: minutes.MinutesWork(answering),
        mail.TASK: mail.MailWork(answering, config),
    }
