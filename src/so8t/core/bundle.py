"""What leaves the training machine: a folder whose every file is listed, hashed, signed - or it is refused.

Payload = everything but the card and the signature; the card names the payload's digest (DESIGN.md "Bundle").
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.core import signing
from so8t.core.errors import BundleBroken, BundleUnproven, SignatureInvalid
from so8t.core.files import hash_folder, read_json
from so8t.core.types import canonical_json

LISTING = "bundle.json"
SIGNATURE = "bundle.sig"
DEMO_PROFILES = frozenset({"tiny", "micro"})  # only these may pass by the lenient demo policy
CARD_FILES = frozenset({"card.json", "card.html"})


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files have been checked against its listing."""

    folder: Path
    listing: Mapping[str, Any]
    signed_by: str | None

    @property
    def payload_digest(self) -> str:
        return str(self.listing["payload_digest"])

    @property
    def card(self) -> dict[str, Any]:
        card = read_json(self.folder / "card.json")
        if not isinstance(card, dict):
            raise BundleBroken(where=self.folder / "card.json", detail="not an object")
        return card

    def gguf(self, quantisation: str) -> Path:
        return self.folder / "gguf" / f"model-{quantisation}.gguf"

    def require_proof(self) -> None:
        """Raises BundleUnproven unless the card is of exactly this payload and passed its policy's thresholds."""
        if not (self.folder / "card.json").is_file():
            raise BundleUnproven(where=self.folder, detail="card.json")
        card = self.card
        policy = card.get("policy")
        if isinstance(policy, dict) and policy.get("id") == "demo" and card.get("profile") not in DEMO_PROFILES:
            raise BundleUnproven(where=self.folder, detail="demo policy")
        if card.get("payload_digest") != self.payload_digest:
            raise BundleUnproven(where=self.folder, detail="card.payload_digest")
        thresholds = card.get("thresholds")
        if not isinstance(thresholds, dict) or thresholds.get("passed") is not True:
            raise BundleUnproven(where=self.folder, detail="card.thresholds")


def payload_digest(hashes: Mapping[str, str]) -> str:
    """SHA-256 over the sorted (name, hash) list of the payload files."""
    payload = {name: digest for name, digest in hashes.items() if name not in CARD_FILES}
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()


def open_bundle(folder: Path, trusted_key: Path | None = None) -> Bundle:
    """Check listing, hashes and, given a trusted public key, the signature.

    Raises BundleBroken for a missing, extra, changed or linked file; SignatureInvalid when the key does not fit.
    """
    if not (folder / LISTING).is_file():
        raise BundleBroken(where=folder / LISTING, detail="missing")
    listing = read_json(folder / LISTING)
    if not isinstance(listing, dict) or not isinstance(listing.get("files"), dict):
        raise BundleBroken(where=folder / LISTING)
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise BundleBroken(where=path, detail="symbolic link")
    _compare(folder, listing["files"], hash_folder(folder, frozenset({LISTING, SIGNATURE})))
    if payload_digest(listing["files"]) != listing.get("payload_digest"):
        raise BundleBroken(where=folder / LISTING, detail="payload_digest")
    signed_by = _check_signature(folder, trusted_key) if trusted_key else None
    return Bundle(folder, listing, signed_by)


def _compare(folder: Path, listed: Mapping[str, str], found: Mapping[str, str]) -> None:
    for name in sorted({*listed, *found}):
        if listed.get(name) != found.get(name):
            kind = "missing" if name not in found else "not listed" if name not in listed else "changed"
            raise BundleBroken(where=folder / name, detail=kind)


def _check_signature(folder: Path, trusted_key: Path) -> str:
    key = signing.load_public(trusted_key)
    try:
        signature = (folder / SIGNATURE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SignatureInvalid(where=folder / SIGNATURE, detail=type(error).__name__) from error
    if not signing.is_signed(key, (folder / LISTING).read_bytes(), signature):
        raise SignatureInvalid(where=folder / SIGNATURE, detail=str(trusted_key))
    return signing.encode_public(key)


def newest_bundle(runs: Path) -> Path | None:
    """The most recently made bundle below runs/, if any."""
    found = [p.parent for p in runs.glob(f"*/bundle/{LISTING}")]
    return max(found, key=lambda p: (p / LISTING).stat().st_mtime, default=None)
