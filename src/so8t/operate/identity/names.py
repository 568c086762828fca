"""Names of people and groups: one spelling each, nothing invisible in them, never a line break.

A name goes into headers, logs, ledger entries and pages; what could forge a line or turn the writing direction there is
refused at the door (Unicode TR36). NFKC makes full-width and half-width spellings the same name.
"""

from __future__ import annotations

import unicodedata

from so8t.core.errors import AccountInvalid
from so8t.core.text import INVISIBLE, nfkc

MAX_NAME = 64
MAX_GROUP = 256
MAX_RAW = 1024  # before normalisation, which may lengthen a text 18-fold
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def normal_name(raw: str, longest: int = MAX_NAME) -> str:
    """The name as it is shown and stored. Raises AccountInvalid; the error does not repeat the name."""
    if len(raw) > MAX_RAW:
        raise AccountInvalid(detail=f"name > {longest}")
    name = nfkc(raw).strip(" ")
    if not name or len(name) > longest:
        raise AccountInvalid(detail=f"name: 1 … {longest}")
    if any(unicodedata.category(c) in _REFUSED for c in name) or INVISIBLE.search(name):
        raise AccountInvalid(detail="name: control, invisible or bidirectional character")
    if any(unicodedata.category(c) == "Zs" and c != " " for c in name) or "  " in name:
        raise AccountInvalid(detail="name: spaces")
    return name


def folded(name: str) -> str:
    """The key under which a normal name is unique: case does not tell two people apart."""
    return nfkc(nfkc(name).casefold())


def normal_group(raw: str) -> str:
    """A group's name as it is compared with the configured ones. Raises AccountInvalid."""
    return folded(normal_name(raw, MAX_GROUP))
