"""An office's files with an index over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from office_files import LEVELS, OfficeFiles

from so8t.core.serve_config import SearchConfig, SearchFolder
from so8t.operate.search.store import IndexStore


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., OfficeFiles]]:
    opened: list[IndexStore] = []

    def made(*folders: SearchFolder) -> OfficeFiles:
        root = tmp_path / "files"
        root.mkdir(exist_ok=True)
        for level in LEVELS:
            (root / level).mkdir(exist_ok=True)
        own = tuple(SearchFolder(str(root / level), level, level) for level in LEVELS)
        store = IndexStore(tmp_path / f"index-{len(opened)}.db", LEVELS, write=True)
        opened.append(store)
        return OfficeFiles(root, SearchConfig(folders=folders or own), store)

    yield made
    for store in opened:
        store.close()


@pytest.fixture
def office(make: Callable[..., OfficeFiles]) -> OfficeFiles:
    return make()
