"""`so8t bundle verify` passes only when everything was checked, against a key, and says what was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t.core import signing
from so8t.core.bundle import LISTING, SBOM, SIGNATURE, payload_digest
from so8t.core.bundle_check import CHECKS, verify
from so8t.core.files import hash_folder, read_json, write_json


def seal(folder: Path, key: Path) -> None:
    """List and sign whatever lies there."""
    for name in (LISTING, SIGNATURE):
        (folder / name).unlink(missing_ok=True)
    files = hash_folder(folder)
    raw = json.dumps({"files": files, "payload_digest": payload_digest(files), "policy_digest": "p"}).encode()
    (folder / LISTING).write_bytes(raw)
    (folder / SIGNATURE).write_text(signing.sign(signing.load_or_create(key), raw))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "k"


@pytest.fixture
def bundle(tmp_path: Path, key: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "licences").mkdir(parents=True)
    (folder / "policy.toml").write_text("x")
    write_json(folder / "licences" / "licences.json", {"warnings": [{"ja": "注意", "en": "note"}]})
    digest = payload_digest(hash_folder(folder))
    card = {"payload_digest": digest, "policy": {"digest": "p"}, "thresholds": {"passed": True}}
    write_json(folder / "card.json", card)
    rows = [{"type": "file", "name": n, "hashes": [{"alg": "SHA-256", "content": h}]} for n, h in files(folder)]
    properties = [{"name": "so8t:payload_digest", "value": digest}]
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {"properties": properties}, "components": rows}
    write_json(folder / SBOM, bom)
    seal(folder, key)
    return folder


def files(folder: Path) -> list[tuple[str, str]]:
    return sorted(hash_folder(folder).items())


def public(key: Path) -> Path:
    return signing.public_path(key)


def test_a_good_one(bundle: Path, key: Path) -> None:
    report = verify(bundle, public(key))
    assert report.ok and report.passed == list(CHECKS) and report.failed == ""
    found = report.to_json("ja")
    assert set(found["checks"].values()) == {"passed"} and found["error"] is None and found["warnings"] == ["注意"]
    assert found["fingerprint"] == signing.fingerprint(signing.load_public(public(key)))
    assert found["bytes"] == sum(p.stat().st_size for p in bundle.rglob("*") if p.is_file()) - sum(
        (bundle / name).stat().st_size for name in (LISTING, SIGNATURE)
    )


def test_without_a_key_nothing_is_verified(bundle: Path) -> None:
    report = verify(bundle, None)
    assert not report.ok and report.failed == "signature" and report.error and report.error.exit_code == 8
    assert set(report.to_json("en")["checks"].values()) == {"failed", "not checked"}


def test_another_key(bundle: Path, tmp_path: Path) -> None:
    signing.load_or_create(tmp_path / "other")
    report = verify(bundle, public(tmp_path / "other"))
    assert report.failed == "signature" and report.fingerprint == "" and not report.ok


def edit_bom(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        bom = read_json(folder / SBOM)
        change(bom)
        write_json(folder / SBOM, bom)

    return harm


def other_hash(bom: dict[str, Any]) -> None:
    bom["components"][0]["hashes"][0]["content"] = "0" * 64


BROKEN: list[tuple[str, Callable[[Path], None], str]] = [
    ("none", lambda f: (f / SBOM).unlink(), "missing"),
    ("no JSON", lambda f: (f / SBOM).write_text("{") and None, "JSON"),
    ("a list", lambda f: (f / SBOM).write_text("[]") and None, "not an object"),
    ("version", edit_bom(lambda b: b.update(specVersion="1.4")), "CycloneDX"),
    ("format", edit_bom(lambda b: b.update(bomFormat="SPDX")), "CycloneDX"),
    ("payload", edit_bom(lambda b: b["metadata"].update(properties=[])), "payload_digest"),
    ("metadata", edit_bom(lambda b: b.update(metadata=3)), "payload_digest"),
    ("hash", edit_bom(other_hash), "card.json"),
    ("no hash", edit_bom(lambda b: b["components"][0].pop("hashes")), "card.json"),
    ("forgotten", edit_bom(lambda b: b["components"].pop()), "policy.toml"),
    ("twice", edit_bom(lambda b: b["components"].append(b["components"][0])), "twice"),
    ("components", edit_bom(lambda b: b.update(components={})), "card.json"),
    ("extra", lambda f: (f / "extra.txt").write_text("x") and None, "card.payload_digest"),
]


@pytest.mark.parametrize(("harm", "why"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_wrong_sbom_signed_all_the_same(bundle: Path, key: Path, harm: Callable[[Path], None], why: str) -> None:
    harm(bundle)
    seal(bundle, key)
    report = verify(bundle, public(key))
    assert report.failed == ("proof" if "payload" in why and why.startswith("card") else "sbom")
    assert report.error and why in report.error.detail and report.error.exit_code == 8


@pytest.mark.parametrize("content", [None, "[]", "{}", '{"warnings": 3}'])
def test_a_list_of_licences_is_needed(bundle: Path, key: Path, content: str | None) -> None:
    """Left out or emptied by the trainer himself, with everything else put right again."""
    path = bundle / "licences" / "licences.json"
    path.unlink() if content is None else path.write_text(content)
    payload = {n: h for n, h in files(bundle) if n not in {"card.json", SBOM, LISTING, SIGNATURE}}
    digest = payload_digest(payload)
    card, bom = read_json(bundle / "card.json"), read_json(bundle / SBOM)
    card["payload_digest"] = bom["metadata"]["properties"][0]["value"] = digest
    write_json(bundle / "card.json", card)
    hashes = {n: h for n, h in files(bundle) if n not in {SBOM, LISTING, SIGNATURE}}
    bom["components"] = [
        {"type": "file", "name": n, "hashes": [{"alg": "SHA-256", "content": h}]} for n, h in hashes.items()
    ]
    write_json(bundle / SBOM, bom)
    seal(bundle, key)
    assert verify(bundle, public(key)).failed == "licences"


def test_a_changed_file_ends_it_there(bundle: Path, key: Path) -> None:
    (bundle / "policy.toml").write_text("y")
    report = verify(bundle, public(key))
    assert report.passed == ["signature", "listing"] and report.failed == "files" and report.error
    assert report.error.where == str(bundle / "policy.toml")


def test_no_bundle_at_all(tmp_path: Path, key: Path) -> None:
    signing.load_or_create(key)
    report = verify(tmp_path / "nowhere", public(key))
    assert not report.ok and report.error and report.error.exit_code == 8
