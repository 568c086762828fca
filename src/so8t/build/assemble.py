"""Put the bundle together: copy, list, hash, sign; it appears whole or not at all (core/bundle.py checks it)."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

from so8t.core import signing
from so8t.core.bundle import LISTING, SIGNATURE, open_bundle, payload_digest
from so8t.core.errors import BundleUnproven
from so8t.core.files import hash_folder, read_json, write_bytes, write_text
from so8t.core.run import StageContext, code_digest
from so8t.judge.triple import POLICY

KEY = "bundle.key"


def run_bundle(ctx: StageContext) -> dict[str, Any]:
    """Payload + calibration + card, listed, hashed and signed with the trainer's key.

    Raises BundleUnproven when the card is of another payload.
    """
    folder = ctx.folder
    for stage in ("export", "prove"):
        shutil.copytree(ctx.input(stage), folder, dirs_exist_ok=True)
    files = hash_folder(folder)
    digest = payload_digest(files)
    card = read_json(folder / "card.json")
    if card["payload_digest"] != digest:
        raise BundleUnproven(where=folder / "card.json", detail="payload_digest")
    listing = {
        "schema": 1,
        "name": ctx.run.folder.name,
        "profile": ctx.config.profile,
        "files": files,
        "payload_digest": digest,
        "policy_digest": card["policy"]["digest"],
        "code": code_digest(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    raw = json.dumps(listing, ensure_ascii=False, indent=1, sort_keys=True).encode()
    key = signing.load_or_create(ctx.run.keys / KEY)
    write_bytes(folder / LISTING, raw)
    write_text(folder / SIGNATURE, signing.sign(key, raw) + "\n")
    open_bundle(folder, signing.public_path(ctx.run.keys / KEY))
    return {
        "payload_digest": digest,
        "files": len(files),
        "policy": POLICY,
        "signed_by": signing.encode_public(key.public_key()),
    }
