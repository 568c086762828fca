"""What leaves the training machine: a folder whose every file is listed, hashed, signed - or it is refused.

Payload = what judges and answers, with its licences. The card says what was measured of exactly that payload, so the
card, and what is written after it (model card, SBOM), are no part of the payload digest; the listing names them all,
and the signature covers the listing (DESIGN.md "Bundle").
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.core import signing
from so8t.core.bundle_listing import MAX_LISTING_BYTES, files_below, parse_listing, parse_object, read_bounded
from so8t.core.errors import BundleBroken, BundleMissing, BundleUnproven, SignatureInvalid
from so8t.core.files import sha256_file
from so8t.core.types import canonical_json

LISTING = "bundle.json"
SIGNATURE = "bundle.sig"
CARD, MODEL_CARD, SBOM = "card.json", "MODEL_CARD.md", "sbom.cdx.json"
LICENCES = "licences"
DEMO_PROFILES = frozenset({"tiny", "micro"})  # only these may pass by the lenient demo policy
CARD_FILES = frozenset({CARD, "card.html", MODEL_CARD, SBOM})  # about the payload, not of it; nothing runs from them
MAX_CARD_BYTES = 32 << 20
MAX_SIGNATURE_BYTES = 1024


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
        """Raises BundleBroken for a card that is none."""
        path = self.folder / CARD
        return parse_object(read_bounded(path, MAX_CARD_BYTES), path)

    def gguf(self, quantisation: str) -> Path:
        return self.folder / "gguf" / f"model-{quantisation}.gguf"

    def require_proof(self) -> None:
        """Raises BundleUnproven unless the card is of exactly this payload and passed its policy's thresholds."""
        if not (self.folder / CARD).is_file():
            raise BundleUnproven(where=self.folder, detail=CARD)
        card = self.card
        policy = card.get("policy")
        policy = policy if isinstance(policy, dict) else {}
        if policy.get("id") == "demo" and card.get("profile") not in DEMO_PROFILES:
            raise BundleUnproven(where=self.folder, detail="demo policy")
        if card.get("payload_digest") != self.payload_digest:
            raise BundleUnproven(where=self.folder, detail="card.payload_digest")
        if policy.get("digest") != self.listing.get("policy_digest"):
            raise BundleUnproven(where=self.folder, detail="card.policy.digest")
        thresholds = card.get("thresholds")
        if not isinstance(thresholds, dict) or thresholds.get("passed") is not True:
            raise BundleUnproven(where=self.folder, detail="card.thresholds")


def payload_digest(hashes: Mapping[str, str]) -> str:
    """SHA-256 over the sorted (name, hash) list of the payload files."""
    payload = {name: digest for name, digest in hashes.items() if name not in CARD_FILES}
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()


Passed = Callable[[str], None]


def open_bundle(folder: Path, trusted_key: Path | None = None, passed: Passed = lambda check: None) -> Bundle:
    """Check, in this order: the signature where there is a trusted public key, the listing, the files.

    The signature comes first, so that no unsigned byte is interpreted. `passed` hears of "signature", "listing" and
    "files" as they pass. Raises BundleBroken for a missing, extra, changed, linked or unsafe file; SignatureInvalid
    when the key does not fit; BundleMissing where there is no such folder.
    """
    if not os.path.lexists(folder):
        raise BundleMissing(where=folder)
    raw = read_bounded(folder / LISTING, MAX_LISTING_BYTES)
    signed_by = _check_signature(folder, raw, trusted_key) if trusted_key else None
    if signed_by:
        passed("signature")
    listing = parse_listing(raw, folder / LISTING, (LISTING, SIGNATURE))
    if payload_digest(listing["files"]) != listing.get("payload_digest"):
        raise BundleBroken(where=folder / LISTING, detail="payload_digest")
    passed("listing")
    _compare(folder, listing["files"])
    passed("files")
    return Bundle(folder, listing, signed_by)


def _compare(folder: Path, listed: Mapping[str, str]) -> None:
    """Names first: nothing that is not listed is ever opened."""
    found = files_below(folder) - {LISTING, SIGNATURE}
    for name in sorted(found ^ listed.keys()):
        raise BundleBroken(where=folder / name, detail="not listed" if name in found else "missing")
    for name, digest in hash_files(folder, listed).items():
        if digest != listed[name]:
            raise BundleBroken(where=folder / name, detail="changed")


def hash_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name -> SHA-256, several files at once: hashlib lets go of the interpreter while it hashes."""
    ordered = sorted(names)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), "hash") as pool:
        return dict(zip(ordered, pool.map(lambda name: sha256_file(folder / name), ordered), strict=True))


def _check_signature(folder: Path, raw: bytes, trusted_key: Path) -> str:
    if trusted_key.resolve().is_relative_to(folder.resolve()):
        raise SignatureInvalid(where=trusted_key, detail="a key inside the bundle proves nothing")
    key = signing.load_public(trusted_key)
    try:
        signature = read_bounded(folder / SIGNATURE, MAX_SIGNATURE_BYTES).decode("ascii").strip()
    except (BundleBroken, UnicodeDecodeError) as error:
        raise SignatureInvalid(where=folder / SIGNATURE, detail=type(error).__name__) from error
    if not signing.is_signed(key, raw, signature):
        raise SignatureInvalid(where=folder / SIGNATURE, detail=str(trusted_key))
    return signing.encode_public(key)


def newest_bundle(runs: Path) -> Path | None:
    """The most recently made bundle below runs/, if any."""
    found = [p.parent for p in runs.glob(f"*/bundle/{LISTING}")]
    return max(found, key=lambda p: (p / LISTING).stat().st_mtime, default=None)
