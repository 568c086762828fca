"""Stage collect: sources -> clean, judged parts -> no duplicates -> quotas -> one file a domain (plan 5.1)."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from so8t.build.data.domains import MOST_PASSES, train
from so8t.build.data.gathering import UnitFolder, Workers, gather, open_units
from so8t.build.data.parts import Counts, Recipe
from so8t.build.data.selection import Duplicates, Quotas, Rows, find_duplicates, of_every_row, select
from so8t.build.data.sources import STARTER, Source, Unit, find_sources, read_unit, units
from so8t.core.config import CollectConfig, Config, SourceConfig
from so8t.core.errors import SourceEmpty
from so8t.core.files import read_jsonl, write_bytes, write_json, write_jsonl, writing
from so8t.core.progress import Progress
from so8t.core.types import Domain, Sample, Split
from so8t.decide.domain import DOMAINS, DomainModel
from so8t.documents.document import Document

DOMAIN_MODEL = "domain_model.npz"
MARGIN = 1.15  # read so much more than is wanted: some are duplicates
SHOWN = 200  # rejected texts and skipped items that are listed


def collect(config: Config, folder: Path, work: Path, requests: list[Sample], progress: Progress) -> dict[str, Any]:
    """Write the stage's files; returns its facts. `requests` (training split) teach the domain model as well."""
    sources, cut, recipe, domain_facts = prepare(config.collect, requests, progress)
    write_bytes(folder / DOMAIN_MODEL, recipe.domain_model)
    settled = gather_and_settle(config.collect, sources, cut, recipe, folder, work, config.threads, progress)
    if not settled.texts:
        raise SourceEmpty(where=", ".join(s.spec for s in sources), detail=str(dict(sum(settled.dropped, Counter()))))
    facts = settled.facts(sources) | {"domain_model": domain_facts}
    write_json(folder / "collection_stats.json", facts)
    return facts


def gather_and_settle(
    config: CollectConfig, sources: Sequence[Source], cut: Sequence[Unit], recipe: Recipe, folder: Path, work: Path,
    processes: int, progress: Progress,
) -> Settled:  # fmt: skip
    """Read, judge, drop duplicates and fill the quotas; reads on when duplicates left a quota open."""
    opened = open_units(cut, recipe, work)
    workers = Workers(recipe, processes)
    margin = MARGIN
    try:
        while True:
            exhausted = _gather_all(config, sources, cut, opened, workers, margin, progress)
            settled = _settle(config, sources, cut, opened, folder, work, progress)
            if exhausted or not any(settled.unfilled.values()):
                return settled
            margin *= 1.5
    finally:
        workers.close()


def prepare(
    config: CollectConfig, requests: Sequence[Sample], progress: Progress
) -> tuple[list[Source], list[Unit], Recipe, dict[str, Any]]:
    """Sources with their files, the units they are cut into, and what parts are made by."""
    sources = find_sources(config.sources)
    model, facts = train_domain_model(requests, progress)
    return sources, units(sources), recipe_of(config, model), facts


def recipe_of(config: CollectConfig, model: DomainModel) -> Recipe:
    return Recipe(config.quality, config.minimum_quality, config.longest, config.validation_share, model.to_bytes())


def starter_documents() -> Iterator[Document]:
    """The paragraphs that ship with the package."""
    source = find_sources((SourceConfig(STARTER),))[0]
    items = itertools.chain.from_iterable(read_unit(unit, source) for unit in units([source]))
    return (item for item in items if isinstance(item, Document))


def train_domain_model(requests: Sequence[Sample], progress: Progress) -> tuple[DomainModel, dict[str, Any]]:
    """From the written paragraphs that ship with the package and the requests of the training split."""
    pairs = [(d.text, d.domain) for d in starter_documents() if d.domain is not None]
    pairs += [(s.text, s.domain) for s in requests if s.split == Split.TRAIN]
    pairs.sort(key=lambda p: hashlib.sha256(p[0].encode()).digest())
    with progress.task("domain model", MOST_PASSES, "pass") as task:
        return train(pairs, task.advance)


def _gather_all(
    config: CollectConfig, sources: Sequence[Source], cut: Sequence[Unit], opened: Sequence[UnitFolder],
    workers: Workers, margin: float, progress: Progress,
) -> bool:  # fmt: skip
    """Read every source to its share and some more; True when all are read to the end."""
    ends = []
    for number, source in enumerate(sources):
        mine = [i for i, unit in enumerate(cut) if unit.source == number]
        wanted = max(1, round(source.share * config.maximum_samples * margin))
        done = sum(sum(opened[i].state.rows) for i in mine)
        with progress.task(f"collect {source.name or source.spec}", wanted, "text", min(done, wanted)) as task:
            ends.append(gather([opened[i] for i in mine], [cut[i] for i in mine], source, workers, wanted, task))
    return all(ends)


class Settled:
    """What came of it, as facts for the manifest and the report."""

    def __init__(self, opened: Sequence[UnitFolder], cut: Sequence[Unit], sources: Sequence[Source]) -> None:
        self.texts = self.characters = 0
        self.domains: Counter[str] = Counter()
        self.licenses: Counter[str] = Counter()
        self.taken: Counter[int] = Counter()
        self.dropped: list[Counter[str]] = [Counter() for _ in sources]
        self.unfilled: dict[int, int] = {}
        self.domain_quota: dict[str, int] = {}
        self.duplicates = Duplicates()
        self.counts = [Counts() for _ in sources]
        self.skipped = [[s.place, s.reason, s.detail] for source in sources for s in source.skipped]
        for unit, folder in zip(cut, opened, strict=True):
            self.counts[unit.source].add(folder.state.counts)
            self.skipped += folder.state.skipped
        for number, source in enumerate(sources):
            self.dropped[number].update(self.counts[number].dropped)
            self.dropped[number].update(s.reason for s in source.skipped)

    def add(self, line: bytes, domain: int, source: int) -> None:
        sample = orjson.loads(line)
        self.texts += 1
        self.characters += len(sample["text"])
        self.licenses[sample["license"]] += 1
        self.domains[DOMAINS[domain]] += 1
        self.taken[source] += 1

    def facts(self, sources: Sequence[Source]) -> dict[str, Any]:
        total, same = Counts(), self.duplicates
        for counts in self.counts:
            total.add(counts)
        return {
            "texts": self.texts,
            "characters": self.characters,
            "domains": {d.value: self.domains[d] for d in Domain},
            "domain_quota": self.domain_quota,
            "licenses": dict(self.licenses),
            "dropped": dict(sum(self.dropped, Counter())),
            "sources": [
                {
                    "name": source.name or source.spec, "license": source.license or "by document",
                    "read": self.counts[n].documents, "kept": self.taken[n], "dropped": dict(self.dropped[n]),
                    "quota": self.taken[n] + self.unfilled.get(n, 0), "unfilled": self.unfilled.get(n, 0),
                    "characters": self.counts[n].characters, "boilerplate_lines": self.counts[n].boilerplate_lines,
                }
                for n, source in enumerate(sources)
            ],
            "quality": {
                "kept": dict(total.kept_quality), "dropped": dict(total.dropped_quality),
                "reasons": dict(total.reasons),
            },
            "lengths": dict(total.lengths),
            "duplicates": {
                "exact": same.exact, "near": same.near,
                "clusters": same.clusters, "compared": same.compared,
                "largest": same.largest,
            },
            "skipped": self.skipped[:SHOWN],
        }  # fmt: skip


def _settle(
    config: CollectConfig, sources: Sequence[Source], cut: Sequence[Unit], opened: Sequence[UnitFolder], folder: Path,
    work: Path, progress: Progress,
) -> Settled:  # fmt: skip
    """Drop duplicates, fill the quotas, write the files."""
    rows = Rows(opened)
    settled = Settled(opened, cut, sources)
    progress.say(f"      重複を調べます({len(rows):,} 件)", f"      looking for duplicates among {len(rows):,} texts")
    settled.duplicates = find_duplicates(opened, rows, config.near_duplicate, work, folder / "duplicates.jsonl")
    owners = np.repeat([unit.source for unit in cut], [sum(unit.state.rows) for unit in opened])
    quotas = Quotas.of(config, sources)
    domains = of_every_row(opened, "domain")
    chosen = select(domains, owners, settled.duplicates.fresh, quotas, settled.dropped)
    with ExitStack() as stack, progress.task("write", len(rows), "text") as task:
        files = [stack.enter_context(writing(folder / f"japanese_collected_{d}.jsonl")) for d in DOMAINS]
        for number, line in enumerate(rows.lines()):
            if chosen[number]:
                files[domains[number]].write(line)
                settled.add(line, int(domains[number]), int(owners[number]))
            task.advance()
    settled.unfilled = quotas.left
    if config.maximum_per_domain:
        settled.domain_quota = dict.fromkeys(map(str, Domain), sum(quotas.domain_limit.values()))
    rejected = (r for unit in opened for path in unit.parts() for _, r in read_jsonl(path.with_suffix(".rejected")))
    write_jsonl(folder / "rejected.jsonl", itertools.islice(rejected, SHOWN))
    return settled
