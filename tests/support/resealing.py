"""A changed bundle, listed and signed anew as its trainer could."""

from __future__ import annotations

import json
from pathlib import Path

from so8t.core import signing
from so8t.core.bundle import LISTING, SIGNATURE, payload_digest
from so8t.core.files import hash_folder, read_json


def resealed(folder: Path, key: Path) -> Path:
    """List and sign a changed bundle anew, as its trainer could."""
    listing = read_json(folder / LISTING)
    for name in (LISTING, SIGNATURE):
        (folder / name).unlink()
    listing["files"] = hash_folder(folder)
    listing["payload_digest"] = payload_digest(listing["files"])
    raw = json.dumps(listing).encode()
    (folder / LISTING).write_bytes(raw)
    (folder / SIGNATURE).write_text(signing.sign(signing.load_or_create(key), raw))
    return signing.public_path(key)
