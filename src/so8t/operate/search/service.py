"""Document search in a running office: kept up to date beside the requests, every search in the ledger."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t.core.errors import LedgerUnavailable, PackageMissing, RecordInvalid
from so8t.core.ledger_lock import lock
from so8t.core.progress import Progress
from so8t.core.serve_config import SearchConfig
from so8t.decide.policy import Policy
from so8t.documents.ocr_process import OcrProcess, ocr_missing
from so8t.operate.gateway import Gateway
from so8t.operate.identity.identity import Identity
from so8t.operate.search import vectors
from so8t.operate.search.changes import Changes
from so8t.operate.search.folders import Folder, folders_of, reads_images
from so8t.operate.search.indexing import Report, read_waiting, update
from so8t.operate.search.pointing import Pointing
from so8t.operate.search.searching import Result, search
from so8t.operate.search.store import IndexStore
from so8t.report.data_words import reason_words

QUIET_SECONDS = 0.5  # between two looks at what has changed: programs save a file in several steps
ENDING_SECONDS = 10.0  # for the thread whose reader was ended
BUSY_SECONDS = 30.0  # until the lock is tried again while another gateway keeps the index
logger = logging.getLogger("so8t.serve")


@dataclass(slots=True)
class DocumentSearch:
    """Give watch() to the background. Of several gateways over one index one keeps it up to date, all search it."""

    gateway: Gateway
    config: SearchConfig
    last: Report | None = None
    last_ocr: Report | None = None
    problem: str = ""
    pointing: Pointing = field(init=False)
    _reader: IndexStore | None = field(default=None, repr=False)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def __post_init__(self) -> None:
        self.pointing = Pointing(self.gateway.answering.upstream)

    @property
    def policy(self) -> Policy:
        return self.gateway.judge.policy

    @property
    def path(self) -> Path:
        return Path(self.config.index)

    async def ask(self, identity: Identity, query: str, folders: Sequence[str] | None, most: int) -> Result:
        """What the asker's clearance allows; that he saw it is durable before he does.

        Raises RecordInvalid, LevelUnknown, IndexBroken, LedgerUnavailable.
        """
        known = {folder.name for folder in folders_of(self.config, self.policy)}
        if folders is not None and not set(folders) <= known:
            raise RecordInvalid(where="folders", detail=f"unknown ({', '.join(sorted(known))})")
        async with self._asking:
            found = await asyncio.to_thread(self._search, query, identity.clearance, folders, most)
        if self.config.vectors and (found.loosely or not found.hits) and (vector := await self.pointing.vector(query)):
            async with self._asking:
                found = await asyncio.to_thread(self._search, query, identity.clearance, folders, most, vector)
        body = {
            "event": "searched", "actor": identity.name, "clearance": identity.clearance, "total": found.total,
            "documents": [{"id": hit.id, "classification": hit.level} for hit in found.hits],
        }  # fmt: skip
        await self.gateway.record("access", body, {"query": query})
        return found

    def _search(
        self, query: str, clearance: str, folders: Sequence[str] | None, most: int,
        vector: Sequence[float] | None = None,
    ) -> Result:  # fmt: skip
        if self._reader is None or self._reader.levels != self.policy.levels.names:
            self.close()
            self._reader = IndexStore(self.path, self.policy.levels.names)
            if self.config.vectors:
                vectors.loaded(self._reader)
        return search(self._reader, query, clearance, folders, most, self.policy.reading, vector)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def state(self) -> dict[str, Any]:
        """For administrators: how far the index is, and what could not be read."""
        async with self._asking:
            told = await asyncio.to_thread(self._state)
        return told | {
            "problem": self.problem,
            "last": self.last.to_json() if self.last else None,
            "ocr": {"on": reads_images(self.config), "missing": ocr_missing() if self.config.ocr else "",
                    "last": self.last_ocr.to_json() if self.last_ocr else None},
            "vectors": self.pointing.to_json(self.config.vectors),
        }  # fmt: skip

    def _state(self) -> dict[str, Any]:
        store = IndexStore(self.path, self.policy.levels.names)
        try:
            return store.state()
        finally:
            store.close()

    async def watch(self) -> None:
        """Keep the index up to date for ever."""
        handle = await self._lock()
        try:
            while True:
                await self._keep(self.policy)
        finally:
            os.close(handle)

    async def _lock(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                return lock(self.path.with_name(self.path.name + ".lock"))
            except LedgerUnavailable:
                self.problem = "another gateway keeps the index / 別の gateway が更新しています"
                await asyncio.sleep(BUSY_SECONDS)

    async def _keep(self, policy: Policy) -> None:
        """Until the policy changes, whose levels and markings the index is made of."""
        folders = folders_of(self.config, policy)
        store = await asyncio.to_thread(IndexStore, self.path, policy.levels.names, write=True)
        changes = Changes([folder.path for folder in folders])
        try:
            self.problem = ""
            self.pointing.begin()
            try:
                await asyncio.to_thread(changes.start)
            except OSError as error:  # the rescan still sees everything
                self.problem = f"no notices of changes ({error.strerror})"
            await self._follow(store, folders, policy, changes)
        finally:
            await asyncio.to_thread(changes.stop)
            store.close()

    async def _follow(self, store: IndexStore, folders: Sequence[Folder], policy: Policy, changes: Changes) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while policy.digest == self.policy.digest:
            paths, everything = changes.take()
            if everything or clock() >= due:
                self.last = await self._update(store, folders, policy, None)
                due = clock() + self.config.rescan_minutes * 60
            elif paths:
                await self._update(store, folders, policy, paths)
            if reads_images(self.config):
                await self._read_waiting(store, folders, policy, changes)
            if self.config.vectors:
                await self.pointing.point(store, lambda: not changes.waiting and policy.digest == self.policy.digest)
            await asyncio.sleep(QUIET_SECONDS)

    async def _read_waiting(
        self, store: IndexStore, folders: Sequence[Folder], policy: Policy, changes: Changes
    ) -> None:
        """What only OCR can read, until something else has changed: that goes first."""
        if not await asyncio.to_thread(store.waiting):
            return
        stop, ocr = threading.Event(), OcrProcess(low=True)

        def go_on() -> bool:
            return not (stop.is_set() or changes.waiting or policy.digest != self.policy.digest)

        quiet = Progress(stream=io.StringIO())
        reading = asyncio.ensure_future(
            asyncio.to_thread(read_waiting, store, folders, policy, quiet, ocr, go_on, stop.is_set)
        )
        try:
            self.last_ocr = await asyncio.shield(reading)
        except PackageMissing as error:
            self.problem = error.detail
            await asyncio.sleep(BUSY_SECONDS)
        finally:
            stop.set()
            ocr.close()
            await asyncio.wait({reading}, timeout=ENDING_SECONDS)
            ocr.close()  # one that it had just started
        _tell_unread(self.last_ocr)

    async def _update(
        self, store: IndexStore, folders: Sequence[Folder], policy: Policy, only: set[Path] | None
    ) -> Report:
        report = await asyncio.to_thread(update, store, folders, policy, Progress(stream=io.StringIO()), only)
        _tell_unread(report)
        return report


def _tell_unread(report: Report | None) -> None:
    """In both languages: the log has no reader of its own."""
    for path, reason in report.unread.items() if report else ():
        logger.warning("文書検索で読めません / document search, unreadable: %s: %s", path, reason_words(reason).plain())


def search_of(gateway: Gateway, config: SearchConfig) -> DocumentSearch | None:
    """None where no folder is named. Raises ConfigValueInvalid for a wrong one."""
    if not config.folders:
        return None
    folders_of(config, gateway.judge.policy)
    return DocumentSearch(gateway, config)
