"""MediaWiki's XML dumps, page by page in bounded memory (schema export-0.10 and 0.11)."""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from so8t.documents.document import Document, Skipped
from so8t.documents.limits import Limits
from so8t.documents.unreadable import Reason, Unreadable
from so8t.documents.wiki_markup import plain_text
from so8t.documents.xml_safety import refuse_document_types

Item = Document | Skipped
_WANTED = {"title", "ns", "text", "sitename", "id"}
_FEED = 1 << 16  # bytes parsed before finished pages are handed on
_NO_ROOT = expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]
_REDIRECTS = ("#redirect", "#転送", "#リダイレクト")


def wiki_dump(blocks: Iterator[bytes], name: str, limits: Limits) -> Iterator[Item]:
    """An article is a Document, its place the page's number. Redirects and pages of other namespaces are counted in
    one Skipped at the end. A dump that breaks off gives the pages before that."""
    dump = _Dump(name, limits)
    try:
        for block in blocks:
            for at in range(0, len(block), _FEED):
                dump.feed(block[at : at + _FEED])
                yield from dump.finished()
        dump.feed(b"", last=True)
    except Unreadable as error:
        yield from dump.finished()
        yield Skipped(name, error.reason, error.detail)
    yield from dump.finished()
    if dump.redirects or dump.others:
        detail = f"{dump.redirects} redirects, {dump.others} pages of other namespaces"
        yield Skipped(name, Reason.NOT_ARTICLE, detail)


class _Dump:
    """What the parser's events add up to. Of several revisions of a page the last counts."""

    def __init__(self, name: str, limits: Limits) -> None:
        self._name, self._limits = name, limits
        self._path: list[str] = []
        self._fields: dict[str, str] = {}
        self._text: list[str] | None = None
        self._size = 0
        self._fed = 0
        self._site = ""
        self._pages: list[dict[str, str]] = []
        self.redirects = self.others = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        refuse_document_types(self._parser)

    def feed(self, content: bytes, last: bool = False) -> None:
        """Raises Unreadable."""
        self._fed += len(content)
        try:
            self._parser.Parse(content, last)
        except expat.ExpatError as error:
            cut = last and (self._path or error.code == _NO_ROOT)
            raise Unreadable(Reason.TRUNCATED if cut else Reason.DAMAGED, f"XML: {error}") from error
        except (ValueError, LookupError) as error:  # an encoding that Python cannot serve to the parser
            raise Unreadable(Reason.DAMAGED, f"XML: {error}") from error
        # A tag or comment that never ends would be held by the parser for ever.
        if self._fed - self._parser.CurrentByteIndex > self._limits.record_bytes + _FEED:
            raise Unreadable(Reason.TOO_LARGE, f"XML token > {self._limits.record_bytes} bytes")

    def finished(self) -> Iterator[Item]:
        pages, self._pages = self._pages, []
        for page in pages:
            yield self._item(page)

    def _item(self, page: dict[str, str]) -> Item:
        place = f"{self._name}:{page.get('id', '')}"
        if "too large" in page:
            return Skipped(place, Reason.TOO_LARGE, f"page > {self._limits.record_bytes} bytes")
        text = plain_text(page["text"])
        if not text:
            return Skipped(place, Reason.NO_TEXT, page.get("title", "")[:80])
        if len(text) > self._limits.document_characters:
            return Skipped(place, Reason.LONG_DOCUMENT, f"> {self._limits.document_characters} characters")
        return Document(text, place, title=page.get("title", ""), source=self._site)

    def _start(self, tag: str, _attributes: object) -> None:
        if not self._path and tag != "mediawiki":
            raise Unreadable(Reason.WRONG_KIND, f"XML <{tag[:40]}>, no wiki dump")
        self._path.append(tag)
        if len(self._path) > self._limits.depth:
            raise Unreadable(Reason.TOO_DEEP, f"> {self._limits.depth} elements")
        if tag == "page":
            self._fields = {}
        elif tag == "redirect":
            self._fields["redirect"] = "1"
        elif tag in _WANTED:
            self._text, self._size = [], 0

    def _characters(self, data: str) -> None:
        if self._text is not None:
            self._size += len(data.encode())
            if self._size <= self._limits.record_bytes:
                self._text.append(data)

    def _end(self, tag: str) -> None:
        self._path.pop()
        if self._text is not None and tag in _WANTED:
            if self._size > self._limits.record_bytes:
                self._fields["too large"] = tag
            value, self._text = "".join(self._text), None
            if tag == "sitename":
                self._site = value
            elif tag != "id" or self._path[-1:] == ["page"]:
                self._fields[tag] = value
        elif tag == "page":
            self._end_page()

    def _end_page(self) -> None:
        page, self._fields = self._fields, {}
        if page.get("ns", "0").strip() != "0":
            self.others += 1
        elif "redirect" in page or page.get("text", "").lstrip().lower().startswith(_REDIRECTS):
            self.redirects += 1
        else:
            self._pages.append({"text": ""} | page)
