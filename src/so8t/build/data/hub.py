"""Streaming from a public hub through the `datasets` package, where a configuration names it and a connection exists.

Unverified against the hub itself: tests read the same way from a local folder in the hub's layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from so8t.core.errors import PackageMissing, SourceMissing, SourceUnreadable
from so8t.documents.document import Document, Skipped

PREFIX = "hub:"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A data set by its hub name. `share` = its part of the texts in plan 3.1, 0 where the plan names none."""

    dataset: str
    subset: str
    license: str
    share: float = 0.0
    split: str = "train"
    field: str = "text"

    @property
    def name(self) -> str:
        return f"{self.dataset} {self.subset}".strip()


# The three sources of plan 3.1 under the names they have today: scripts are no longer run, parquet and JSON files are.
PRESETS = {
    "wikipedia-ja": HubSource("wikimedia/wikipedia", "20231101.ja", "CC-BY-SA-4.0", 0.4),
    "cc100-ja": HubSource("range3/cc100-ja", "", "Common Crawl terms of use", 0.3),
    "mc4-ja": HubSource("allenai/c4", "ja", "ODC-BY", 0.3),
}


def hub_source(spec: str) -> HubSource:
    """hub:wikipedia-ja | hub:cc100-ja | hub:mc4-ja | hub:OWNER/NAME[:SUBSET[:SPLIT[:FIELD]]]. Raises SourceMissing."""
    name = spec.removeprefix(PREFIX)
    if name in PRESETS:
        return PRESETS[name]
    dataset, subset, split, field = (*name.split(":"), "", "", "")[:4]
    if not dataset:
        raise SourceMissing(where=spec, detail=" | ".join(PRESETS))
    return HubSource(dataset, subset, "unknown", split=split or "train", field=field or "text")


def stream(source: HubSource, skip: int) -> Iterator[Document | Skipped]:
    """Rows from number `skip` on, nothing kept on disk. Raises PackageMissing, SourceUnreadable."""
    try:
        import datasets
    except ImportError:
        raise PackageMissing(detail='datasets: pip install "so8t[hub]"') from None
    try:
        rows: Any = datasets.load_dataset(source.dataset, source.subset or None, split=source.split, streaming=True)
        for number, row in enumerate(rows.skip(skip), skip):
            yield _document(source, number, row)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise SourceUnreadable(where=source.name, detail=f"{type(error).__name__}: {str(error)[:200]}") from error


def _document(source: HubSource, number: int, row: dict[str, Any]) -> Document | Skipped:
    text, place = row.get(source.field), f"{source.name}:{number}"
    if not isinstance(text, str):
        return Skipped(place, "no text", source.field)
    return Document(text, place, title=str(row.get("title") or ""), source=source.name, license=source.license)
