"""so8t search: bring the index of the office's documents up to date, and look something up in it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from so8t.commands.users import policy_of
from so8t.core.config import load_config
from so8t.core.errors import IndexBusy, LedgerBusy, UsageError
from so8t.core.ledger_lock import lock
from so8t.core.progress import Progress
from so8t.core.serve_config import SearchConfig
from so8t.decide.policy import Policy
from so8t.documents.ocr import Ocr
from so8t.documents.scans import HerePages
from so8t.operate.search.folders import folders_of, reads_images
from so8t.operate.search.indexing import Report, read_waiting, update
from so8t.operate.search.searching import Hit, Result
from so8t.operate.search.searching import search as find
from so8t.operate.search.store import IndexStore
from so8t.report.data_words import reason_words

SHOWN_UNREAD = 20


def search(options: argparse.Namespace) -> int:
    """For who runs the server: no ledger entry is written, so only the owner of the index can do this.

    Nothing above --clearance is shown; without it, only the lowest level is.
    """
    serve = load_config(options.profile, options.config).serve
    config, policy = serve.search, policy_of(options, serve)
    if not options.update and not options.query:
        raise UsageError(detail="QUERY / --update")
    if options.update:
        report = _updated(config, policy, options.lang)
        if not options.query:
            print(json.dumps(report.to_json(), ensure_ascii=False) if options.json else _told(report, options.lang))
            return 0
    store = IndexStore(Path(config.index), policy.levels.names)
    try:
        clearance = options.clearance or policy.levels.names[0]
        found = find(store, " ".join(options.query), clearance, options.folder or None, options.limit, policy.reading)
    finally:
        store.close()
    print(json.dumps(found.to_json(), ensure_ascii=False) if options.json else _shown(found, options.lang))
    return 0


def _updated(config: SearchConfig, policy: Policy, lang: str) -> Report:
    """Raises IndexBusy while a gateway keeps the index up to date itself."""
    if not config.folders:
        raise UsageError(detail="[[serve.search.folders]] path = ...")
    folders, path = folders_of(config, policy), Path(config.index)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = lock(path.with_name(path.name + ".lock"))
    except LedgerBusy:
        raise IndexBusy(where=path) from None
    try:
        store = IndexStore(path, policy.levels.names, write=True)
        try:
            report = update(store, folders, policy, Progress(lang=lang))
            if reads_images(config) and store.waiting():
                ocr = HerePages(Ocr(os.cpu_count() or 1))
                later = read_waiting(store, folders, policy, Progress(lang=lang), ocr)
                report.unread |= later.unread
                report.seconds += later.seconds
                report.waiting = later.waiting
            return report
        finally:
            store.close()
    finally:
        os.close(handle)


def _told(report: Report, lang: str) -> str:
    ja = lang == "ja"
    lines = [
        f"{report.seen} 件のうち {report.read} 件を読み、{report.removed} 件を除きました({report.seconds:.1f} 秒)"
        if ja
        else f"{report.seen} files, {report.read} read, {report.removed} removed ({report.seconds:.1f} s)"
    ]
    unread = list(report.unread.items())
    lines += [
        f"  {'読めません' if ja else 'unreadable'}: {path}: {reason_words(why).only(lang)}"
        for path, why in unread[:SHOWN_UNREAD]
    ]
    if len(unread) > SHOWN_UNREAD:
        lines.append(f"  … {len(unread) - SHOWN_UNREAD}")
    return "\n".join(lines)


def _shown(found: Result, lang: str) -> str:
    ja = lang == "ja"
    head = f"{found.total} 件" if ja else f"{found.total} found"
    if found.loosely:
        head += "(すべての語を含む文書はなく、一部の語で)" if ja else " (no document has all terms; some of them)"
    return "\n".join([head, *(_one(number, hit) for number, hit in enumerate(found.hits, 1))])


def _one(number: int, hit: Hit) -> str:
    passage = " ".join(_marked(hit).split())
    read = "" if hit.confidence is None else f" (OCR {hit.confidence:.2f}{' ?' if hit.doubtful else ''})"
    return f"\n{number}. [{hit.level}] {hit.place}{read}\n   {passage}\n   {hit.path}"


def _marked(hit: Hit) -> str:
    """The terms between 《》, as they stand in the passage."""
    parts, at = [], 0
    for begin, end in hit.marks:
        if begin >= at:
            parts += [hit.passage[at:begin], "《", hit.passage[begin:end], "》"]
            at = end
    return "".join([*parts, hit.passage[at:]])
