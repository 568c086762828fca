"""Stage collect: sources -> quality -> domain -> exact duplicates -> one JSON-lines file a domain (plan 5.1)."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from so8t.build.data.domains import train
from so8t.build.data.quality import quality
from so8t.build.data.sources import STARTER, Document, read_sources
from so8t.core.config import Config
from so8t.core.errors import SourceEmpty
from so8t.core.files import write_bytes, write_json, write_jsonl
from so8t.core.progress import Progress
from so8t.core.text import dedup_key
from so8t.core.types import Domain, Sample, Split
from so8t.decide.domain import DomainModel

DOMAIN_MODEL = "domain_model.npz"


def collect(config: Config, folder: Path, requests: list[Sample], progress: Progress) -> dict[str, Any]:
    """Write the stage's files; returns its facts. `requests` (training split) teach the domain model as well."""
    model, domain_facts = train_domain_model(requests)
    write_bytes(folder / DOMAIN_MODEL, model.to_bytes())
    samples, dropped = _samples(config, model, progress)
    if not samples:
        raise SourceEmpty(where=", ".join(config.collect.sources), detail=str(dict(dropped)))
    by_domain: dict[Domain, list[Sample]] = {d: [] for d in Domain}
    for sample in samples:
        by_domain[sample.domain].append(sample)
    for domain, members in by_domain.items():
        write_jsonl(folder / f"japanese_collected_{domain}.jsonl", (s.to_json() for s in members))
    facts = {
        "texts": len(samples),
        "characters": sum(len(s.text) for s in samples),
        "domains": {d.value: len(m) for d, m in by_domain.items()},
        "sources": dict(Counter(s.source for s in samples)),
        "licenses": dict(Counter(s.license for s in samples)),
        "dropped": dict(dropped),
        "domain_model": domain_facts,
    }
    write_json(folder / "collection_stats.json", facts)
    return facts


def train_domain_model(requests: list[Sample]) -> tuple[DomainModel, dict[str, Any]]:
    """From the written paragraphs that ship with the package and the requests of the training split."""
    pairs = [(d.text, d.domain) for d in read_sources((STARTER,)) if d.domain is not None]
    pairs += [(s.text, s.domain) for s in requests if s.split == Split.TRAIN]
    return train(sorted(pairs, key=lambda p: hashlib.sha256(p[0].encode()).digest()))


def _samples(config: Config, model: DomainModel, progress: Progress) -> tuple[list[Sample], Counter[str]]:
    documents = list(read_sources(config.collect.sources))
    seen: set[str] = set()
    dropped: Counter[str] = Counter()
    samples: list[Sample] = []
    with progress.task("collecting", len(documents), "text") as task:
        for document in documents:
            task.advance()
            key = hashlib.sha256(dedup_key(document.text).encode()).hexdigest()
            if key in seen:
                dropped["duplicate"] += 1
                continue
            seen.add(key)
            if quality(document.text, config.collect.quality).value < config.collect.minimum_quality:
                dropped["quality"] += 1
                continue
            samples.append(_sample(document, key, model, config.collect.validation_share))
    kept = _balanced(samples, config.collect.maximum_samples)
    if len(kept) < len(samples):
        dropped["maximum_samples"] = len(samples) - len(kept)
    return kept, dropped


def _sample(document: Document, key: str, model: DomainModel, validation_share: float) -> Sample:
    domain = document.domain or model.classify(document.text)[0]
    held = int(key[:8], 16) / 0x1_0000_0000 < validation_share
    return Sample(
        id=f"text-{key[:16]}", kind="text", text=document.text, source=document.source, license=document.license,
        domain=domain, split=Split.VALIDATION if held else Split.TRAIN, family=document.place,
    )  # fmt: skip


def _balanced(samples: list[Sample], maximum: int) -> list[Sample]:
    """At most `maximum` samples, the domains' turns in order, so that no domain crowds out another."""
    if len(samples) <= maximum:
        return samples
    queues = [[s for s in samples if s.domain == d] for d in Domain]
    turns = [s for i in range(max(map(len, queues))) for q in queues if i < len(q) for s in [q[i]]]
    return turns[:maximum]
