"""What has changed below some folders, as the system tells it (inotify, FSEvents, ReadDirectoryChangesW)."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

READING = ("opened", "closed_no_write")  # events that change nothing
MOST = 5000  # paths remembered; beyond, everything is looked through


class Changes(FileSystemEventHandler):
    """Collects paths in the system's thread; take() hands them over. Network disks tell nothing of what others do."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._lock = threading.Lock()
        self._paths: set[Path] = set()
        self._everything = False
        self._observer = Observer()
        for folder in folders:
            self._observer.schedule(self, str(folder), recursive=True)

    def start(self) -> None:
        """Raises OSError where the system has no more watches to give (inotify's limit)."""
        self._observer.start()

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join(5.0)

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in READING:
            return
        with self._lock:
            if event.is_directory and event.event_type != "modified":  # moved or removed with all in it
                self._everything = True
            paths = [os.fsdecode(p) for p in (event.src_path, event.dest_path) if p]
            self._paths.update(map(Path, () if event.is_directory else paths))
            self._everything |= len(self._paths) > MOST

    @property
    def waiting(self) -> bool:
        """Whether take() would tell anything."""
        with self._lock:
            return self._everything or bool(self._paths)

    def take(self) -> tuple[set[Path], bool]:
        """(changed paths since the last call, whether everything must be looked through)."""
        with self._lock:
            paths, everything = self._paths, self._everything
            self._paths, self._everything = set(), False
        return paths, everything
