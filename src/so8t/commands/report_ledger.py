"""so8t ledger report: the records of a period, gathered by law, as PDF and HTML; and the check of such a report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from so8t.core import sealing, signing
from so8t.core.errors import LedgerBroken, RecordInvalid, SignatureInvalid, TextKeyWrong, UsageError
from so8t.operate.compliance import view
from so8t.operate.compliance.folder import write
from so8t.operate.compliance.laws import law_files, load_law, read_law
from so8t.operate.compliance.recheck import Checked, recheck
from so8t.operate.compliance.report import prepare
from so8t.operate.compliance.span import Period

T = TypeVar("T")


def report_ledger(options: argparse.Namespace) -> int:
    """Exit 9 when the ledger does not verify (the report is written and says so), 3 when a report differs from it."""
    if options.list:
        return _list(options)
    if options.path is None:
        raise UsageError(detail="so8t ledger report PATH")
    if options.check is not None:
        return _check(options)
    return _write(options)


def _list(options: argparse.Namespace) -> int:
    laws = [read_law(file) for file in law_files()]
    if options.json:
        rows = [{"id": law.id, "short": law.short, "name": law.name.ja, "duties": len(law.duties)} for law in laws]
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    for law in laws:
        print(f"{law.id:24}{law.short}" if options.lang == "ja" else f"{law.id:24}{law.name.en}")
    return 0


def _write(options: argparse.Namespace) -> int:
    if not options.law or not options.since or not options.until or options.out is None:
        raise UsageError(detail="so8t ledger report PATH --law LAW --from YYYY-MM-DD --to YYYY-MM-DD --out DIR")
    law, period = load_law(options.law), Period.parse(options.since, options.until)
    secret: Path | None = options.signing_key
    if secret is not None and not secret.is_file():
        raise SignatureInvalid(where=secret, detail="no such key (--signing-key)")
    key = _public_key(options)
    report = _with_text_key(options, lambda text_key: prepare(options.path, law, period, key, text_key))
    write(report, options.out, options.lang, signing.load_or_create(secret) if secret else None)
    _, words = view.state(report)
    if options.json:
        print(json.dumps(report.to_json() | {"out": str(options.out)}, ensure_ascii=False))
    else:
        print(f"{options.out}: {law.short}, {period.first} – {period.until}. {words.only(options.lang)}")
    return 0 if report.verification.ok else LedgerBroken.exit_code


def _check(options: argparse.Namespace) -> int:
    law = load_law(options.law) if options.law else None
    report_key = signing.load_public(options.report_key) if options.report_key else None
    key = _public_key(options)
    checked = _with_text_key(
        options, lambda text_key: recheck(options.check, options.path, law, key, text_key, report_key)
    )
    _say(checked, options)
    if not checked.ledger_ok:
        return LedgerBroken.exit_code
    return RecordInvalid.exit_code if checked.differences else 0


def _say(checked: Checked, options: argparse.Namespace) -> None:
    if options.json:
        rows = [{"name": d.name, "stated": d.stated, "found": d.found} for d in checked.differences]
        unchecked = [words.only(options.lang) for words in checked.unchecked]
        told: dict[str, Any] = {"ok": checked.ok, "ledger_ok": checked.ledger_ok, "differences": rows}
        print(json.dumps(told | {"unchecked": unchecked}, ensure_ascii=False))
        return
    ja = options.lang == "ja"
    for difference in checked.differences:
        print(f"{difference.name}: {difference.stated} -> {difference.found}")
    if not checked.ledger_ok:
        print("台帳に異常があります(so8t ledger verify)" if ja else "the ledger does not verify (so8t ledger verify)")
    for words in checked.unchecked:
        print(f"確かめていません: {words.ja}" if ja else f"not checked: {words.en}")
    count = len(checked.differences)
    if ja:
        print(f"台帳と違う点 {count} 件" if count else "すべての数が台帳と一致します")
    else:
        print(f"{count} differences from the ledger" if count else "every figure is as the ledger has it")


def _public_key(options: argparse.Namespace) -> Ed25519PublicKey | None:
    """Never a key that lies beside the ledger: it proves nothing. The report says whether one was used."""
    own = options.runs / "keys" / "ledger.key.pub"
    file: Path | None = options.key or (own if own.is_file() else None)
    return signing.load_public(file) if file else None


def _with_text_key(options: argparse.Namespace, work: Callable[[sealing.TextKey | None], T]) -> T:
    """A text key that lies here by chance may be another ledger's; one that was named may not."""
    own = options.runs / "keys" / "text.key"
    file: Path | None = options.text_key or (own if own.is_file() else None)
    try:
        return work(sealing.load(file) if file else None)
    except TextKeyWrong:
        if options.text_key:
            raise
        return work(None)
