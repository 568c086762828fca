"""Measure every quantisation of one payload through the judges that serve: stage prove and `so8t prove` call this."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from so8t.ask.backend import Backend
from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.core.config import ProveConfig
from so8t.core.errors import ConfigValueInvalid, PackageMissing
from so8t.core.progress import Progress
from so8t.core.types import DECISIONS, Sample, Split
from so8t.decide.calibrate import Calibration
from so8t.judge.triple import TripleJudge, load_triple
from so8t.prove import speed
from so8t.prove.card_sections import Maker
from so8t.prove.likelihood import Likelihood, likelihood
from so8t.prove.perplexity import change, perplexity, tokens_of
from so8t.prove.quantisation import compare, reference_of
from so8t.prove.remember import Remembering, RememberingPrecedents
from so8t.prove.suite import CONCURRENCY, Advance, Outcome, calibrate, evaluate, result

SLOTS = 2
NOWHERE = "http://127.0.0.1:1"  # in the place of a model until one runs


@dataclass(frozen=True, slots=True)
class Job:
    """What to measure. `calibrations` None = fit them on split calibration; given = those that already serve."""

    payload: Path
    quantisations: tuple[str, ...]
    context: int
    splits: Mapping[Split, Sequence[Sample]]
    texts: Sequence[str]
    settings: ProveConfig
    calibrations: Mapping[str, Calibration] | None = None
    deployed: str = ""
    sections: Mapping[str, Maker] = field(default_factory=dict)  # made with the deployed file

    def model(self, name: str) -> Path:
        return self.payload / "gguf" / f"model-{name}.gguf"


@dataclass(slots=True)
class Measured:
    """By quantisation: RESULTs of the card, temperatures, figures of the file; and all of them compared."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    quantisation: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)


def check_mix(settings: ProveConfig) -> None:
    """Raises ConfigValueInvalid unless prove.mix is empty or three shares, one for each decision."""
    mix = settings.mix
    if mix and (len(mix) != len(DECISIONS) or sum(mix) <= 0):
        raise ConfigValueInvalid(detail=f"prove.mix = {list(mix)} (3 x 0 ≤ x, ALLOW ESCALATE DENY)")


def measure(job: Job, progress: Progress) -> Measured:
    """Raises BackendDown, BackendProtocol, PolicyInvalid, BundleBroken, ConfigValueInvalid."""
    check_mix(job.settings)
    bench = _Bench(job, load_triple(job.payload, LlamaCpp(NOWHERE), Calibration()))  # read once for all of them
    fitted = 0 if job.calibrations is not None else 2 * len(job.splits.get(Split.CALIBRATION, ()))
    total = len(job.quantisations) * (fitted + len(job.splits[Split.TEST]))
    with progress.task("proving", total, "request") as task:
        for name in job.quantisations:
            with serve(job.model(name), job.context, slots=SLOTS, threads=job.settings.threads) as address:
                asyncio.run(bench.one(name, LlamaCpp(address), task.advance))
    bench.found.quantisation = compare(bench.outcomes, job.settings.bootstrap)
    _perplexity(job, bench.tokens, bench.found, progress)
    return bench.found


class _Bench:
    """The judges of one payload, put before one running quantisation after the other."""

    def __init__(self, job: Job, judge: TripleJudge) -> None:
        self.job, self.judge = job, judge
        self.precedents = RememberingPrecedents(judge.precedents)
        self.found = Measured()
        self.outcomes: dict[str, list[Outcome]] = {}
        self.tokens: list[list[int]] = []

    async def one(self, name: str, server: Backend, advance: Advance) -> None:
        """Verdicts on every split, the file's speed, and at the first time the held-out texts as tokens."""
        job = self.job
        try:
            backend = Remembering(server)
            calibration = await self._calibration(name, backend, advance)
            splits = {s.value: await self._split(name, s, backend, calibration, advance) for s in job.splits}
            texts = job.texts or [s.text for s in job.splits[Split.TEST]]
            self.found.files[name] |= {
                "tokens_per_second": _rounded(await speed.written_per_second(server)),
                "prompt_tokens_per_second": _rounded(await speed.read_per_second(server, texts)),
            }
            if name == job.deployed:
                judge = with_model(self.judge, backend, calibration)
                for key, make in job.sections.items():
                    self.found.sections[key] = await make(judge, self.outcomes[name])
            if not self.tokens:
                self.tokens = await tokens_of(server, job.texts, job.settings.perplexity_tokens, job.context)
        finally:
            await server.close()
        self.found.results[name] = {"splits": splits, **calibration.to_json()}
        self.found.calibrations[name] = calibration

    async def _calibration(self, name: str, backend: Backend, advance: Advance) -> Calibration:
        """The temperatures it serves with, or those fitted now on split calibration."""
        if self.job.calibrations is not None:
            return self.job.calibrations[name]
        bare = replace(with_model(self.judge, backend, Calibration()), precedents=self.precedents)
        return await calibrate(bare, self.job.splits.get(Split.CALIBRATION, ()), advance)

    async def _split(
        self, name: str, split: Split, backend: Backend, calibration: Calibration, advance: Advance
    ) -> dict[str, Any]:
        """One RESULT. The test split is timed: the model sees these requests for the first time."""
        judge, settings = with_model(self.judge, backend, calibration), self.job.settings
        if split != Split.TEST:
            judge = replace(judge, precedents=self.precedents)
        begin = time.perf_counter()
        outcomes = await evaluate(judge, self.job.splits[split], advance)
        if split == Split.TEST:
            wall = time.perf_counter() - begin
            verdicts = speed.verdict_speed([o.seconds for o in outcomes], wall, CONCURRENCY)
            self.found.files[name] = {"verdicts": verdicts}
            self.outcomes[name] = outcomes
        return result(
            outcomes, calibration, settings.bootstrap, per_day=settings.requests_per_day, mix=settings.mix
        )  # fmt: skip


def with_model(judge: TripleJudge, backend: Backend, calibration: Calibration) -> TripleJudge:
    """The same judges with another model behind them."""
    model = replace(judge.model, backend=backend).calibrated(calibration)
    return replace(judge, model=model, calibration=calibration)


def _perplexity(job: Job, tokens: Sequence[Sequence[int]], found: Measured, progress: Progress) -> None:
    """Adds perplexity to the files; says so where llama.cpp's library for it is missing, as on Linux for ARM."""
    if not tokens:
        return
    measured: dict[str, Likelihood] = {}
    try:
        with progress.task("perplexity", len(job.quantisations), "model") as task:
            for name in job.quantisations:
                measured[name] = likelihood(job.model(name), tokens, job.context, job.settings.threads)
                task.advance()
    except PackageMissing as missing:
        found.quantisation["perplexity_missing"] = missing.detail
        progress.say(
            f"      困惑度は測れません({missing.detail} がありません)",
            f"      perplexity not measured (no {missing.detail})",
        )
        return
    base = measured[reference_of(job.quantisations)]
    found.quantisation |= {"texts": len(tokens), "tokens": sum(base.tokens)}
    for name, one in measured.items():
        found.files[name]["perplexity"] = _rounded(perplexity(one), 3)
        if one is not base:
            found.files[name]["perplexity_change"] = change(one, base, job.settings.bootstrap)


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
