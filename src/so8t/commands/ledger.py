"""so8t ledger verify|export|seal|anchor|schema|report|erase: reading and proving; erase alone writes."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from so8t.core import sealing, signing
from so8t.core.errors import LedgerBroken, SignatureInvalid, TextKeyWrong, UsageError
from so8t.core.ledger import Ledger
from so8t.core.ledger_format import Anchor, anchor_path_of
from so8t.core.ledger_month import seal_month, verify_month, verify_with_seals
from so8t.core.ledger_read import LedgerReader, export
from so8t.core.ledger_report import Report
from so8t.core.ledger_verify import verify
from so8t.operate.eventlog.compare import with_events
from so8t.operate.intake.kept import Kept
from so8t.operate.intake.verify import with_attachments

WORDS = {
    "intact": ("改変なし", "intact"),
    "unsigned": ("連鎖に矛盾なし(署名は未確認)", "chain consistent (signature not checked)"),
    "broken": ("異常あり", "BROKEN"),
}


def ledger(options: argparse.Namespace) -> int:
    """verify: exit 9 for anything edited, inserted, reordered, cut off, rolled back or not anchored."""
    if options.action == "schema":
        from so8t.core.ledger_postgres_schema import script

        print(script(), end="")
        return 0
    if options.action == "report":
        from so8t.commands.report_ledger import report_ledger

        return report_ledger(options)
    if options.path is None:
        raise UsageError(detail=f"so8t ledger {options.action} PATH")
    action = {"erase": _erase, "verify": _verify, "export": _export, "seal": _seal, "anchor": _anchor}[options.action]
    return action(options)


def _export(options: argparse.Namespace) -> int:
    export(options.path, sys.stdout)
    return 0


def _erase(options: argparse.Namespace) -> int:
    """Destroy the texts of one entry, and say so in the ledger. The server must be stopped: it holds the ledger."""
    if not options.seq or not options.reason or not options.signing_key or not options.text_key:
        raise UsageError(
            detail="so8t ledger erase PATH --seq N --reason R --signing-key ledger.key --text-key text.key"
        )
    if not options.signing_key.is_file() or not options.path.exists():
        raise UsageError(where=options.path, detail="--signing-key")
    text_key = sealing.load(options.text_key)
    kept = Kept.beside(options.path)
    with Ledger(options.path, signing.load_or_create(options.signing_key), text_key) as book:
        with LedgerReader(options.path) as reader:
            entry = reader.entry(options.seq)
        if entry is not None and entry.request_id is not None:
            kept.erasing(entry.request_id, entry.data)
        noted = book.erase(options.seq, options.reason, actor="command line").result()
    if entry is not None:  # their keys are destroyed already
        kept.remove(entry.data)
    print(json.dumps({"erased": options.seq, "noted": noted.seq, "head": noted.head}))
    return 0


def _verify(options: argparse.Namespace) -> int:
    key = _public_key(options)
    if options.path.suffix == ".jsonl":
        return _say(verify_month(options.path, key), options)
    expected = _head(options.head) if options.head else None

    def check(text_key: sealing.TextKey | None) -> Report:
        if options.sealed:
            report = verify_with_seals(options.path, options.sealed, None, key, text_key, expected=expected)
        else:
            report = verify(options.path, None, key, text_key, expected=expected)
        report = with_attachments(report, options.path)
        return with_events(report, options.path, options.events) if options.events else report

    try:
        return _say(check(_text_key(options)), options)
    except TextKeyWrong:
        if options.text_key:
            raise
        return _say(check(None), options)  # the key that lies here by chance is another ledger's


def _say(report: Report, options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
        return 0 if report.ok else LedgerBroken.exit_code
    ja = options.lang == "ja"
    for problem in report.problems:
        print(f"seq {problem.seq}: {problem.ja if ja else problem.en}")
    state = WORDS["broken" if not report.ok else "intact" if report.signed else "unsigned"][not ja]
    print(f"{state}: {report.entries} 件、最新 {report.head}" if ja else
          f"{state}: {report.entries} entries, head {report.head}")  # fmt: skip
    if report.unopened:
        print(f"本文 {report.unopened} 件は鍵がないため照合していません(--text-key)" if ja else
              f"{report.unopened} texts were not looked into (--text-key)")  # fmt: skip
    elif report.texts:
        print(f"本文 {report.texts} 件も照合しました" if ja else f"{report.texts} texts match too")
    return 0 if report.ok else LedgerBroken.exit_code


def _seal(options: argparse.Namespace) -> int:
    """The month's file and its signed seal; a second time changes nothing."""
    if not options.month or options.out is None:
        raise UsageError(detail="so8t ledger seal PATH --month YYYY-MM --out DIR")
    secret: Path = options.signing_key or options.runs / "keys" / "ledger.key"
    if not secret.is_file():
        raise SignatureInvalid(where=secret, detail="no such key (--signing-key)")
    seal = seal_month(options.path, options.month, options.out, signing.load_or_create(secret))
    if options.json:
        print(json.dumps(asdict(seal), ensure_ascii=False))
        return 0
    span = f"{seal.first}-{seal.last}"
    print(f"{seal.month} を封印しました: {seal.count} 件(seq {span})、最新 {seal.head}" if options.lang == "ja" else
          f"sealed {seal.month}: {seal.count} entries (seq {span}), head {seal.head}")  # fmt: skip
    return 0


def _anchor(options: argparse.Namespace) -> int:
    """The newest signed head in one line: for paper, for another machine, or as the first anchor of a new gateway."""
    key, stored = _public_key(options), Anchor.read(anchor_path_of(options.path))
    with LedgerReader(options.path) as reader:
        heads = reader.heads
    if not heads or heads[0].seq < stored.seq or heads[0].ledger_id != stored.ledger_id:
        raise LedgerBroken(where=options.path, detail="older than its anchor")
    if key is not None and not heads[0].is_signed(key):
        raise LedgerBroken(where=options.path, detail=f"seq {heads[0].seq}: not signed by this key")
    print(heads[0].to_bytes().decode().strip())
    return 0


def _public_key(options: argparse.Namespace) -> Ed25519PublicKey | None:
    """Never a key that lies beside the ledger: it proves nothing."""
    own = options.runs / "keys" / "ledger.key.pub"
    file: Path | None = options.key or (own if own.is_file() else None)
    if file is None:
        print("錨の署名は確かめていません(--key) / the anchor's signature is not checked (--key)", file=sys.stderr)
        return None
    return signing.load_public(file)


def _text_key(options: argparse.Namespace) -> sealing.TextKey | None:
    own = options.runs / "keys" / "text.key"
    file: Path | None = options.text_key or (own if own.is_file() else None)
    return sealing.load(file) if file else None


def _head(text: str) -> tuple[int, str]:
    seq, _, head = text.partition(":")
    if not seq.isdigit() or not head:
        raise UsageError(detail="--head SEQ:HEX")
    return int(seq), head
