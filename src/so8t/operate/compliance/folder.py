"""A report as a folder: report.json, report.html, report.pdf, and a listing of them that may be signed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from so8t.core import signing
from so8t.core.errors import RecordInvalid, SourceUnreadable, UsageError
from so8t.core.files import MAX_LINE_BYTES, commit_folder, fresh_folder, parse_json_line, read_bounded
from so8t.core.types import canonical_json
from so8t.operate.compliance.page import html
from so8t.operate.compliance.paper import pdf, setter
from so8t.operate.compliance.report import ComplianceReport

LISTING, JSON, HTML, PDF = "listing.json", "report.json", "report.html", "report.pdf"
FILES = (HTML, JSON, PDF)
MAGIC = b"so8t compliance report 1"
MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Listing:
    """name -> SHA-256 of the files; `lang` and `setter`: what page and paper were made with."""

    files: dict[str, str]
    lang: str
    setter: str
    signature: str = ""

    @property
    def message(self) -> bytes:
        return MAGIC + canonical_json({"files": self.files, "lang": self.lang, "setter": self.setter}).encode()

    def signed_with(self, key: Ed25519PrivateKey) -> Listing:
        return replace(self, signature=signing.sign(key, self.message))

    def is_signed(self, key: Ed25519PublicKey) -> bool:
        return signing.is_signed(key, self.message, self.signature)

    def to_json(self) -> dict[str, Any]:
        return {"files": self.files, "lang": self.lang, "setter": self.setter, "signature": self.signature}

    @classmethod
    def read(cls, folder: Path) -> Listing:
        """Raises SourceMissing, RecordInvalid."""
        path = folder / LISTING
        found = read_object(path, MAX_LINE_BYTES)
        files = found.get("files")
        texts = [found.get(name) for name in ("lang", "setter", "signature")]
        whole = isinstance(files, dict) and all(isinstance(text, str) for text in (*files, *files.values(), *texts))
        if not whole or set(found) != {"files", "lang", "setter", "signature"} or found["lang"] not in ("ja", "en"):
            raise RecordInvalid(where=path, detail="not the listing of a report")
        return cls(**found)


def rendered(report: ComplianceReport, lang: str) -> dict[str, bytes]:
    """name -> bytes of every file of a report."""
    text = json.dumps(report.to_json(), ensure_ascii=False, indent=1) + "\n"
    return {JSON: text.encode(), HTML: html(report, lang).encode(), PDF: pdf(report, lang)}


def write(report: ComplianceReport, out: Path, lang: str, key: Ed25519PrivateKey | None = None) -> Listing:
    """The folder appears whole or not at all; an older report of ours there is replaced, anything else is not.

    Raises PackageMissing, UsageError, DiskFull.
    """
    if out.exists() and (not out.is_dir() or {p.name for p in out.iterdir()} - {LISTING, *FILES}):
        raise UsageError(where=out, detail=("--out: ほかのものがあります", "--out: holds something else"))
    files = rendered(report, lang)
    listing = Listing({name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}, lang, setter())
    if key is not None:
        listing = listing.signed_with(key)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = fresh_folder(out.with_name(f".{out.name}.partial"))
    for name, content in files.items():
        (partial / name).write_bytes(content)
    (partial / LISTING).write_bytes((json.dumps(listing.to_json(), ensure_ascii=False, indent=1) + "\n").encode())
    commit_folder(partial, out)
    return listing


def read_object(path: Path, most: int = MAX_BYTES) -> dict[str, Any]:
    """A JSON object. Raises SourceMissing, SourceUnreadable, RecordInvalid."""
    try:
        return parse_json_line(read_bounded(path, most).decode(), str(path))
    except UnicodeDecodeError as error:
        raise SourceUnreadable(where=path, detail=f"UTF-8, byte {error.start}") from error
