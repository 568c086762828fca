"""so8t bundle verify|show: what was checked, by which key, in words or JSON; nothing is changed, nothing fetched."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from so8t.commands.use import trusted_key
from so8t.core import signing
from so8t.core.bundle import open_bundle
from so8t.core.bundle_check import CHECKS, Report, verify
from so8t.report.figures import Words, size
from so8t.report.summary import printable

CHECK_WORDS = {
    "signature": Words("署名", "signature"),
    "listing": Words("一覧", "listing"),
    "files": Words("ファイル", "files"),
    "proof": Words("成績のカード", "proof"),
    "sbom": Words("SBOM", "SBOM"),
    "licences": Words("ライセンス", "licences"),
}
PASSED, FAILED, UNCHECKED = Words("合格", "ok"), Words("不合格", "FAILED"), Words("調べていない", "not checked")
OK = Words("検証に合格しました", "verified")
NOT_OK = Words("検証に不合格です。使わないでください", "NOT verified: do not use it")


def verify_bundle(options: argparse.Namespace) -> int:
    """Exit code 0 only when every check passed, the signature among them; else that of the first error."""
    report = verify(options.folder, pinned_key(options))
    if options.json:
        print(json.dumps(report.to_json(options.lang), ensure_ascii=False))
    else:
        print("\n".join(report_lines(report, options.lang)))
    if report.error is not None and not options.json:
        print(report.error.render(options.lang), file=sys.stderr)
    return report.error.exit_code if report.error else 0


def pinned_key(options: argparse.Namespace) -> Path | None:
    """--key, or the one that the operator put into runs/keys. Never one from the bundle or from beside it."""
    given: Path | None = options.key
    own: Path = options.runs / "keys" / "bundle.key.pub"
    return given or (own if own.is_file() else None)


def report_lines(report: Report, lang: str) -> list[str]:
    """A line a check with what it found, then the licences' warnings, then the result."""
    details = _details(report, lang)
    lines = []
    for name in CHECKS:
        words = PASSED if name in report.passed else FAILED if name == report.failed else UNCHECKED
        detail = f"  {printable(details[name])}" if name in report.passed and details.get(name) else ""
        lines.append(f"{CHECK_WORDS[name].only(lang)}: {words.only(lang)}{detail}")
    note = Words("注意", "note").only(lang)
    lines += [f"{note}: {printable(row[lang])}" for row in report.warnings]
    return [*lines, f"{printable(report.folder)}: {(OK if report.ok else NOT_OK).only(lang)}"]


def _details(report: Report, lang: str) -> dict[str, str]:
    found = report.to_json(lang)
    files = Words(f"{found['files']} 個、{size(report.bytes)}", f"{found['files']}, {size(report.bytes)}").only(lang)
    by = Words(f"{report.key} の鍵({report.fingerprint})", f"by the key {report.key} ({report.fingerprint})").only(lang)
    return {"signature": by, "files": files, "proof": f"payload {found['payload_digest']}"}


def show_bundle(options: argparse.Namespace) -> int:
    """Digests, thresholds and contents of a bundle whose files agree with its listing."""
    key = trusted_key(options)
    found = open_bundle(options.folder, key)
    facts = {
        "bundle": str(found.folder),
        "files": len(found.listing["files"]),
        "payload_digest": found.payload_digest,
        "policy_digest": found.listing.get("policy_digest"),
        "signed_by": found.signed_by,
        "fingerprint": signing.fingerprint(signing.load_public(key)) if key else None,
        "created": found.listing.get("created"),
        "thresholds": found.card.get("thresholds"),
        "contents": found.listing["files"],
    }
    print(json.dumps(facts, ensure_ascii=False, indent=None if options.json else 1))
    return 0
