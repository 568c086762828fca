"""An office's files with an index over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from office_files import LEVELS, OfficeFiles

from so8t.core.serve_config import SearchConfig, SearchFolder
from so8t.operate.search.store import IndexStore


@pytest.fixture
def office(tmp_path: Path) -> Iterator[OfficeFiles]:
    root = tmp_path / "files"
    for level in LEVELS:
        (root / level).mkdir(parents=True)
    folders = tuple(SearchFolder(str(root / level), level, level) for level in LEVELS)
    store = IndexStore(tmp_path / "index.db", LEVELS, write=True)
    yield OfficeFiles(root, SearchConfig(folders=folders), store)
    store.close()
