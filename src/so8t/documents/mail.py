"""Mail (RFC 5322, MIME): the text that its writer meant to be read, and what is attached."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage

from so8t.core.text import clean
from so8t.documents.cleaned import cleaned
from so8t.documents.document import Document, Skipped
from so8t.documents.encoding import whole_text
from so8t.documents.hypertext import page_text
from so8t.documents.limits import Limits
from so8t.documents.unreadable import Reason, Unreadable, library_errors


def parsed(content: bytes) -> EmailMessage:
    """Raises Unreadable for what has no header at all."""
    with library_errors():
        message = email.message_from_bytes(content, policy=email.policy.default)
        if not message.keys():
            raise Unreadable(Reason.WRONG_KIND, "no mail header")
    return message


def body(message: EmailMessage, name: str, limits: Limits) -> Iterator[Document | Skipped]:
    """The plain part, else the HTML part, in the character set it names; the subject is the title. Raises
    Unreadable."""
    with library_errors():
        part = message.get_body(("plain", "html"))
        subject = clean(str(message.get("subject", "")).replace("\n", " "))
        if part is None:
            raise Unreadable(Reason.NO_TEXT, "mail without text")
        data = part.get_payload(decode=True)
        text = whole_text(data if isinstance(data, bytes) else b"", part.get_content_charset() or "")
        if part.get_content_subtype() == "html":
            text = page_text(text, limits)[1]
    yield cleaned(text, name, subject, limits)


def attachments(message: EmailMessage, limits: Limits) -> Iterator[tuple[str, bytes]]:
    """Name and content of each. Raises Unreadable after `limits.attachments` of them."""
    with library_errors():
        parts = list(message.iter_attachments()) if message.is_multipart() else []
    for number, part in enumerate(parts, 1):
        if number > limits.attachments:
            raise Unreadable(Reason.TOO_MANY, f"> {limits.attachments} attachments")
        with library_errors():
            name = clean(str(part.get_filename() or f"{number}")).replace("\n", " ")[:200]
            data = part.get_payload(decode=True)
        yield name, data if isinstance(data, bytes) else b""
