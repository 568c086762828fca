"""Images that no entry of the ledger needs: left by a process that was killed between a file and its entry, or between
an erasure and its files.

Only notes (intent.py) are looked at, and the ledger is asked about each. A note younger than SAFE_SECONDS may be of
another gateway over the same folder that is about to write its entry.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from so8t.core.errors import LedgerUnavailable, So8tError
from so8t.core.ledger_read import MAX_LIMIT, LedgerReader
from so8t.operate.intake.intent import Note
from so8t.operate.intake.kept import KEYS, Kept, sealed_names

SAFE_SECONDS = 3600.0  # far longer than from a file to its entry
PAUSE_SECONDS = 1800.0
MOST_NOTES = 1000  # a sweep; the rest is the next one's
logger = logging.getLogger("so8t.serve")


@dataclass(frozen=True, slots=True)
class Sweep:
    """`reader` has the text key: an entry whose keys are erased needs its files no longer."""

    kept: Kept
    reader: LedgerReader

    async def watch(self) -> None:
        """once() at the start of the server and from time to time, for ever."""
        while True:
            try:
                await asyncio.to_thread(self.once)
            except (So8tError, OSError) as error:  # a ledger that cannot be asked keeps every file
                logger.warning("images without an entry were not looked for: %s", type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)

    def once(self, seconds: float = SAFE_SECONDS) -> int:
        """How many files it removed. Raises what the reader raises, OSError; what is not settled then waits."""
        count = sum(self._settled(note) for note in self.kept.intents.older_than(seconds, MOST_NOTES))
        if count:
            logger.warning("images: removed %d files that no entry of the ledger needs", count)
        return count

    def _settled(self, note: Note) -> int:
        needed = self._needed(note.request_id)
        count = self.kept.discard([name for name in note.names if name not in needed])
        self.kept.intents.end(note.names)
        return count

    def _needed(self, request_id: str) -> set[str]:
        entries = self.reader.entries(request_id=request_id, kinds=("decision",), limit=MAX_LIMIT)
        if len(entries) == MAX_LIMIT:
            raise LedgerUnavailable(where="ledger", detail="too many entries of one request")
        naming = [entry for entry in entries if sealed_names(entry.data)]
        texts = self.reader.texts_of(naming, (KEYS,))
        return {name for entry in naming if KEYS in texts.get(entry.seq, {}) for name in sealed_names(entry.data)}
