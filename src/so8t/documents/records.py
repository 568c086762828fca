"""JSON rows and WikiExtractor output: a row or page is a Document."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from so8t.core.errors import PackageMissing
from so8t.core.types import Domain
from so8t.documents.document import Document, Skipped
from so8t.documents.encoding import decoded, text_lines, unmarked
from so8t.documents.limits import Limits
from so8t.documents.lines import lines
from so8t.documents.unreadable import Reason, Unreadable

Item = Document | Skipped
_DOMAINS = {d.value: d for d in Domain}
_BLANK = b" \t\r"
_OPEN = re.compile(r"<doc\b([^>]*)>\s*")
_TITLE = re.compile(r'\btitle="([^"]*)"')
_URL = re.compile(r'\burl="([^"]*)"')
_CLOSE = "</doc>"


def json_lines(blocks: Iterator[bytes], name: str, limits: Limits) -> Iterator[Item]:
    """An object a line with text and, if it likes, title, source (or url), license, domain. Other keys are ignored.
    Blank lines pass; a broken line is a Skipped with its number."""
    encoding, _, blocks = unmarked(blocks)
    loads = _loads()
    for number, line in enumerate(lines(blocks, limits.record_bytes), 1):
        if isinstance(line, Unreadable):
            yield Skipped(f"{name}:{number}", line.reason, line.detail)
        elif line.strip(_BLANK):
            place = f"{name}:{number}"
            try:
                yield row_document(loads(line if encoding == "utf-8" else decoded(line, encoding)), place, limits)
            except ValueError as error:  # orjson's own is one
                yield Skipped(place, Reason.BAD_RECORD, f"JSON: {str(error)[:200]}")
            except Unreadable as error:
                yield Skipped(place, error.reason, error.detail)


def row_document(row: Any, place: str, limits: Limits) -> Item:
    """The Document of a parsed row, or why it is none."""
    if not isinstance(row, dict):
        return Skipped(place, Reason.BAD_RECORD, "not an object")
    text, domain = row.get("text"), row.get("domain")
    if not isinstance(text, str) or not text:
        return Skipped(place, Reason.NO_TEXT, "key text")
    if len(text) > limits.document_characters:
        return Skipped(place, Reason.LONG_DOCUMENT, f"> {limits.document_characters} characters")
    if domain and (not isinstance(domain, str) or domain not in _DOMAINS):
        return Skipped(place, Reason.UNKNOWN_DOMAIN, str(domain)[:80])
    get = row.get
    return Document(
        text, place, _string(get("title")), _string(get("source") or get("url")), _string(get("license")),
        _DOMAINS[domain] if domain else None,
    )  # fmt: skip


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def json_whole(content: bytes, name: str, limits: Limits) -> Iterator[Item]:
    """A .json file: lines as above if its first line is a row already, else one row or an array of rows."""
    loads = _loads()
    first = next((line for line in content.split(b"\n", 64) if line.strip(_BLANK)), b"")
    try:
        by_line = isinstance(loads(first), dict) and content.strip() != first.strip()
    except ValueError:
        by_line = False
    if by_line:
        yield from json_lines(iter([content]), name, limits)
        return
    encoding, _, blocks = unmarked(iter([content]))
    content = b"".join(blocks)
    try:
        value = loads(content if encoding == "utf-8" else decoded(content, encoding))
    except ValueError as error:
        raise Unreadable(Reason.BAD_RECORD, f"JSON: {str(error)[:200]}") from error
    for number, row in enumerate(value if isinstance(value, list) else [value], 1):
        yield row_document(row, f"{name}:{number}", limits)


def wiki_extractor(blocks: Iterator[bytes], name: str, limits: Limits) -> Iterator[Item]:
    """WikiExtractor's files in either form: JSON lines, or <doc id= url= title=> with the text between."""
    first = next(blocks, b"")
    form = json_lines if first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else _tagged
    yield from form(chain([first], blocks), name, limits)


def _tagged(blocks: Iterator[bytes], name: str, limits: Limits) -> Iterator[Item]:
    """<doc ...> and </doc> each begin or end a line; nothing else is markup, so that a text may hold a < of its own."""
    place, title, url, size = "", "", "", 0
    text: list[str] | None = None
    for number, line in text_lines(blocks, limits.record_bytes):
        if isinstance(line, Unreadable):
            yield Skipped(f"{name}:{number}", line.reason, line.detail)
        elif match := _OPEN.match(line):
            if text is not None:
                yield Skipped(place, Reason.TRUNCATED, "no </doc>")
            place, title, url = f"{name}:{number}", _attribute(_TITLE, match[1]), _attribute(_URL, match[1])
            text, size = [line[match.end() :]], 0
        elif text is None:
            if line.strip():
                yield Skipped(f"{name}:{number}", Reason.BAD_RECORD, "outside <doc>")
        elif line.rstrip().endswith(_CLOSE):
            text.append(line.rstrip().removesuffix(_CLOSE))
            yield row_document({"text": "\n".join(text).strip("\n"), "title": title, "url": url}, place, limits)
            text = None
        elif size <= limits.document_characters:
            text.append(line)
            size += len(line) + 1
    if text is not None:
        yield Skipped(place, Reason.TRUNCATED, "no </doc>")


def _attribute(pattern: re.Pattern[str], attributes: str) -> str:
    match = pattern.search(attributes)
    return html.unescape(match[1]) if match else ""


def _loads() -> Any:
    try:
        import orjson
    except ImportError:
        raise PackageMissing(detail='orjson: pip install "so8t[data]"') from None
    return orjson.loads
