"""A small office's files: folders of four levels, and an index over them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from so8t.core.packaged import policy_text
from so8t.core.progress import Progress
from so8t.core.serve_config import SearchConfig
from so8t.decide.policy import parse_policy
from so8t.operate.search.folders import folders_of
from so8t.operate.search.indexing import Report, update
from so8t.operate.search.searching import Result, search
from so8t.operate.search.store import IndexStore

POLICY = parse_policy(*policy_text("demo"))
LEVELS = POLICY.levels.names


def quiet() -> Progress:
    return Progress(stream=io.StringIO())


@dataclass
class OfficeFiles:
    """Files under `root`, one folder a level unless `config` says otherwise."""

    root: Path
    config: SearchConfig
    store: IndexStore

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def update(self, only: Sequence[Path] | None = None) -> Report:
        return update(self.store, folders_of(self.config, POLICY), POLICY, quiet(), only)

    def ask(self, query: str, clearance: str = LEVELS[-1], **more: object) -> Result:
        return search(self.store, query, clearance, **more)  # type: ignore[arg-type]

    def places(self, query: str, clearance: str = LEVELS[-1], **more: object) -> list[str]:
        return [hit.place for hit in self.ask(query, clearance, **more).hits]
