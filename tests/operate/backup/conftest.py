"""An office on a disk: a real ledger, accounts, a small bundle, settings - and keys of its own for backups."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import apsw
import pytest

from so8t.core import sealing, signing
from so8t.core.bundle import LISTING, payload_digest
from so8t.core.ledger import Ledger
from so8t.core.progress import Progress
from so8t.core.serve_config import IdentityConfig, LedgerConfig, ServeConfig, UpstreamConfig
from so8t.operate.backup.create import Backup
from so8t.operate.backup.locks import PrivateKey, make_key, read_private_key
from so8t.operate.identity.store import Store

SECRET_LINE = "uPstream-sEcret-0451"


@dataclass(frozen=True)
class Site:
    folder: Path
    config: ServeConfig
    bundle: Path
    settings: Path
    key: PrivateKey
    ledger: Ledger

    @property
    def public(self) -> Path:
        return signing.public_path(Path(self.config.ledger.key))

    def backup(self, **changes: object) -> Backup:
        return dataclasses.replace(Backup(self.config, self.settings, self.bundle), **changes)  # type: ignore[arg-type]


def make_bundle(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    hashes = {name: sha256(content).hexdigest() for name, content in files.items()}
    listing = {"files": hashes, "payload_digest": payload_digest(hashes)}
    (folder / LISTING).write_text(json.dumps(listing), encoding="utf-8")
    return folder


def make_accounts(path: Path) -> None:
    Store(path, None).close()
    db = apsw.Connection(str(path))
    db.execute("INSERT INTO users VALUES('sato', '佐藤', '', NULL, 'user', '社内限定', '', 0, 0.0)")
    db.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    serve = folder / "serve"
    serve.mkdir(parents=True)
    ledger = LedgerConfig(
        path=str(serve / "ledger.db"), key=str(folder / "ledger.key"), text_key=str(folder / "text.key")
    )
    (folder / "upstream.key").write_text(SECRET_LINE + "\n")
    (folder / "policy.toml").write_text('id = "own"\n', encoding="utf-8")
    (folder / "so8t.toml").write_text("[serve]\nport = 8008\n", encoding="utf-8")
    (folder / "bundle.key.pub").write_text("public\n")
    make_accounts(serve / "users.db")
    config = ServeConfig(
        ledger=ledger, policy=str(folder / "policy.toml"), identity=IdentityConfig(users=str(serve / "users.db")),
        bundle_key=str(folder / "bundle.key.pub"), upstream=UpstreamConfig(key_file=str(folder / "upstream.key")),
    )  # fmt: skip
    bundle = make_bundle(folder / "bundle", {"policy.toml": b"x = 1\n", "gguf/model-Q8_0.gguf": bytes(range(256)) * 99})
    make_key(folder / "backup.key")
    texts = sealing.load_or_create(folder / "text.key")
    with Ledger(serve / "ledger.db", signing.load_or_create(folder / "ledger.key"), texts) as writer:
        for n in range(20):
            writer.append_sync("note", {"n": n}, text={"query": f"依頼 {n}"})
        yield Site(folder, config, bundle, folder / "so8t.toml", read_private_key(folder / "backup.key"), writer)


@pytest.fixture
def quiet() -> Progress:
    return Progress(stream=io.StringIO())
