"""What the gateway can make besides answers: the works and the drafts by the name of their task."""

from __future__ import annotations

from so8t.core.serve_config import MailConfig
from so8t.operate.answering import Answering
from so8t.operate.gateway import Drafting, Work
from so8t.operate.mail import making as mail
from so8t.operate.minutes import making as minutes


def works_of(answering: Answering, config: MailConfig) -> tuple[dict[str, Work], dict[str, Drafting]]:
    """Of a mail, the text is what a person decides about; of minutes, the record is, and that is there already."""
    letters = mail.MailWork(answering, config)
    return {minutes.TASK: minutes.MinutesWork(answering), mail.TASK: letters}, {mail.TASK: letters.draft}
