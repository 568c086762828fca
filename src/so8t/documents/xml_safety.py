"""XML without document types: no entity of a file's own is ever expanded, none is fetched."""

from __future__ import annotations

from typing import NoReturn
from xml.parsers import expat

from so8t.documents.unreadable import Reason, Unreadable


class _RootReached(Exception):
    """All that may hold a document type has been seen."""


def refuse_document_types(parser: expat.XMLParserType) -> None:
    """Makes the parser raise Unreadable for a DOCTYPE, and with it for every entity declaration."""

    def refuse(*_: object) -> NoReturn:
        raise Unreadable(Reason.ENTITIES, "DOCTYPE")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse


def check_prolog(content: bytes) -> None:
    """Raises Unreadable for XML with a DOCTYPE, in an encoding other parsers may read differently, or broken before
    its first element. Reads no further than that."""
    parser = expat.ParserCreate()
    refuse_document_types(parser)

    def declared(_version: str, encoding: str | None, _standalone: int) -> None:
        if (encoding or "utf-8").lower() not in ("utf-8", "utf-16", "us-ascii"):
            raise Unreadable(Reason.DAMAGED, f"XML in {str(encoding)[:40]}")

    def root(*_: object) -> NoReturn:
        raise _RootReached

    parser.XmlDeclHandler = declared
    parser.StartElementHandler = root
    try:
        parser.Parse(content, True)
    except _RootReached:
        return
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Unreadable(Reason.DAMAGED, f"XML: {error}") from error
