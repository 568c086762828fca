"""Images and recordings beside the ledger: each a file of its own, sealed under a key of its own.

The file is named by the SHA-256 of its sealed bytes, and that name stands in the ledger's entry: whoever has the two
can tell that nothing was exchanged, without any key. The key lies among the entry's erasable texts, which are sealed
with the text key (core/sealing.py): erasing them destroys it in the same transaction, and from then on nobody can read
the file, whatever copies of it there are. Removing it only frees the space.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from so8t.core.errors import LedgerUnavailable, RecordInvalid
from so8t.core.files import write_bytes
from so8t.core.sealing import TextKey
from so8t.core.types import Attachment, canonical_json

KEYS, TEXTS = "attachment_keys", "attachments"  # names of the entry's texts; the first is shown to nobody
NAME = 64  # characters of a file's name
MAXIMUM_FILE = 256 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """`folder` is beside the ledger and goes where it goes."""

    folder: Path

    @classmethod
    def beside(cls, ledger: Path) -> Kept:
        return cls(ledger.with_suffix(".attachments"))

    def put(self, attachments: Sequence[Attachment]) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """(what the entry says of them, its texts): every file is durable when this returns. Raises LedgerUnavailable,
        for without its image an entry would not say what was judged."""
        told, keys = list[dict[str, Any]](), list[list[str] | None]()
        try:
            for one in attachments:
                name, key = self._sealed(one.content) if one.content else ("", None)
                told.append(_told(one, name))
                keys.append(key)
        except OSError as error:
            raise LedgerUnavailable(where=self.folder, detail=type(error).__name__) from error
        shown = [[one.name, one.media_type, [[p.page, p.text] for p in one.pages]] for one in attachments]
        return told, {TEXTS: canonical_json(shown), KEYS: canonical_json(keys)}

    def read(self, entry: Mapping[str, Any], texts: Mapping[str, str], number: int) -> bytes:
        """The content of an entry's attachment, from 0. Raises RecordInvalid where there is none, or no longer."""
        told = entry.get("attachments")
        keys = json.loads(texts.get(KEYS, "[]"))
        if not isinstance(told, list) or not 0 <= number < min(len(told), len(keys)) or keys[number] is None:
            raise RecordInvalid(where="attachment", detail="not kept, or erased / ありません")
        return self._opened(str(told[number]["sealed"]), *keys[number])

    def remove(self, entry: Mapping[str, Any]) -> int:
        """The files of an entry whose texts were erased; how many there were."""
        told = entry.get("attachments")
        names = [str(one["sealed"]) for one in told if one.get("sealed")] if isinstance(told, list) else []
        found = [path for name in names if (path := self.path(name)).exists()]
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def _sealed(self, content: bytes) -> tuple[str, list[str]]:
        key = TextKey.generate()
        digest, sealed = key.seal(content)
        name = sha256(sealed).hexdigest()
        path = self.path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(path, sealed)
        return name, [key.encode().decode().strip(), digest.hex()]

    def _opened(self, name: str, key: str, digest: str) -> bytes:
        try:
            with self.path(name).open("rb") as source:
                sealed = source.read(MAXIMUM_FILE + 1)
        except OSError as error:
            raise RecordInvalid(where="attachment", detail=type(error).__name__) from error
        content = TextKey.decode(key.encode()).open(sealed, bytes.fromhex(digest))
        if sha256(sealed).hexdigest() != name or content is None:
            raise RecordInvalid(where="attachment", detail="changed / 書き換えられています")
        return content

    def path(self, name: str) -> Path:
        """Where the file of that name lies. Raises RecordInvalid for what is no name of ours."""
        if len(name) != NAME or not set(name) <= set("0123456789abcdef"):
            raise RecordInvalid(where="attachment", detail="no such name")
        return self.folder / name[:2] / name


def _told(one: Attachment, name: str) -> dict[str, Any]:
    """What the chain holds for good: no name, no text."""
    return {
        "sealed": name, "media_type": one.media_type, "bytes": len(one.content),
        "confidence": round(one.confidence, 4),
        "pages": [{"page": p.page, "confidence": round(p.confidence, 4), "engine": p.engine} for p in one.pages],
    }  # fmt: skip
