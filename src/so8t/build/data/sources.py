"""Where plain text comes from: what the package ships, local files of many kinds, or a public hub (SPEC D1).

A source is cut into units, whole files that together are worth the while; units are what is shared out between
machines, and their order is the order of the result.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from so8t.build.data.hub import PREFIX, hub_source, stream
from so8t.core.config import SourceConfig
from so8t.core.errors import SourceEmpty, SourceMissing
from so8t.core.files import sha256_file
from so8t.core.packaged import packaged
from so8t.core.types import canonical_json
from so8t.documents.document import Document, Skipped
from so8t.documents.find import find
from so8t.documents.read import Limits, read

STARTER = "starter"
UNIT_BYTES = 256 << 20  # a unit is at least this large, if there is so much, or
UNIT_FILES = 4096  # so many files


@dataclass(frozen=True, slots=True)
class Source:
    """A configured source with its files; `share` is its part of all texts, and all shares make one."""

    spec: str
    name: str
    license: str
    share: float
    maximum_documents: int
    files: tuple[Path, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """Some files of a source; `number` counts through all sources."""

    number: int
    source: int
    files: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """Changes when a file is added, replaced or resized."""
        stats = [(str(p), s.st_size, s.st_mtime_ns) for p in self.files for s in (p.stat(),)]
        return hashlib.sha256(canonical_json(stats).encode()).hexdigest()


def find_sources(configured: Sequence[SourceConfig]) -> list[Source]:
    """Raises SourceEmpty for no source or one without files, SourceMissing for a path that is not there."""
    if not configured:
        raise SourceEmpty(where="collect.sources")
    return _shared_out([_find(source) for source in configured])


def _find(source: SourceConfig) -> Source:
    if source.path.startswith(PREFIX):
        hub = hub_source(source.path)
        return Source(
            source.path, source.name or hub.name, source.license or hub.license, source.share or hub.share,
            source.maximum_documents, (),
        )  # fmt: skip
    if source.path == STARTER:
        files, skipped = sorted(packaged("corpus").glob("*.jsonl")), list[Skipped]()
    else:
        try:
            files, skipped = find(source.path)
        except SourceMissing as error:
            raise SourceMissing(where=error.where, detail="collect.sources") from None
        if not files:
            raise SourceEmpty(where=source.path)
    return Source(
        source.path, source.name, source.license, source.share, source.maximum_documents, tuple(files), tuple(skipped)
    )


def _shared_out(sources: list[Source]) -> list[Source]:
    """Sources that name no share divide equally what the others leave; then all shares are scaled to one."""
    open_ = sum(not s.share for s in sources)
    left = max(0.0, 1.0 - sum(s.share for s in sources))
    equal = left / open_ if open_ and left else 1.0 / len(sources)
    shares = [s.share or equal for s in sources]
    return [dataclasses.replace(s, share=share / sum(shares)) for s, share in zip(sources, shares, strict=True)]


def units(sources: Sequence[Source]) -> list[Unit]:
    """Every file in exactly one unit; the cut depends on names and sizes alone."""
    made: list[Unit] = []
    for number, source in enumerate(sources):
        groups: list[list[Path]] = [[]]
        size = 0
        for path in source.files:
            full = size >= UNIT_BYTES or len(groups[-1]) >= UNIT_FILES
            if groups[-1] and full and not source.maximum_documents:  # a limit can be kept within one unit only
                groups.append([])
                size = 0
            groups[-1].append(path)
            size += path.stat().st_size
        made += [Unit(len(made) + i, number, tuple(group)) for i, group in enumerate(groups)]
    return made


def sources_digest(sources: Sequence[Source]) -> str:
    """Of what a finished stage was made from: changes when a file is added, replaced or resized.

    The package's own files count by their content: another installation gives them other times.
    """
    own = [sha256_file(path) for source in sources if source.spec == STARTER for path in source.files]
    return hashlib.sha256(
        canonical_json([own, [unit.digest for unit in units([s for s in sources if s.spec != STARTER])]]).encode()
    ).hexdigest()


def read_unit(unit: Unit, source: Source, skip: int = 0) -> Iterator[Document | Skipped]:
    """What is in a unit from its item number `skip` on, with name and licence filled in."""
    if source.spec.startswith(PREFIX):
        items: Iterator[Document | Skipped] = stream(hub_source(source.spec), skip)
        skip = 0
    else:
        items = (item for path in unit.files for item in read(path, Limits()))
    for item in items:
        if skip:
            skip -= 1
        elif isinstance(item, Document):
            origin = item.source or source.name or item.place.partition(":")[0]
            license_ = item.license or source.license or "unknown"
            yield Document(item.text, item.place, item.title, origin, license_, item.domain)
        else:
            yield item
