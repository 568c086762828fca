"""A check that is off fails, whatever way it is off, and does not take the others with it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from so8t.build.selftest.check import Bench, Check, Measure, Skip, make_base, perform
from so8t.build.selftest.gpu import CHECKS, pick_device, selftest
from so8t.core.errors import EnvironmentUnfit

CPU = torch.device("cpu")


def check(run: Callable[[Bench], list[Measure]], name: str = "x") -> Check:
    return Check(name, "検査", "a check", run)


def breaks(bench: Bench) -> list[Measure]:
    raise RuntimeError(
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported late"
    )


def skips(bench: Bench) -> list[Measure]:
    raise Skip("no card")


def test_statuses(tmp_path: Path) -> None:
    def measures(*values: Measure) -> Check:
        return check(lambda bench: list(values))

    checks = [
        measures(Measure("a", 0.5, 0.5), Measure("b", 9.0)),
        measures(Measure("a", 0.5, 0.4), Measure("b", 0.0, 1.0)),
        measures(Measure("a", math.nan, 1.0)),
        measures(Measure("a", math.inf, 1e30)),
        check(breaks),
        check(skips),
        measures(),
    ]
    found = list(perform(checks, Bench(CPU, tmp_path)))
    assert [r.status for r in found] == ["passed", "failed", "failed", "failed", "failed", "skipped", "passed"]
    assert found[4].reason == "RuntimeError: CUDA error: an illegal memory access was encountered"
    assert found[5].reason == "no card"
    assert all(r.seconds >= 0 for r in found)


def test_the_report_is_json_and_counts(tmp_path: Path) -> None:
    told: list[str] = []
    checks = [check(lambda b: [Measure("a", math.nan, 1.0)], "nan"), check(breaks, "breaks"), check(skips, "skips")]
    report = selftest(CPU, lambda r: told.append(r.check.name), checks)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert told == ["nan", "breaks", "skips"]
    assert (report["passed"], report["failed"], report["skipped"]) == (0, 2, 1)
    assert report["proves_a_card"] is False
    assert report["machine"]["packages"]["torch"] == torch.__version__
    assert report["checks"][0]["measures"] == [{"name": "a", "value": "nan", "limit": 1.0}]


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
