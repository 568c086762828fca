"""What the self-test of a card reports, and the small model its checks share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from so8t.build.selftest.bench import Bench, make_base
from so8t.build.selftest.gpu import CHECKS, GpuCheck, pick_device, selftest
from so8t.core.errors import EnvironmentUnfit
from so8t.core.selftest import Check, Measure

CPU = torch.device("cpu")


def check(run: Callable[[Bench], list[Measure]], name: str = "x") -> GpuCheck:
    return Check(name, "検査", "a check", run)


def test_the_report_says_what_it_proves() -> None:
    told: list[str] = []
    checks = [check(lambda bench: [Measure("a", 2.0, 1.0)], "one"), check(lambda bench: [], "other")]
    report = selftest(CPU, lambda result: told.append(result.name), checks)
    assert told == ["one", "other"] and (report["passed"], report["failed"]) == (1, 1)
    assert report["proves_a_card"] is False
    assert report["machine"]["packages"]["torch"] == torch.__version__


def test_what_the_checks_write_is_removed() -> None:
    places: list[Path] = []

    def write(bench: Bench) -> list[Measure]:
        places.append(bench.work)
        (bench.work / "file").write_bytes(b"x")
        return []

    selftest(CPU, lambda r: None, [check(write)])
    assert not places[0].exists()


def test_a_card_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("cpu") == CPU
    with pytest.raises(EnvironmentUnfit, match="CUDA"):
        pick_device("cuda")


def test_names_are_unique_and_said_in_two_languages() -> None:
    assert len({c.name for c in CHECKS}) == len(CHECKS)
    assert all(c.ja and c.en and c.ja != c.en for c in CHECKS)


def test_the_base_is_the_same_everywhere_and_exact_in_bf16() -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    one, other = make_base().state_dict(), make_base().state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[n], other[n]) and torch.equal(one[n], one[n].bfloat16().float()) for n in one)
