"""Judged requests composed from the lexicon: minimal triples in every register and disguise (plan 3.2, SPEC D6).

A group is one scene: the same thing, asker, frame and disguise, asked in three ways of which one is ALLOW, one
ESCALATE and one DENY. Nothing but the act (or, in a level scene, the two levels) tells them apart. Where seeds are
given, a third of the groups put requests written by hand anew instead.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from so8t.build.data.lexicon import Lexicon, load_lexicon
from so8t.build.data.synth_answer import target_of, write_answer
from so8t.build.data.synth_report import SOURCE
from so8t.build.data.synth_scene import Scene, draw_scene
from so8t.build.data.synth_text import write_text
from so8t.build.data.synth_written import SHARE as SEED_SHARE
from so8t.build.data.synth_written import SeedBook, draw_seeds, revoice, seed_books
from so8t.core.config import SynthConfig
from so8t.core.types import DECISIONS, Decision, Domain, Levels, Sample, Split

LICENSE = "CC0-1.0"
SHARE = 0.33  # of ALLOW and of DENY; ESCALATE takes the rest (plan 3.2)
VALIDATION_SHARE = 0.1
SHARD = 400  # groups that one process makes before it hands them over

Job = tuple[Domain, int, int]


def generate(
    config: SynthConfig,
    contracts: Mapping[Domain, Mapping[str, Any]],
    policy_state: Mapping[str, Any],
    count_per_domain: int,
    seeds: Sequence[Sample] = (),
    processes: int = 1,
) -> Iterator[Sample]:
    """Domain by domain, `count_per_domain` samples each; a sample depends on the seed, the seeds and its own id alone,
    so the output is the same for any number of processes."""
    groups = _groups(count_per_domain)
    jobs = [(d, start, min(start + SHARD, groups)) for d in Domain for start in range(0, groups, SHARD)]
    task = (config, contracts, policy_state, count_per_domain, tuple(seeds))
    if processes < 2 or len(jobs) < 2:
        for domain, start, stop in jobs:
            yield from generate_range(config, contracts, policy_state, count_per_domain, domain, start, stop, seeds)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, _begin, task) as pool:  # a worker that dies is an error, not a wait
        for shard in pool.map(_shard, jobs):
            yield from shard


def generate_range(
    config: SynthConfig,
    contracts: Mapping[Domain, Mapping[str, Any]],
    policy_state: Mapping[str, Any],
    count_per_domain: int,
    domain: Domain,
    start: int,
    stop: int,
    seeds: Sequence[Sample] = (),
) -> Iterator[Sample]:
    """The groups `start` .. `stop` - 1 of one domain: what `generate` yields for them, made anywhere."""
    lexicon, book = load_lexicon(), _book(tuple(seeds), domain)
    levels = Levels(tuple(policy_state.get("classification_levels", Levels().names)))
    contract = contracts[domain]
    for group in range(start, min(stop, _groups(count_per_domain))):
        key, name = f"{config.seed}/{domain}/{group}", f"synth-{domain}-{group:06d}"
        decisions = DECISIONS if group < _outer(count_per_domain) else (Decision.ESCALATE,)
        if book and random.Random(f"{key}/source").random() < SEED_SHARE:
            yield from _rewritten(lexicon, levels, book, decisions, name, key)
            continue
        scene = draw_scene(lexicon, levels, domain, key)
        for decision in decisions:
            yield _sample(lexicon, scene, decision, name, contract, policy_state)


def split_of(family: str) -> Split:
    """About a tenth of the families is held out for validation; calibration and test are written by hand only."""
    share = int.from_bytes(hashlib.sha256(f"split/{family}".encode()).digest()[:4]) / 2**32
    return Split.VALIDATION if share < VALIDATION_SHARE else Split.TRAIN


def _outer(count: int) -> int:
    return round(count * SHARE)


def _groups(count: int) -> int:
    """Whole triples first, then single ESCALATEs up to the count."""
    return count - 2 * _outer(count)


def _sample(
    lexicon: Lexicon,
    scene: Scene,
    decision: Decision,
    group: str,
    contract: Mapping[str, Any],
    policy_state: Mapping[str, Any],
) -> Sample:
    clearance, classification = scene.levels[decision]
    return Sample(
        id=f"{group}-{decision.lower()}",
        kind="request",
        text=write_text(lexicon, scene, decision),
        source=SOURCE,
        license=LICENSE,
        domain=scene.domain,
        split=split_of(scene.triple.id),
        family=scene.triple.id,
        pair=group,
        decision=decision,
        response=write_answer(lexicon, scene, decision),
        clearance=clearance,
        classification=classification,
        register=scene.register,
        attack=scene.attack,
        identity_contract=contract,
        policy_state=policy_state,
        policy_ref=lexicon.domains[scene.domain].policy_ref[decision],
        escalation_target=target_of(scene, decision) if decision is Decision.ESCALATE else None,
    )


def _rewritten(
    lexicon: Lexicon, levels: Levels, book: SeedBook, decisions: Sequence[Decision], group: str, key: str
) -> Iterator[Sample]:
    drawn = draw_seeds(book, random.Random(f"{key}/seeds"))
    for decision in decisions:
        rng = random.Random(f"{key}/{decision}/written")
        yield revoice(lexicon, levels, drawn[decision], f"{group}-{decision.lower()}", rng)


_task: tuple[Any, ...] = ()


def _book(seeds: tuple[Sample, ...], domain: Domain) -> SeedBook | None:
    return seed_books(s for s in seeds if s.domain is domain).get(domain) if seeds else None


def _begin(*task: Any) -> None:
    """Once a process: what every shard needs is sent over once."""
    global _task
    _task = task


def _shard(job: Job) -> list[Sample]:
    config, contracts, policy_state, count, seeds = _task
    domain, start, stop = job
    return list(generate_range(config, contracts, policy_state, count, domain, start, stop, seeds))
