"""Was anything in the ledger edited, inserted, reordered, cut off, rolled back or swapped? Offline, read-only.

The chain shows edits inside; the anchor (a signed head kept outside the database) shows a cut end and a chain that was
computed anew; a head noted elsewhere (`expected`) shows a database and anchor that were rolled back together.
"""

from __future__ import annotations

import hashlib
import time as clock
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from so8t.core.errors import RecordInvalid, TextKeyWrong
from so8t.core.ledger_format import Anchor, anchor_path_of, genesis
from so8t.core.ledger_parts import processes_for, walk_in_parts
from so8t.core.ledger_report import MAX_PROBLEMS, Findings, Report
from so8t.core.ledger_store import NotADatabase, Source, is_address_file, source_at
from so8t.core.ledger_walk import Walk, parse
from so8t.core.sealing import TextKey

_BREAKS = frozenset({"missing", "order", "chain", "hash"})


def verify(
    path: Path,
    anchor_path: Path | None = None,
    public_key: Ed25519PublicKey | None = None,
    text_key: TextKey | None = None,
    *,
    expected: tuple[int, str] | None = None,
    more: tuple[tuple[int, str], ...] = (),
) -> Report:
    """Check every stored byte against the chain, the anchor and, when given, (seq, head) pairs noted elsewhere.

    Without `public_key` the anchor's signature is not checked, without `text_key` the texts are counted, not opened.
    `more` are pairs that sealed months state. Never writes and never raises for what is in the files, but for a text
    key of another ledger (TextKeyWrong), an older format (LedgerError), a server out of reach (LedgerUnavailable).
    """
    begin = clock.perf_counter()
    for _ in range(3):
        before = _state(path)
        check = _Check(path, anchor_path or anchor_path_of(path), public_key, text_key, expected, more)
        check.run()
        # A gateway that started or stopped meanwhile may have changed the file under us: look again.
        if not check.found or before == _state(path):
            break
    return check.report(clock.perf_counter() - begin)


def _state(path: Path) -> bool:
    """Whether a log of SQLite lies beside the ledger."""
    return path.with_name(path.name + "-wal").exists()


@dataclass(slots=True)
class _Check:
    """One walk over the entries, and what its end is compared with."""

    path: Path
    anchor_path: Path
    key: Ed25519PublicKey | None
    text_key: TextKey | None
    expected: tuple[int, str] | None
    more: tuple[tuple[int, str], ...]
    found: Findings = field(default_factory=Findings)
    anchor: Anchor | None = None
    walk: Walk | None = None

    def report(self, seconds: float) -> Report:
        found, walk = self.found.sorted(), self.walk
        anchored, signed = self.anchor.seq if self.anchor else None, self.key is not None
        first = found[0].seq if found else None
        if walk is None:
            return Report(not found, 0, first, found[:MAX_PROBLEMS], "", anchored, 0, signed, seconds)
        erased = sum(count for seq, count in walk.absent.items() if seq in walk.erased)
        return Report(
            not found, walk.entries, first, found[:MAX_PROBLEMS], walk.head.hex(), anchored, erased, signed, seconds,
            walk.ledger_id, walk.texts, 0 if self.text_key else walk.texts,
        )  # fmt: skip

    def run(self) -> None:
        try:
            source = source_at(self.path)
        except FileNotFoundError:
            self.anchor = self._read_anchor()
            self.found.add(1, "missing_file", self.path.name)
            return
        except NotADatabase as error:
            self.anchor = self._read_anchor()
            self.found.add(1, "not_a_ledger", str(error))
            return
        with ThreadPoolExecutor(1, "so8t-ledger-indexes") as pool:
            indexes = pool.submit(self._damaged_indexes)
            try:
                self._run(source)
            finally:
                source.close()
        self._check_indexes(indexes)

    def _run(self, source: Source) -> None:
        # The anchor first, then a snapshot: what it states was committed before it was written.
        self.anchor = self._read_anchor()
        walk = self.walk = Walk(source, self.found, self.key, self.text_key)
        try:
            source.renew()
            self._check_all(source, walk)
        except source.damage as error:
            kind = "not_a_ledger" if type(error).__name__ in ("NotADBError", "SQLError") else "unreadable"
            self.found.add(1 if kind == "not_a_ledger" else walk.seq + 1, kind, type(error).__name__)

    def _read_anchor(self) -> Anchor | None:
        """Read again a few times before judging: the gateway may be rewriting it at this moment."""
        problem = ""
        for attempt in range(4):
            clock.sleep(0.005 * attempt)
            try:
                anchor = Anchor.read(self.anchor_path)
            except (RecordInvalid, OSError) as error:
                problem = "anchor_missing" if isinstance(error, FileNotFoundError) else "anchor_broken"
                continue
            if self.key is None or anchor.is_signed(self.key):
                return anchor
            problem = "anchor_signature"
        self.found.add(1, problem, self.anchor_path.name)
        return None

    def _check_all(self, source: Source, walk: Walk) -> None:
        different = source.differences()
        if not source.usable():
            self.found.add(1, "not_a_ledger", self.path.name)
            return
        for name in different:
            self.found.add(1, "schema", name)
        self._start(source, walk)
        walk = self.walk = self._walked(source, walk)
        if self.anchor and walk.seq > self.anchor.seq and source.growing and not source.shared:
            self._catch_up(source, walk)
        self._check_texts_gone(source, walk)
        self._check_anchor(source, walk)
        self._check_stated(walk)

    def _start(self, source: Source, walk: Walk) -> None:
        """The chain begins at the id that the first entry states; the anchor must state the same."""
        stated = ""
        for body, digest in source.select("SELECT body, hash FROM entries WHERE seq = 1"):
            data = parse(body).get("data")
            facts = data if isinstance(data, dict) else {}
            if isinstance(name := facts.get("ledger_id"), str) and name.isascii():
                stated = name
            intact = isinstance(body, bytes) and hashlib.sha256(genesis(stated) + body).digest() == digest
            # An entry that was changed to name another key is tampering, not a wrong key.
            if self.text_key and intact and facts.get("text_key") != self.text_key.id:
                raise TextKeyWrong(where=self.path)
        walk.start(stated)
        walk.heads |= {seq: b"" for seq in self._wanted()}

    def _walked(self, source: Source, walk: Walk) -> Walk:
        """Over the whole chain: in several processes where that pays and nobody writes meanwhile."""
        ((last,),) = source.select("SELECT max(seq) FROM entries")
        processes = processes_for(last or 0)
        if last and processes > 1 and not (source.shared or source.growing):
            trial = replace(walk, found=Findings(), heads=dict(walk.heads), absent={}, erased=set())
            if walk_in_parts(self.path, trial, last, processes):
                trial.found = self.found
                return trial
        walk.go()
        return walk

    def _wanted(self) -> set[int]:
        anchored = ((self.anchor.seq, ""),) if self.anchor else ()
        return {seq for seq, _ in (*anchored, *((self.expected,) if self.expected else ()), *self.more)} - {0}

    def _check_texts_gone(self, source: Source, walk: Walk) -> None:
        for seq in sorted(walk.absent.keys() - walk.erased):
            self.found.add(seq, "text_missing")
        for seq in sorted(walk.erased - walk.absent.keys()):
            if source.select("SELECT 1 FROM texts WHERE seq = ?", seq):
                self.found.add(seq, "text_kept")

    def _catch_up(self, source: Source, walk: Walk) -> None:
        """A ledger in use: the commit we read last may be anchored by now; read on to where the anchor is."""
        for attempt in range(10):
            clock.sleep(0.005 * attempt)
            self.anchor = self._read_anchor()
            if self.anchor is None or self.anchor.seq >= walk.seq:
                break
        if self.anchor is None:
            return
        walk.heads |= {seq: b"" for seq in self._wanted() if seq > walk.seq}
        walk.heads[walk.seq] = walk.head
        if self.anchor.seq > walk.seq:
            source.renew()
            walk.go(walk.seq + 1, self.anchor.seq)

    def _check_anchor(self, source: Source, walk: Walk) -> None:
        anchor = self.anchor
        if anchor is None:
            return
        if walk.entries and anchor.ledger_id != walk.ledger_id:
            self.found.add(1, "other_ledger", f"{anchor.ledger_id} / {walk.ledger_id}")
            return
        if anchor.seq > walk.seq:
            self.found.add(walk.seq + 1, "cut", f"{walk.seq + 1}-{anchor.seq}")
        elif walk.heads.get(anchor.seq, b"").hex() != anchor.head:
            self.found.add(self._first_redone(source, anchor.seq), "head", f"seq {anchor.seq}")
        if walk.seq > anchor.seq:
            # In a shared store the rest is other gateways'; each checks the end it signed by its own anchor.
            if not source.shared:
                self.found.add(anchor.seq + 1, "unanchored", f"{anchor.seq + 1}-{walk.seq}")
            if self.key and not walk.signs_head(str(walk.signature)):
                self.found.add(walk.seq, "signature")
        elif walk.seq == anchor.seq > 0 and walk.signature != anchor.signature:
            self.found.add(walk.seq, "signature")

    def _first_redone(self, source: Source, last: int) -> int:
        """Where a recomputed chain begins: after the last entry whose signature still fits its hash.

        Everything after the edit has another hash, so the signatures are good up to one point and bad from there.
        A break of the chain within that commit is the exact place. Without a key nothing can be said but that it lies
        at or before the anchor.
        """
        if self.key is None:
            return last
        query = "SELECT seq FROM entries WHERE signature IS NOT NULL AND seq <= ? ORDER BY seq"
        signed = [seq for (seq,) in source.select(query, last)]
        low, high = 0, len(signed)
        while low < high:
            middle = (low + high) // 2
            if self._is_signed(source, signed[middle]):
                low = middle + 1
            else:
                high = middle
        good, bad = signed[low - 1] if low else 0, signed[low] if low < len(signed) else last
        breaks = [p.seq for p in self.found.problems if p.kind in _BREAKS and good < p.seq <= bad]
        return min(breaks, default=min(good + 1, last))

    def _is_signed(self, source: Source, seq: int) -> bool:
        ((digest, time, signature),) = source.select("SELECT hash, time, signature FROM entries WHERE seq = ?", seq)
        if not isinstance(digest, bytes) or self.key is None or self.walk is None:
            return False
        return Anchor(self.walk.ledger_id, seq, digest.hex(), str(time), str(signature)).is_signed(self.key)

    def _check_stated(self, walk: Walk) -> None:
        """Heads noted elsewhere, and those of sealed months."""
        for kind, pairs in (("expected", (self.expected,) if self.expected else ()), ("sealed", self.more)):
            for seq, head in pairs:
                if walk.heads.get(seq, b"").hex() != head.lower():
                    self.found.add(min(seq, walk.seq + 1), kind, f"seq {seq}")

    def _damaged_indexes(self) -> list[str]:
        """On a connection and a thread of its own: it takes as long as the walk, outside the interpreter's lock."""
        if is_address_file(self.path):
            return []
        source = source_at(self.path)
        try:
            return source.damaged_indexes()
        finally:
            source.close()

    def _check_indexes(self, indexes: Future[list[str]]) -> None:
        """Only where nothing else is wrong: a damaged page or table shows in the indexes too, and less exactly."""
        if self.found:
            return
        error = indexes.exception()
        for line in [type(error).__name__] if error else indexes.result():
            self.found.add(1, "index", line)
