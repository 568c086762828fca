"""What a self-test is: named checks, each with its figures and their limits, each free to fail alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import Phi3Config, Phi3ForCausalLM

Status = Literal["passed", "failed", "skipped"]


class Skip(Exception):
    """This machine cannot be asked that. The reason is for a person, in English as the libraries say it."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure; it passes when it is not above its limit. No limit = it is only told."""

    name: str
    value: float
    limit: float | None = None

    @property
    def ok(self) -> bool:
        """False for NaN."""
        return self.limit is None or self.value <= self.limit

    def to_json(self) -> dict[str, Any]:
        finite = abs(self.value) < float("inf")  # NaN is no JSON
        return {"name": self.name, "value": self.value if finite else str(self.value), "limit": self.limit}


@dataclass(slots=True)
class Bench:
    """The device under test and a folder for what the checks write."""

    device: torch.device
    work: Path
    _base: Path | None = None

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def base(self) -> Path:
        """A random Phi-3 of two layers in bf16-exact numbers, written once. All widths are multiples of 64."""
        if self._base is None:
            self._base = self.work / "base"
            make_base().save_pretrained(self._base)
        return self._base


def make_base() -> Phi3ForCausalLM:
    """Phi-4-mini's shape in small: fused projections, grouped KV heads, tied embeddings."""
    config = Phi3Config(
        vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, original_max_position_embeddings=512,
        tie_word_embeddings=True, sliding_window=None, initializer_range=0.05,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75},
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        model: Any = Phi3ForCausalLM(config)
    made: Phi3ForCausalLM = model.bfloat16().float()
    return made


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to prove. `run` returns its figures, raises Skip, or fails by any other exception."""

    name: str
    ja: str
    en: str
    run: Callable[[Bench], list[Measure]]


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended, with its figures or the reason why there are none."""

    check: Check
    status: Status
    seconds: float
    measures: Sequence[Measure] = field(default_factory=tuple)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.check.name, "what": self.check.en, "status": self.status, "seconds": round(self.seconds, 2),
            "reason": self.reason, "measures": [m.to_json() for m in self.measures],
        }  # fmt: skip


def perform(checks: Sequence[Check], bench: Bench) -> Iterator[Result]:
    """One result after another; a check that breaks does not keep the others from being made."""
    for check in checks:
        begin = time.monotonic()
        try:
            measures = check.run(bench)
            status: Status = "passed" if all(m.ok for m in measures) else "failed"
            yield Result(check, status, time.monotonic() - begin, measures)
        except Skip as skip:
            yield Result(check, "skipped", time.monotonic() - begin, reason=str(skip))
        except Exception as error:  # what is under test may raise anything
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"
            yield Result(check, "failed", time.monotonic() - begin, reason=reason)
