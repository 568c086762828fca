"""so8t backup: the office in one encrypted file, made while it serves; checking one, and coming back from it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from so8t.core.bundle import newest_bundle
from so8t.core.config import load_config
from so8t.core.errors import BackupUnwritable, UsageError
from so8t.core.progress import Progress
from so8t.operate.backup.create import Backup
from so8t.operate.backup.locks import (
    Lock,
    Opener,
    make_key,
    read_passphrase,
    read_private_key,
    read_recipient,
)
from so8t.operate.backup.restore import Checked, restore, verify

Facts = dict[str, Any]
SUFFIX = ".so8t"


def backup(options: argparse.Namespace) -> int:
    """Raises the errors of operate/backup, UsageError, ConfigUnreadable."""
    try:
        facts = ACTIONS[options.action](options)
    except OSError as error:
        raise BackupUnwritable(where=error.filename or "", detail=error.strerror or type(error).__name__) from error
    if options.json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        print("\n".join(_words(facts, options.lang == "ja")))
    return 0


def _create(options: argparse.Namespace) -> Facts:
    to = _path(options.to, "backup create --to FILE|FOLDER")
    if to.is_dir() or (to.suffix != SUFFIX and not to.exists()):
        to /= f"so8t-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{SUFFIX}"  # create() makes the folder
    config = load_config(options.profile, options.config).serve
    bundle: Path | None = None
    if not options.without_bundle:
        bundle = options.bundle or (Path(config.bundle) if config.bundle else newest_bundle(options.runs))
    work = Backup(config, options.config, bundle, options.with_keys)
    made = work.create(to, _lock(options), Progress(lang=options.lang))
    return {"created": str(made.path), **{k: v for k, v in asdict(made).items() if k != "path"}}


def _verify(options: argparse.Namespace) -> Facts:
    file = _path(options.file, "backup verify FILE")
    checked = verify(file, _opener(options), Progress(lang=options.lang), options.key, options.work)
    return {"verified": str(file), **_checked(checked)}


def _restore(options: argparse.Namespace) -> Facts:
    usage = "backup restore FILE --to DIR"
    file, to = _path(options.file, usage), _path(options.to, usage)
    checked = restore(file, to, _opener(options), Progress(lang=options.lang), options.key)
    return {"restored": str(to), **_checked(checked)}


def _keygen(options: argparse.Namespace) -> Facts:
    to = _path(options.to, "backup keygen --to FILE")
    recipient = make_key(to)
    return {"private_key": str(to), "public_key": f"{to}.pub", "fingerprint": recipient.id}


ACTIONS: dict[str, Callable[[argparse.Namespace], Facts]] = {
    "create": _create, "verify": _verify, "restore": _restore, "keygen": _keygen,
}  # fmt: skip


def _lock(options: argparse.Namespace) -> Lock:
    if bool(options.passphrase_file) == bool(options.recipient):
        raise UsageError(detail="--recipient PUB | --passphrase-file F")
    return read_recipient(options.recipient) if options.recipient else read_passphrase(options.passphrase_file)


def _opener(options: argparse.Namespace) -> Opener:
    if bool(options.passphrase_file) == bool(options.private_key):
        raise UsageError(detail="--private-key F | --passphrase-file F")
    return read_private_key(options.private_key) if options.private_key else read_passphrase(options.passphrase_file)


def _path(given: Path | None, usage: str) -> Path:
    if given is None:
        raise UsageError(detail=f"so8t {usage}")
    return given


def _checked(found: Checked) -> Facts:
    return {
        "made": found.made, "files": found.files, "seq": found.ledger.entries, "head": found.ledger.head,
        "people": found.people, "payload_digest": found.payload_digest, "with_keys": found.with_keys,
        "ledger_signed": found.ledger.signed, "key_pinned": found.pinned,
    }  # fmt: skip


def _words(facts: Facts, ja: bool) -> list[str]:
    lines = [f"  {LABELS[name][not ja]}: {_shown(value, ja)}" for name, value in facts.items() if value is not None]
    if facts.get("key_pinned") is False:
        lines.append(
            "  台帳の署名は控えの中の公開鍵で確かめました。控えた人までは分かりません(--key)" if ja
            else "  the ledger's signature was checked with the key inside the backup, which proves no origin (--key)"
        )  # fmt: skip
    if facts.get("with_keys"):
        lines.append(
            "  秘密鍵が入っています。読める人は台帳を偽造できます" if ja
            else "  private keys are inside: whoever opens it can forge the ledger"
        )  # fmt: skip
    return lines


def _shown(value: Any, ja: bool) -> str:
    if isinstance(value, bool):
        return ("はい" if value else "いいえ") if ja else ("yes" if value else "no")
    return str(value)


LABELS = {
    "created": ("作った控え", "created"),
    "made": ("作った時刻", "made"),
    "size": ("バイト", "bytes"),
    "files": ("ファイル数", "files"),
    "seq": ("台帳の記録数", "ledger entries"),
    "head": ("台帳の最新ハッシュ", "ledger head"),
    "with_keys": ("秘密鍵", "private keys inside"),
    "verified": ("確かめた控え", "verified"),
    "restored": ("戻した先", "restored to"),
    "people": ("利用者", "people"),
    "payload_digest": ("バンドル", "bundle"),
    "ledger_signed": ("台帳の署名を確認", "ledger signature checked"),
    "key_pinned": ("固定した公開鍵で", "with a pinned key"),
    "private_key": ("秘密鍵(サーバに置かない)", "private key (keep it off the server)"),
    "public_key": ("公開鍵(サーバに置く)", "public key (for the server)"),
    "fingerprint": ("指紋", "fingerprint"),
}
