"""Put the bundle together: copy, describe, list, hash, sign; it appears whole or not at all (core/bundle.py checks it).

The same payload, card, packages and key give the same bytes: everything is dated by the card.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

from so8t.build.bundle.base_facts import base_of
from so8t.build.bundle.licences import LIST
from so8t.build.bundle.model_card import model_card
from so8t.build.bundle.packages import installed_packages
from so8t.build.bundle.sbom import Ingredients, sbom
from so8t.core import signing
from so8t.core.bundle import CARD, LICENCES, LISTING, MODEL_CARD, SBOM, SIGNATURE, open_bundle, payload_digest
from so8t.core.bundle_check import check_sbom
from so8t.core.errors import BundleUnproven
from so8t.core.files import hash_folder, read_json, sha256_file, write_bytes, write_json, write_text
from so8t.core.run import StageContext, code_digest
from so8t.judge.triple import POLICY

KEY = "bundle.key"


def run_bundle(ctx: StageContext) -> dict[str, Any]:
    """Payload + card, described by model card and SBOM, listed, hashed and signed with the trainer's key.

    Raises BundleUnproven when the card is of another payload, BundleBroken when the bundle would not verify.
    """
    folder = ctx.folder
    for stage in ("export", "prove"):
        shutil.copytree(ctx.input(stage), folder, dirs_exist_ok=True)
    files = hash_folder(folder)
    digest = payload_digest(files)
    card = read_json(folder / CARD)
    if card["payload_digest"] != digest:
        raise BundleUnproven(where=folder / CARD, detail="payload_digest")
    files |= _describe(ctx, card, files)
    listing = {
        "schema": 1,
        "name": ctx.run.folder.name,
        "profile": ctx.config.profile,
        "files": files,
        "payload_digest": digest,
        "policy_digest": card["policy"]["digest"],
        "code": code_digest(),
        "created": card["created"],
    }
    raw = json.dumps(listing, ensure_ascii=False, indent=1, sort_keys=True).encode()
    key = signing.load_or_create(ctx.run.keys / KEY)
    write_bytes(folder / LISTING, raw)
    write_text(folder / SIGNATURE, signing.sign(key, raw) + "\n")
    check_sbom(open_bundle(folder, signing.public_path(ctx.run.keys / KEY)))
    return {
        "payload_digest": digest,
        "files": len(files),
        "policy": POLICY,
        "signed_by": signing.encode_public(key.public_key()),
        "fingerprint": signing.fingerprint(key.public_key()),
    }


def _describe(ctx: StageContext, card: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, str]:
    """Write what can only be written once the card is there: the model card, then the SBOM over everything else."""
    licences = read_json(ctx.folder / LICENCES / LIST)
    write_text(ctx.folder / MODEL_CARD, model_card(card, licences))
    described = {MODEL_CARD: sha256_file(ctx.folder / MODEL_CARD)}
    parts = Ingredients(card, {**files, **described}, base_of(ctx), licences, installed_packages(), code_digest())
    write_json(ctx.folder / SBOM, sbom(parts))
    return described | {SBOM: sha256_file(ctx.folder / SBOM)}
