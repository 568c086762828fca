"""Images and recordings beside the ledger: each a file of its own, sealed under a key of its own.

The file is named by the SHA-256 of its sealed bytes, and that name stands in the ledger's entry: whoever has the two
can tell that nothing was exchanged, without any key. The key lies among the entry's erasable texts, which are sealed
with the text key (core/sealing.py): erasing them destroys it in the same transaction, and from then on nobody can read
the file, whatever copies of it there are. Removing it only frees the space.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from so8t.core.errors import DiskFull, LedgerUnavailable, RecordInvalid
from so8t.core.files import write_bytes
from so8t.core.sealing import TextKey
from so8t.core.types import Attachment, canonical_json
from so8t.operate.intake.intent import Intents

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

    @property
    def intents(self) -> Intents:
        return Intents(self.folder / "pending")

    def put(self, request_id: str, attachments: Sequence[Attachment]) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """(what the entry says of them, its texts): every file is durable when this returns, and so is the note that
        named() ends. Raises LedgerUnavailable, for without its image an entry would not say what was judged."""
        sealed = [_sealed(one.content) if one.content else None for one in attachments]
        files = {one.name: one.content for one in sealed if one}
        try:
            if files:
                self.intents.begin(request_id, list(files))
            for name, content in files.items():
                path = self.path(name)
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_bytes(path, content)
        except (OSError, DiskFull) as error:  # no entry was begun: nothing can name them any more
            self._undo(list(files))
            raise LedgerUnavailable(where=self.folder, detail=type(error).__name__) from error
        told = [_told(one, made.name if made else "") for one, made in zip(attachments, sealed, strict=True)]
        shown = [[one.name, one.media_type, [[p.page, p.text] for p in one.pages]] for one in attachments]
        keys = [one.key if one else None for one in sealed]
        return told, {TEXTS: canonical_json(shown), KEYS: canonical_json(keys)}

    def named(self, entry: Mapping[str, Any]) -> None:
        """The entry is durable: its files are no longer in doubt."""
        with suppress(OSError):  # what stays is settled by the sweep
            self.intents.end(sealed_names(entry))

    def read(self, entry: Mapping[str, Any], texts: Mapping[str, str], number: int) -> bytes:
        """The content of an entry's attachment, from 0. Raises RecordInvalid where there is none, or no longer."""
        told = entry.get("attachments")
        keys = json.loads(texts.get(KEYS, "[]"))
        if not isinstance(told, list) or not 0 <= number < min(len(told), len(keys)) or keys[number] is None:
            raise RecordInvalid(where="attachment", detail=("残していないか、消去しました", "not kept, or erased"))
        return self._opened(str(told[number]["sealed"]), *keys[number])

    def erasing(self, request_id: str, entry: Mapping[str, Any]) -> None:
        """To be told before an entry's texts are erased, so that its files go whatever happens. Raises OSError,
        DiskFull."""
        if names := sealed_names(entry):
            self.intents.begin(request_id, names)

    def remove(self, entry: Mapping[str, Any]) -> int:
        """The files of an entry whose texts were erased; how many there were."""
        names = sealed_names(entry)
        count = self.discard(names)
        self.intents.end(names)
        return count

    def discard(self, names: Sequence[str]) -> int:
        """Removes these files, half-written ones too, and never one behind a link; how many there were."""
        count = 0
        for path in map(self.path, names):
            if path.parent.is_symlink():
                continue
            path.with_name(f".{path.name}.partial").unlink(missing_ok=True)
            if path.is_file() or path.is_symlink():
                path.unlink(missing_ok=True)
                count += 1
        return count

    def _undo(self, names: Sequence[str]) -> None:
        with suppress(OSError):
            self.discard(names)
            self.intents.end(names)

    def _opened(self, name: str, key: str, digest: str) -> bytes:
        try:
            with self.path(name).open("rb") as source:
                sealed = source.read(MAXIMUM_FILE + 1)
        except OSError as error:
            raise RecordInvalid(where="attachment", detail=type(error).__name__) from error
        content = TextKey.decode(key.encode()).open(sealed, bytes.fromhex(digest))
        if sha256(sealed).hexdigest() != name or content is None:
            raise RecordInvalid(where="attachment", detail=("書き換えられています", "changed"))
        return content

    def path(self, name: str) -> Path:
        """Where the file of that name lies. Raises RecordInvalid for what is no name of ours."""
        if len(name) != NAME or not set(name) <= set("0123456789abcdef"):
            raise RecordInvalid(where="attachment", detail="no such name")
        return self.folder / name[:2] / name


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A file under its name; key: what opens it, as an erasable text."""

    name: str
    content: bytes
    key: list[str]


def _sealed(content: bytes) -> _Sealed:
    key = TextKey.generate()
    digest, sealed = key.seal(content)
    return _Sealed(sha256(sealed).hexdigest(), sealed, [key.encode().decode().strip(), digest.hex()])


def sealed_names(entry: Mapping[str, Any]) -> list[str]:
    """The files that an entry names."""
    told = entry.get("attachments")
    return [str(one["sealed"]) for one in told if one.get("sealed")] if isinstance(told, list) else []


def _told(one: Attachment, name: str) -> dict[str, Any]:
    """What the chain holds for good: no name, no text."""
    return {
        "sealed": name, "media_type": one.media_type, "bytes": len(one.content),
        "confidence": round(one.confidence, 4),
        "pages": [{"page": p.page, "confidence": round(p.confidence, 4), "engine": p.engine} for p in one.pages],
    }  # fmt: skip
