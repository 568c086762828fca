"""A bundle is whole, listed, hashed, signed by the key you trust, and its card is of exactly it - or it is refused."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core import signing
from so8t.core.bundle import CARD_FILES, LISTING, SIGNATURE, Bundle, newest_bundle, open_bundle, payload_digest
from so8t.core.errors import BundleBroken, BundleUnproven, SignatureInvalid
from so8t.core.files import hash_folder


def sealed(folder: Path, key_file: Path, *, passed: bool = True, card_digest: str | None = None) -> Path:
    """List and sign what lies in a folder, with a card."""
    for name in (LISTING, SIGNATURE):
        (folder / name).unlink(missing_ok=True)
    digest = payload_digest(hash_folder(folder))
    card = {"payload_digest": card_digest or digest, "thresholds": {"passed": passed}}
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "card.html").write_text("<html>")
    raw = json.dumps({"files": hash_folder(folder), "payload_digest": digest}).encode()
    (folder / LISTING).write_bytes(raw)
    (folder / SIGNATURE).write_text(signing.sign(signing.load_or_create(key_file), raw) + "\n")
    return folder


@pytest.fixture
def key(tmp_path: Path) -> Path:
    signing.load_or_create(tmp_path / "k")
    return tmp_path / "k.pub"


@pytest.fixture
def bundle(tmp_path: Path, key: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "gguf").mkdir(parents=True)
    (folder / "gguf" / "model-F16.gguf").write_bytes(b"GGUF")
    (folder / "policy.toml").write_text("方針", encoding="utf-8")
    return sealed(folder, tmp_path / "k")


def test_a_good_one(bundle: Path, key: Path) -> None:
    found = open_bundle(bundle, key)
    found.require_proof()
    assert found.signed_by == key.read_text().strip()
    assert found.gguf("F16").read_bytes() == b"GGUF"
    assert open_bundle(bundle).signed_by is None  # nobody asked, nobody is told that it is signed


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that the examples of one law share; each puts back what it changed. Its key lies beside it."""
    folder = tmp_path_factory.mktemp("steady") / "bundle"
    (folder / "gguf").mkdir(parents=True)
    (folder / "gguf" / "model-F16.gguf").write_bytes(b"GGUF")
    (folder / "policy.toml").write_text("方針", encoding="utf-8")
    return sealed(folder, folder.parent / "k")


EVERY_FILE = ("gguf/model-F16.gguf", "policy.toml", "card.json", "card.html", LISTING, SIGNATURE)


@given(st.sampled_from(EVERY_FILE), st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_found(steady: Path, name: str, place: int, change: int) -> None:
    path = steady / name
    good = path.read_bytes()
    place %= len(good)
    if name == SIGNATURE and not bytes([good[place] ^ change]).strip() and not good[place:].strip():
        return  # the line end of the signature may be any white space
    path.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
    try:
        with pytest.raises((BundleBroken, SignatureInvalid)):
            open_bundle(steady, steady.parent / "k.pub")
    finally:
        path.write_bytes(good)


def add_a_file(folder: Path) -> None:
    (folder / "gguf" / "more.bin").write_bytes(b"x")


def remove_a_file(folder: Path) -> None:
    (folder / "policy.toml").unlink()


def change_a_file(folder: Path) -> None:
    (folder / "policy.toml").write_text("別の方針", encoding="utf-8")


def change_the_card(folder: Path) -> None:
    (folder / "card.html").write_text("<html>better")


def hide_a_file(folder: Path) -> None:
    (folder / ".hidden").touch()


@pytest.mark.parametrize(
    ("harm", "file", "kind"),
    [
        (add_a_file, "gguf/more.bin", "not listed"),
        (remove_a_file, "policy.toml", "missing"),
        (change_a_file, "policy.toml", "changed"),
        (change_the_card, "card.html", "changed"),
        (hide_a_file, ".hidden", "not listed"),
    ],
)
def test_harm_is_named(bundle: Path, key: Path, harm: Callable[[Path], None], file: str, kind: str) -> None:
    harm(bundle)
    for trusted in (None, key):
        with pytest.raises(BundleBroken) as caught:
            open_bundle(bundle, trusted)
        assert (caught.value.where, caught.value.detail) == (str(bundle / file), kind)
        assert caught.value.exit_code == 8


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("target", ["file", "folder", "nowhere"])
def test_links_are_refused(bundle: Path, tmp_path: Path, target: str) -> None:
    outside = tmp_path / "outside"
    if target == "file":
        (bundle / "policy.toml").rename(outside)
        (bundle / "policy.toml").symlink_to(outside)  # same content, same hash
    elif target == "folder":
        (bundle / "gguf").rename(outside)
        (bundle / "gguf").symlink_to(outside)
    else:
        (bundle / "x").symlink_to(outside)
    with pytest.raises(BundleBroken, match="symbolic link"):
        open_bundle(bundle)


def relisted(folder: Path, change: Callable[[dict[str, Any]], None], key_file: Path | None = None) -> None:
    listing = json.loads((folder / LISTING).read_text())
    change(listing)
    raw = json.dumps(listing).encode()
    (folder / LISTING).write_bytes(raw)
    if key_file:
        (folder / SIGNATURE).write_text(signing.sign(signing.load_or_create(key_file), raw))


def test_a_wrong_payload_digest(bundle: Path, tmp_path: Path, key: Path) -> None:
    relisted(bundle, lambda listing: listing.update(payload_digest="0" * 64), tmp_path / "k")
    with pytest.raises(BundleBroken, match="payload_digest"):
        open_bundle(bundle, key)


def test_a_listing_changed_after_signing(bundle: Path, key: Path) -> None:
    change_a_file(bundle)
    files = hash_folder(bundle, frozenset({LISTING, SIGNATURE}))
    relisted(bundle, lambda listing: listing.update(files=files, payload_digest=payload_digest(files)))
    open_bundle(bundle)  # consistent in itself: only the signature tells
    with pytest.raises(SignatureInvalid):
        open_bundle(bundle, key)


def test_another_key(bundle: Path, tmp_path: Path) -> None:
    signing.load_or_create(tmp_path / "other")
    with pytest.raises(SignatureInvalid) as caught:
        open_bundle(bundle, tmp_path / "other.pub")
    assert caught.value.exit_code == 8
    with pytest.raises(SignatureInvalid):
        open_bundle(bundle, tmp_path / "nowhere.pub")


def test_a_key_inside_the_bundle_proves_nothing(bundle: Path, tmp_path: Path, key: Path) -> None:
    signing.load_or_create(tmp_path / "thief")
    (bundle / "bundle.key.pub").write_bytes((tmp_path / "thief.pub").read_bytes())
    sealed(bundle, tmp_path / "thief")
    open_bundle(bundle)
    with pytest.raises(SignatureInvalid):
        open_bundle(bundle, key)
    with pytest.raises(SignatureInvalid, match="inside the bundle"):
        open_bundle(bundle, bundle / "gguf" / ".." / "bundle.key.pub")  # even where the operator points at it


@pytest.mark.parametrize("content", [None, b"", b"AAAA", b"\xff\xfe", b"A" * 88, b"A" * 10_000])
def test_a_wrong_signature(bundle: Path, key: Path, content: bytes | None) -> None:
    (bundle / SIGNATURE).unlink()
    if content is not None:
        (bundle / SIGNATURE).write_bytes(content)
    with pytest.raises(SignatureInvalid):
        open_bundle(bundle, key)


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"files": []}', b'{"files": {"a": 3}}'])
def test_a_listing_that_is_none(bundle: Path, content: bytes) -> None:
    (bundle / LISTING).write_bytes(content)
    with pytest.raises(BundleBroken):
        open_bundle(bundle)


def test_a_listing_that_is_no_json(bundle: Path) -> None:
    (bundle / LISTING).write_bytes(b'{"files": ')
    with pytest.raises(BundleBroken, match="JSON"):
        open_bundle(bundle)


def test_no_unsigned_byte_is_interpreted(bundle: Path, key: Path) -> None:
    """With a trusted key the signature comes first: a listing by a stranger is not even parsed."""
    (bundle / LISTING).write_bytes(b"[" * 100_000)
    with pytest.raises(SignatureInvalid):
        open_bundle(bundle, key)


@pytest.mark.parametrize("name", ["../outside", "/outside", "C:\\outside", "a/../../outside"])
def test_a_signed_listing_may_not_reach_outside(bundle: Path, tmp_path: Path, key: Path, name: str) -> None:
    (tmp_path / "outside").write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    relisted(bundle, lambda listing: listing["files"].update({name: digest}), tmp_path / "k")
    with pytest.raises(BundleBroken, match="unsafe name"):
        open_bundle(bundle, key)


@pytest.mark.skipif(os.name == "nt", reason="no named pipes in folders there")
def test_a_pipe_is_refused_and_not_waited_for(bundle: Path, key: Path) -> None:
    (bundle / "policy.toml").unlink()
    os.mkfifo(bundle / "policy.toml")
    with pytest.raises(BundleBroken, match="not a file"):
        open_bundle(bundle, key)


def test_what_passed_is_told_in_order(bundle: Path, key: Path) -> None:
    told: list[str] = []
    open_bundle(bundle, key, told.append)
    assert told == ["signature", "listing", "files"]
    change_a_file(bundle)
    told.clear()
    with pytest.raises(BundleBroken):
        open_bundle(bundle, key, told.append)
    assert told == ["signature", "listing"]


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleBroken, match="missing"):
        open_bundle(tmp_path)


def test_a_card_of_another_payload(bundle: Path, tmp_path: Path, key: Path) -> None:
    found = open_bundle(sealed(bundle, tmp_path / "k", card_digest="0" * 64), key)
    with pytest.raises(BundleUnproven, match="payload_digest"):
        found.require_proof()


def test_a_card_of_another_policy(bundle: Path, tmp_path: Path, key: Path) -> None:
    relisted(bundle, lambda listing: listing.update(policy_digest="0" * 64), tmp_path / "k")
    with pytest.raises(BundleUnproven, match=r"policy\.digest"):
        open_bundle(bundle, key).require_proof()


def test_thresholds_that_failed(bundle: Path, tmp_path: Path, key: Path) -> None:
    found = open_bundle(sealed(bundle, tmp_path / "k", passed=False), key)
    with pytest.raises(BundleUnproven, match="thresholds"):
        found.require_proof()


@pytest.mark.parametrize("card", [None, [], 3, {"thresholds": None}, {"thresholds": {"passed": "no"}}, "digest only"])
def test_a_card_that_says_nothing(bundle: Path, tmp_path: Path, card: Any) -> None:
    """Whatever stands there instead of a passed card, it is no proof."""
    found = open_bundle(bundle)
    made = {"payload_digest": found.payload_digest} if card == "digest only" else card
    if isinstance(made, dict):
        made = {"payload_digest": found.payload_digest} | made
    if card is None:
        (bundle / "card.json").unlink()
    else:
        (bundle / "card.json").write_text(json.dumps(made))
    with pytest.raises((BundleUnproven, BundleBroken)):
        found.require_proof()


names = st.dictionaries(
    st.sampled_from(["a", "b", *sorted(CARD_FILES), "x/card.json", "licences/licences.json"]), st.text("ab", max_size=3)
)


@given(names, names)
def test_the_payload_digest_leaves_out_the_card_only(a: dict[str, str], b: dict[str, str]) -> None:
    def rest(files: dict[str, str]) -> dict[str, str]:
        return {k: v for k, v in files.items() if k not in CARD_FILES}

    assert (payload_digest(a) == payload_digest(b)) == (rest(a) == rest(b))


def test_newest_bundle(tmp_path: Path) -> None:
    assert newest_bundle(tmp_path / "runs") is None
    for age, name in ((30, "old"), (10, "new"), (20, "middle")):
        folder = tmp_path / "runs" / name / "bundle"
        folder.mkdir(parents=True)
        (folder / LISTING).touch()
        os.utime(folder / LISTING, (1e9 - age, 1e9 - age))
    (tmp_path / "runs" / "unfinished" / "bundle").mkdir(parents=True)
    assert newest_bundle(tmp_path / "runs") == tmp_path / "runs" / "new" / "bundle"


def carded(place: Path, card: dict[str, object], digest: str) -> Bundle:
    """A bundle of nothing but a card."""
    (place / "card.json").write_text(json.dumps(card))
    return Bundle(place, {"payload_digest": digest}, None)


def test_a_real_model_is_not_proven_by_the_demo_policy(tmp_path: Path) -> None:
    digest = "d" * 64
    thresholds = {"passed": True}
    for profile, proven in (("tiny", True), ("phi4-mini-12gb", False)):
        card = {"payload_digest": digest, "thresholds": thresholds, "policy": {"id": "demo"}, "profile": profile}
        made = carded(tmp_path, card, digest)
        if proven:
            made.require_proof()
        else:
            with pytest.raises(BundleUnproven, match="demo policy"):
                made.require_proof()
