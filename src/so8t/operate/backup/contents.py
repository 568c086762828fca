"""What a backup holds: the ledger with its anchor, accounts, bundle, policy, settings, agents and approved tools - and
keys only when asked.

Without `ledger.key` whoever gets hold of a backup can read from it but forge nothing; without `text.key` they cannot
even read the texts. So the two go a way of their own (docs/operate.md), unless the operator says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from so8t.core import signing
from so8t.core.bundle_listing import files_below
from so8t.core.errors import SourceMissing
from so8t.core.serve_config import ServeConfig
from so8t.operate.intake.kept import NAME, Kept

MANIFEST = "manifest.json"
LEDGER, ANCHOR, LEDGER_PUBLIC, BUNDLE_PUBLIC = "ledger.db", "ledger.anchor", "ledger.key.pub", "bundle.key.pub"
ACCOUNTS, POLICY, SETTINGS, BUNDLE = "users.db", "policy.toml", "so8t.toml", "bundle"
ATTACHMENTS = "ledger.attachments"  # beside ledger.db, as in the office
AGENTS, TOOLS = "agents", "tools.json"


@dataclass(frozen=True, slots=True)
class Part:
    """A file and its name inside the backup."""

    name: str
    path: Path


def ledger_path(config: ServeConfig) -> Path:
    return Path(config.ledger.postgres_file or config.ledger.path)


def still_parts(config: ServeConfig, settings: Path | None, bundle: Path | None, *, with_keys: bool) -> list[Part]:
    """What does not change by itself. Raises SourceMissing for what is configured and is not there, BundleBroken."""
    parts = [Part(SETTINGS, settings)] if settings else []
    if config.policy and Path(config.policy).suffix:  # without: the name of one that ships
        parts.append(Part(POLICY, Path(config.policy)))
    if config.agents.folder:
        parts += [Part(f"{AGENTS}/{path.name}", path) for path in sorted(Path(config.agents.folder).glob("*.toml"))]
    if (pins := Path(config.agents.pins)).is_file():
        parts.append(Part(TOOLS, pins))
    if config.bundle_key:
        parts.append(Part(BUNDLE_PUBLIC, Path(config.bundle_key)))
    if (public := signing.public_path(Path(config.ledger.key))).is_file():
        parts.append(Part(LEDGER_PUBLIC, public))
    if with_keys:
        parts += _keys(config)
    if bundle is not None:
        parts += [Part(f"{BUNDLE}/{name}", bundle / name) for name in sorted(files_below(bundle))]
    for part in parts:
        if not part.path.is_file():
            raise SourceMissing(where=part.path)
    return parts


def attached_parts(config: ServeConfig) -> list[Part]:
    """The sealed images beside the ledger; asked for after the ledger's snapshot, so that none of its entries lacks
    its image. What was erased meanwhile is gone here too."""
    folder = Kept.beside(ledger_path(config)).folder
    files = sorted(path for path in folder.glob("??/*") if len(path.name) == NAME and path.is_file())
    return [Part(f"{ATTACHMENTS}/{path.parent.name}/{path.name}", path) for path in files]


def _keys(config: ServeConfig) -> list[Part]:
    named = {
        "keys/ledger.key": config.ledger.key,
        "keys/text.key": config.ledger.text_key,
        "keys/ledger.url": config.ledger.postgres_file,
        "keys/tls.pem": config.tls.certificate,
        "keys/tls.key": config.tls.key,
        "keys/upstream.key": config.upstream.key_file,
        "keys/oidc.secret": config.identity.oidc.secret_file,
    }
    return [Part(name, Path(path)) for name, path in named.items() if path]
