"""What `so8t bundle verify` checks, one after the other, offline: signature, listing, files, proof, SBOM, licences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t.core import signing
from so8t.core.bundle import LICENCES, SBOM, Bundle, open_bundle
from so8t.core.bundle_listing import parse_object, read_bounded
from so8t.core.errors import BundleBroken, SignatureInvalid, So8tError

MAX_SBOM_BYTES = 32 << 20
SPECIFICATION = ("CycloneDX", "1.6")
LICENCE_LIST = f"{LICENCES}/licences.json"
CHECKS = ("signature", "listing", "files", "proof", "sbom", "licences")


@dataclass(slots=True)
class Report:
    """`passed` in the order of CHECKS; the first error ends it, what comes after was not checked."""

    folder: Path
    key: Path | None
    passed: list[str] = field(default_factory=list)
    error: So8tError | None = None
    bundle: Bundle | None = None
    bytes: int = 0
    warnings: list[Mapping[str, str]] = field(default_factory=list)  # {"ja", "en"}: allowed, but to be known

    @property
    def ok(self) -> bool:
        return self.error is None and self.passed == list(CHECKS)

    @property
    def failed(self) -> str:
        """The check that the error ended, or nothing."""
        return CHECKS[len(self.passed)] if self.error else ""

    @property
    def fingerprint(self) -> str:
        """Of the trusted key, once the signature is found to be its own."""
        return signing.fingerprint(signing.load_public(self.key)) if self.key and "signature" in self.passed else ""

    def to_json(self, lang: str) -> dict[str, Any]:
        listing = self.bundle.listing if self.bundle else {}
        states = dict.fromkeys(self.passed, "passed") | ({self.failed: "failed"} if self.error else {})
        return {
            "bundle": str(self.folder),
            "ok": self.ok,
            "checks": {name: states.get(name, "not checked") for name in CHECKS},
            "error": self.error.to_json(lang) if self.error else None,
            "key": str(self.key) if self.key else None,
            "signed_by": self.bundle.signed_by if self.bundle else None,
            "fingerprint": self.fingerprint or None,
            "files": len(listing.get("files", ())),
            "bytes": self.bytes,
            "payload_digest": listing.get("payload_digest"),
            "policy_digest": listing.get("policy_digest"),
            "created": listing.get("created"),
            "warnings": [w[lang] for w in self.warnings],
        }


def verify(folder: Path, key: Path | None) -> Report:
    """Never raises for what is in the bundle: it stands in the report. Without a key nothing is verified at all."""
    report = Report(folder, key)
    try:
        if key is None:
            raise SignatureInvalid(where=folder, detail="--key")
        bundle = report.bundle = open_bundle(folder, key, report.passed.append)
        report.bytes = sum((folder / name).stat().st_size for name in bundle.listing["files"])
        bundle.require_proof()
        report.passed.append("proof")
        check_sbom(bundle)
        report.passed.append("sbom")
        report.warnings += licence_warnings(bundle)
        report.passed.append("licences")
    except So8tError as error:
        report.error = error
    return report


def check_sbom(bundle: Bundle) -> None:
    """The SBOM is CycloneDX 1.6, of this payload, and gives every other file its SHA-256. Raises BundleBroken."""
    path = bundle.folder / SBOM
    bom = parse_object(read_bounded(path, MAX_SBOM_BYTES), path)
    if (bom.get("bomFormat"), bom.get("specVersion")) != SPECIFICATION:
        raise BundleBroken(where=path, detail="CycloneDX 1.6")
    if _properties(bom).get("so8t:payload_digest") != bundle.payload_digest:
        raise BundleBroken(where=path, detail="so8t:payload_digest")
    named = _file_hashes(bom, path)
    listed = {name: digest for name, digest in bundle.listing["files"].items() if name != SBOM}
    for name in sorted(listed.keys() | named.keys()):
        if listed.get(name) != named.get(name):
            raise BundleBroken(where=path, detail=name)


def _properties(bom: Mapping[str, Any]) -> dict[str, Any]:
    metadata = bom.get("metadata")
    rows = metadata.get("properties") if isinstance(metadata, dict) else None
    pairs = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {str(row.get("name")): row.get("value") for row in pairs}


def _file_hashes(bom: Mapping[str, Any], where: Path) -> dict[str, str]:
    """Name -> SHA-256 of the components of type file."""
    components = bom.get("components")
    found: dict[str, str] = {}
    for component in components if isinstance(components, list) else []:
        if isinstance(component, dict) and component.get("type") == "file":
            hashes = component.get("hashes")
            rows = [h for h in hashes if isinstance(h, dict)] if isinstance(hashes, list) else []
            name = str(component.get("name"))
            if name in found:
                raise BundleBroken(where=where, detail=f"{name} stands twice")
            found[name] = next((str(h.get("content")) for h in rows if h.get("alg") == "SHA-256"), "")
    return found


def licence_warnings(bundle: Bundle) -> list[Mapping[str, str]]:
    """What the list of licences says must be known before use. Raises BundleBroken where there is no such list."""
    path = bundle.folder / LICENCE_LIST
    rows = parse_object(read_bounded(path, MAX_SBOM_BYTES), path).get("warnings")
    if not isinstance(rows, list):
        raise BundleBroken(where=path, detail="warnings")
    return [{"ja": str(row.get("ja")), "en": str(row.get("en"))} for row in rows if isinstance(row, dict)]
