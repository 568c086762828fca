"""A finished report against its ledger: every figure is counted anew, and what differs is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from so8t.core.errors import RecordInvalid, UsageError
from so8t.core.files import read_bounded
from so8t.core.sealing import TextKey
from so8t.operate.compliance.folder import FILES, HTML, JSON, LISTING, MAX_BYTES, PDF, Listing, read_object
from so8t.operate.compliance.laws import Law, packaged_law
from so8t.operate.compliance.page import html
from so8t.operate.compliance.paper import pdf, setter
from so8t.operate.compliance.report import FORMAT, ComplianceReport, prepare
from so8t.operate.compliance.span import Period
from so8t.report.figures import Words

SIGNATURE = Words("報告の署名(--report-key がありません)", "the report's signature (no --report-key)")
ANCHOR = Words("台帳の錨の署名(--key がありません)", "the signature of the ledger's anchor (no --key)")
TEXTS = Words("本文の照合(--text-key がありません)", "the texts (no --text-key)")
PAPER = Words("PDF の作り直し(組版の版が違います)", "the PDF, made by another version of the typesetter")
# Missing, as against null.
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the ledger tells it. Values as JSON, "" = not there."""

    name: str
    stated: str
    found: str


@dataclass(frozen=True, slots=True)
class Checked:
    """`unchecked` names what could not be looked at here. `ledger_ok`: the ledger itself verifies."""

    differences: tuple[Difference, ...]
    unchecked: tuple[Words, ...]
    ledger_ok: bool

    @property
    def ok(self) -> bool:
        return not self.differences and self.ledger_ok


def recheck(
    folder: Path, path: Path, law: Law | None = None, public_key: Ed25519PublicKey | None = None,
    text_key: TextKey | None = None, report_key: Ed25519PublicKey | None = None,
) -> Checked:  # fmt: skip
    """`law`: one of the company's own; else it is the packaged one that the report names.

    Raises SourceMissing, SourceUnreadable, RecordInvalid for what is no report.
    """
    listing, stated = Listing.read(folder), read_object(folder / JSON)
    differences, unchecked = _files(folder, listing), list[Words]()
    if report_key is None:
        unchecked.append(SIGNATURE)
    elif not listing.is_signed(report_key):
        differences.append(Difference(f"{LISTING}: signature", listing.signature, ""))
    found = _prepared(stated, folder, path, law, public_key, text_key)
    found, more = _as_far_as_checked(found, stated)
    differences += compare(stated, json.loads(json.dumps(found.to_json())))
    differences += _pages(folder, listing, found)
    if PDF in listing.files and listing.setter != setter():
        more.append(PAPER)
    return Checked(tuple(differences), (*unchecked, *more), found.verification.ok)


def compare(stated: Any, found: Any, name: str = "") -> Iterator[Difference]:
    """Every leaf that differs; rows are named by their key or id, whatever their order."""
    if isinstance(stated, dict) and isinstance(found, dict):
        for key in sorted({*stated, *found}, key=str):
            yield from compare(stated.get(key, ABSENT), found.get(key, ABSENT), f"{name}.{key}" if name else str(key))
    elif _rows(stated) and _rows(found):
        ours, theirs = ([_key(row) for row in rows] for rows in (found, stated))
        if sorted(theirs) == sorted(set(theirs)):
            yield from _by_key(stated, found, name)
        if ours != theirs:
            yield Difference(f"{name}: order", " ".join(theirs), " ".join(ours))
    elif type(stated) is not type(found) or stated != found:
        yield Difference(name, _text(stated), _text(found))


def _by_key(stated: list[Any], found: list[Any], name: str) -> Iterator[Difference]:
    left, right = ({_key(row): row for row in rows} for rows in (stated, found))
    for key in [*left, *(key for key in right if key not in left)]:
        row = left.get(key) or right[key]
        known = key if "key" in row else f"{name}.{key}"  # a figure's key is name enough
        yield from compare(left.get(key, ABSENT), right.get(key, ABSENT), known)


def _rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) and _key(row) for row in value)


def _key(row: dict[str, Any]) -> str:
    return str(row.get("key") or row.get("id") or "")


def _text(value: Any) -> str:
    return "" if value is ABSENT else json.dumps(value, ensure_ascii=False)[:200]


def _files(folder: Path, listing: Listing) -> list[Difference]:
    found = []
    for name in sorted({*listing.files, *FILES}):
        stated = listing.files.get(name, "")
        path = folder / name if name in FILES else None  # a name from a file is never joined to a path
        digest = hashlib.sha256(read_bounded(path, MAX_BYTES)).hexdigest() if path and path.is_file() else ""
        if digest != stated:
            found.append(Difference(f"{name}: SHA-256", stated, digest))
    return found


def _prepared(
    stated: dict[str, Any], folder: Path, path: Path, law: Law | None, key: Ed25519PublicKey | None,
    text_key: TextKey | None,
) -> ComplianceReport:  # fmt: skip
    """The report anew, as of the entry it was made at."""
    where = folder / JSON
    try:
        if stated["format"] != FORMAT:
            raise RecordInvalid(where=where, detail=f"format {stated['format']!r:.20}, not {FORMAT}")
        period = Period.parse(str(stated["period"]["from"]), str(stated["period"]["to"]))
        through, law_id = stated["ledger"]["through"], str(stated["law"]["id"])
    except (KeyError, TypeError, UsageError) as error:
        raise RecordInvalid(where=where, detail=f"not a report: {type(error).__name__}") from error
    if type(through) is not int or not 0 <= through < 1 << 62:
        raise RecordInvalid(where=where, detail="ledger.through")
    return prepare(path, law or packaged_law(law_id), period, key, text_key, through=through or None)


def _as_far_as_checked(found: ComplianceReport, stated: dict[str, Any]) -> tuple[ComplianceReport, list[Words]]:
    """Which keys were at hand when the report was made is its own; we say what we could not confirm."""
    told = stated.get("verification")
    said = told if isinstance(told, dict) else {}
    signed, texts, ours = said.get("signed") is True, said.get("texts_checked") is True, found.verification
    unconfirmed = [(signed and not ours.signed, ANCHOR), (texts and not ours.texts_checked, TEXTS)]
    verification = replace(ours, signed=signed, texts_checked=texts)
    return replace(found, verification=verification), [words for missing, words in unconfirmed if missing]


def _pages(folder: Path, listing: Listing, found: ComplianceReport) -> Iterator[Difference]:
    """Page and paper made anew from what the ledger says: they hold nothing else."""
    names = (HTML, PDF) if listing.setter == setter() else (HTML,)
    for name in names:
        if (folder / name).is_file():
            content = pdf(found, listing.lang) if name == PDF else html(found, listing.lang).encode()
            if read_bounded(folder / name, MAX_BYTES) != content:
                yield Difference(f"{name}: content", listing.files.get(name, ""), hashlib.sha256(content).hexdigest())
