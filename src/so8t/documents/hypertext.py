"""HTML -> the text of the page itself: headings, paragraphs, list items and table rows as lines.

Parsed by selectolax (lexbor, as browsers do); what is text is told by rules of our own, since resiliparse's left out
headings and kept navigation on Japanese manuals in trials.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from so8t.documents.cleaned import CELLS, cleaned
from so8t.documents.document import Document, Skipped
from so8t.documents.encoding import whole_text
from so8t.documents.limits import Limits
from so8t.documents.unreadable import Reason, Unreadable, library_errors

_LEFT_OUT = frozenset({
    "script", "style", "noscript", "template", "nav", "aside", "footer", "label", "button", "select", "textarea",
    "input", "svg", "canvas", "iframe", "object", "video", "audio", "map", "dialog", "head", "rt", "rp", "menu",
    "-comment",
})  # fmt: skip
_BLOCKS = frozenset({
    "address", "article", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "legend",
    "li", "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
})  # fmt: skip
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_CELLS = frozenset({"td", "th"})
_INLINE = frozenset({"span", "a", "b", "i", "em", "strong", "small", "font"})
# Elements that are void, or that the next of their kind ends.
_CLOSED_BY_OTHERS = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr", "p",
    "li", "dt", "dd", "tr", "td", "th", "tbody", "thead", "tfoot", "option", "rt", "rp", "a",
})  # fmt: skip
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/<>]{0,40})([^<>]*)")
_MOST_WORK = 1 << 30
_LAYOUT = "p, div, table, ul, ol, dl, h1, h2, h3, h4, blockquote"  # a table's row that holds such is no row of data
_PAGE = "h1, main, article"
_DEEP = 100  # below that many levels a page is not searched for its heading any more: the time grows with the square
_BREAK = "\0"
_FURNITURE = re.compile(
    r"(?:^|[\s_-])(?:nav|g?navi|navbar|navheader|navfooter|navigation|menu|breadcrumbs?|topicpath|sidebar|sidemenu|footer"
    r"|pager?|pagination|pagetop|sns|share|social|related(?:topics|posts)?|ads?|advert\w*|banner|cookie\w*|toc)(?:$|[\s_-])",
    re.IGNORECASE,
)
_FURNITURE_TAGS = frozenset({"form", "header"})
_NAMED = 1000  # characters of a class that are looked at
_ROLES = frozenset({
    "navigation", "banner", "contentinfo", "search", "complementary", "menu", "menubar", "dialog",
})  # fmt: skip
_MOST_LINK = 0.6  # a block of more link text than this leads somewhere else and says nothing itself,
_SENTENCE = 15  # unless there are so many characters beside the links
_LEAST_MAIN = 0.3  # <main> and <article> are believed if they hold this part of the page's text
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]{2,40})", re.IGNORECASE)
_META_WITHIN = 2048
_WIDE = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")
_SPACE = re.compile(r"[^\S\u3000]+")


def html(content: bytes, name: str, limits: Limits) -> Iterator[Document | Skipped]:
    """One Document, its title the page's. Raises Unreadable."""
    meta = _META.search(content[:_META_WITHIN])
    title, text = page_text(whole_text(content, meta[1].decode() if meta else ""), limits)
    yield cleaned(text, name, title, limits)


def page_text(source: str, limits: Limits) -> tuple[str, str]:
    """(title, text) of a page. Raises Unreadable."""
    if len(source) > limits.page_characters:
        raise Unreadable(Reason.TOO_LARGE, f"> {limits.page_characters} characters of HTML")
    _check_depth(source, limits)
    with library_errors():
        from selectolax.lexbor import LexborHTMLParser

        tree = LexborHTMLParser(source)
        node = tree.css_first("title")
        title = " ".join(node.text().split()) if node else ""
        every = _lines(tree.body) if tree.body else []
        for main in (tree.css("main, [role=main]") or tree.css("article"))[:1]:
            lines = _lines(main)
            if sum(map(len, lines)) >= _LEAST_MAIN * sum(map(len, every)):
                return title, "\n".join(lines)
    return title, "\n".join(every)


def _check_depth(source: str, limits: Limits) -> None:
    """Raises Unreadable for a page of nothing but opening tags: the parser looks through all open elements for each
    new one, which takes time that grows with the square. Seen from above, since HTML closes some by itself."""
    depth = tags = selfclosed = 0
    for tag in _TAG.finditer(source):
        tags += 1
        if tag[3].endswith("/"):  # closed in SVG and MathML; not so in HTML itself
            selfclosed += 1
        elif tag[2].lower() not in _CLOSED_BY_OTHERS:
            depth = max(0, depth - 1) if tag[1] else depth + 1
            if depth > limits.depth:
                raise Unreadable(Reason.TOO_DEEP, f"> {limits.depth} elements")
    if tags * selfclosed > _MOST_WORK:
        raise Unreadable(Reason.TOO_DEEP, f"{selfclosed} self-closed elements")


class _Lines:
    """What a walk through the page adds up to: text is gathered up to the next border between blocks."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._pieces: list[str] = []
        self._linked = self._links = self._headings = self._verbatim = self._rows = 0

    def enter(self, node: Any, tag: str) -> None:
        if tag == "-text":
            self._add(node.text_content or "")
        elif tag == "br":
            self._pieces.append(_BREAK)
        elif tag == "a":
            self._links += _leads(node)
        elif tag in _CELLS and self._rows:
            self._pieces.append(CELLS)
        elif tag in _BLOCKS or tag in _CELLS:
            self._border()
            self._headings += tag in _HEADINGS
            self._verbatim += tag == "pre"
            self._rows += tag == "tr" and node.css_first(_LAYOUT) is None

    def leave(self, node: Any, tag: str) -> None:
        if tag == "a":
            self._links -= _leads(node)
        elif tag in _BLOCKS or (tag in _CELLS and not self._rows):
            self._border()
            self._headings -= tag in _HEADINGS
            self._verbatim -= tag == "pre"
            self._rows -= tag == "tr" and self._rows > 0

    def _add(self, text: str) -> None:
        self._pieces.append(text)
        if self._links:
            self._linked += _size(text)

    def _border(self) -> None:
        """Ends a block. One that is all links goes."""
        text, linked = "".join(self._pieces), self._linked
        self._pieces, self._linked = [], 0
        size = _size(text)
        links = linked > _MOST_LINK * size and size - linked < _SENTENCE and not self._headings
        if not size or links:
            return
        if self._verbatim:
            self.done += [line.rstrip() for line in text.replace(_BREAK, "\n").strip("\n").split("\n")]
            return
        parts = (_SPACE.sub(_space, part).strip(" |\n\u3000") for part in text.split(_BREAK))
        self.done += [part for part in parts if part]


def _space(run: re.Match[str]) -> str:
    """One space for a run of it, none where only the source's line ended within a Japanese sentence."""
    text, (start, end) = run.string, run.span()
    inside = "\n" in run[0] and start > 0 and end < len(text)
    return "" if inside and _WIDE.match(text[start - 1]) and _WIDE.match(text[end]) else " "


def _leads(link: Any) -> bool:
    """Anchors without href are marks, and an XHTML one, <a id=""/>, stays open in HTML up to the end of the page."""
    return "href" in link.attributes


def _size(text: str) -> int:
    return len("".join(text.split()))


def _lines(root: Any) -> list[str]:
    lines = _Lines()
    for node, entering in _walk(root):
        (lines.enter if entering else lines.leave)(node, node.tag or "")
    return lines.done


def _walk(root: Any) -> Iterator[tuple[Any, bool]]:
    """Every node twice, entered and left, without what is left out; without recursion, since a page may be nested
    deeper than Python's stack."""
    node, entering, level, end = root, True, 0, root.mem_id
    while True:
        if entering and (level == 0 or not _left_out(node, level)):
            yield node, True
            if node.child is not None:
                node, level = node.child, level + 1
                continue
            entering = False
        if not entering:
            yield node, False
        if node.mem_id == end:
            return
        entering = node.next is not None
        node, level = (node.next, level) if entering else (node.parent, level - 1)


def _left_out(node: Any, level: int) -> bool:
    """Navigation, forms, what is not shown. A part that holds the page's heading is never furniture, and a form that
    holds paragraphs is the page itself, as ASP.NET has it."""
    tag = node.tag
    if tag in _LEFT_OUT:
        return True
    if tag not in _BLOCKS and tag not in _INLINE:
        return False
    given = node.attributes
    if not given and tag not in _FURNITURE_TAGS:
        return False
    style = (given.get("style") or "").replace(" ", "").lower()
    if "hidden" in given or given.get("aria-hidden") == "true" or "display:none" in style:
        return True
    if level >= _DEEP or tag == "body" or not _furniture(node, tag, given):
        return False
    return not node.css(_PAGE if tag != "form" else f"{_PAGE}, p, h2")


def _furniture(node: Any, tag: str, given: Mapping[str, str | None]) -> bool:
    if tag in _FURNITURE_TAGS:
        return tag == "form" or node.parent.tag not in ("article", "main", "section")
    named = f"{given.get('class') or ''} {given.get('id') or ''}"[:_NAMED]
    return given.get("role") in _ROLES or (tag not in _HEADINGS and bool(_FURNITURE.search(named)))
