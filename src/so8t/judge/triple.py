"""Request -> Verdict: rule, model and precedent, each with its deadline. Prove and operate call exactly this."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from so8t.ask.backend import Backend
from so8t.core.errors import BackendError, BundleBroken
from so8t.core.files import read_json, read_jsonl
from so8t.core.types import Decision, Domain, Opinion, Request, Verdict
from so8t.decide.calibrate import Calibration
from so8t.decide.combine import combine
from so8t.decide.domain import DomainModel
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.prompt import ChatFormat
from so8t.decide.wording import WordingModel
from so8t.judge.conversation import whole_opinion
from so8t.judge.model import ModelJudge
from so8t.judge.narrowing import Narrowing
from so8t.judge.precedent import Case, PrecedentStore
from so8t.judge.rule import rule_opinion
from so8t.judge.ruling import ruling

POLICY, CALIBRATION, PRECEDENTS, DOMAIN_MODEL, WORDING_MODEL, PROMPT = (
    "policy.toml",
    "calibration.json",
    "precedents.jsonl",
    "domain_model.npz",
    "wording_model.npz",
    "prompt.json",
)


NOT_ASKED = "規則により確定(問わず)"


@dataclass(frozen=True, slots=True)
class TripleJudge:
    """Three judges under one policy. `model_seconds` is the model's deadline.

    `sparing`: the model is not asked about what a rule already refuses; no verdict changes by that, only the record of
    what the model would have said. `narrowing`: an agent whose floors are put under the verdict.
    """

    policy: Policy
    model: ModelJudge
    precedents: PrecedentStore
    domains: DomainModel
    calibration: Calibration
    payload_digest: str = ""
    model_seconds: float = 10.0
    sparing: bool = False
    narrowing: Narrowing | None = None

    async def judge(self, request: Request) -> Verdict:
        """Never raises for a broken or late judge: that is an opinion that failed, and the verdict escalates."""
        domain = self.domain(request)
        opinions = await self.opinions(request, domain)
        verdict = combine(
            request, opinions, self.policy, temperature=self.calibration.fusion_temperature,
            allow_below=self.calibration.allow.below,
            payload_digest=self.payload_digest, domain=domain,
        )  # fmt: skip
        return verdict if self.narrowing is None else self.narrowing.narrowed(verdict, request, self.policy)

    def answer_prompt(self, request: Request, domain: Domain | None) -> str:
        """What an allowed request is answered from, by the agent where there is one."""
        return self.model.answer_prompt(request, self.policy, domain, self.narrowing)

    async def opinions(self, request: Request, domain: Domain) -> list[Opinion]:
        """rule, model, precedent. An unknown level raises LevelUnknown: that is the asker's mistake, not a judge's."""
        self.policy.levels.rank(request.clearance)
        if request.classification is not None:
            self.policy.levels.rank(request.classification)
        rule = _guarded("rule", lambda: whole_opinion(rule_opinion(request, self.policy), request, self.policy))
        if self.sparing and rule.floor is Decision.DENY:
            return [rule, *(Opinion(judge, reason=NOT_ASKED) for judge in ("model", "precedent"))]
        precedent = _guarded("precedent", lambda: self._precedent(request))
        return [rule, await self._model(request, domain), precedent]

    def domain(self, request: Request) -> Domain:
        return request.domain or self.domains.classify(request.query)[0]

    def _precedent(self, request: Request) -> Opinion:
        settled = ruling(request, self.precedents, self.model.wording, self.policy)
        return settled or self.precedents.opinion(request)

    async def _model(self, request: Request, domain: Domain) -> Opinion:
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(self.model_seconds):
                return await self.model.opinion(request, self.policy, domain)
        except TimeoutError:
            reason = f"{self.model_seconds:g} 秒以内に答えなし"
        except BackendError as error:
            reason = error.ja
        except Exception as error:  # whatever it is, a human decides
            reason = f"障害 {type(error).__name__}"
        return Opinion("model", reason=reason, failed=True, ms=(time.perf_counter() - begin) * 1000)


def _guarded(judge: str, ask: Callable[[], Opinion]) -> Opinion:
    """A judge that breaks has failed; its text never reaches the asker."""
    begin = time.perf_counter()
    try:
        return ask()
    except Exception as error:  # whatever it is, a human decides
        ms = (time.perf_counter() - begin) * 1000
        return Opinion(judge, reason=f"障害 {type(error).__name__}", failed=True, ms=ms)


def read_calibration(payload: Path, quantisation: str) -> Calibration:
    """Raises BundleBroken when that quantisation was never calibrated."""
    calibrations = read_json(payload / CALIBRATION)
    if quantisation not in calibrations:
        raise BundleBroken(where=payload / CALIBRATION, detail=quantisation)
    return Calibration.from_json(calibrations[quantisation])


def load_triple(payload: Path, backend: Backend, calibration: Calibration, payload_digest: str = "") -> TripleJudge:
    """The judges as a bundle's payload describes them. Raises PolicyInvalid, RecordInvalid, BundleBroken."""
    prompt = read_json(payload / PROMPT)
    chat = ChatFormat.from_json(prompt)
    path = payload / PRECEDENTS
    cases = [Case.from_json(record, f"{path}:{number}") for number, record in read_jsonl(path)]
    wording = WordingModel.from_bytes((payload / WORDING_MODEL).read_bytes())
    return TripleJudge(
        policy=parse_policy((payload / POLICY).read_text(encoding="utf-8"), str(payload / POLICY)),
        model=ModelJudge(backend, chat, prompt["style"], 1.0, wording).calibrated(calibration),
        precedents=PrecedentStore(cases),
        domains=DomainModel.from_bytes((payload / DOMAIN_MODEL).read_bytes()),
        calibration=calibration,
        payload_digest=payload_digest,
    )
