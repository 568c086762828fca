"""Quotas are first come first served, per source and per domain from it; rows are read again without being kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.data import gathering
from so8t.build.data.gathering import Workers, gather, open_units
from so8t.build.data.parts import Recipe
from so8t.build.data.selection import Quotas, Rows, of_every_row, select
from so8t.build.data.sources import Source, find_sources, units
from so8t.core.config import CollectConfig, SourceConfig
from so8t.core.progress import Progress

from .conftest import different, write_records


@pytest.fixture
def rows(tmp_path: Path, recipe: Recipe, silent: Progress, monkeypatch: pytest.MonkeyPatch) -> Rows:
    monkeypatch.setattr(gathering, "PART_DOCUMENTS", 7)
    file = write_records(tmp_path / "a.jsonl", [{"text": t} for t in different(20)])
    sources = find_sources((SourceConfig(str(file)),))
    opened = open_units(units(sources), recipe, tmp_path / "w")
    with silent.task("t", 1, "text") as task:
        gather(opened, units(sources), sources[0], Workers(recipe, 1), 100, task)
    assert len(of_every_row(opened, "quality")) == 20
    return Rows(opened)


def test_rows_by_number_across_parts(rows: Rows) -> None:
    texts = different(20)
    assert len(rows) == 20 and rows.texts(list(range(20))) == texts
    assert rows.texts([0, 6, 7, 19]) == [texts[n] for n in (0, 6, 7, 19)] and rows.texts([]) == []
    assert sum(1 for _ in rows.lines()) == 20


Draws = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.booleans()), max_size=60)


@given(Draws, st.integers(1, 30), st.integers(0, 10), st.floats(0.1, 0.9))
def test_no_quota_is_overdrawn_and_none_is_left_open_in_vain(
    drawn: list[tuple[int, int, bool]], maximum: int, per_domain: int, share: float
) -> None:
    sources = [Source("a", "", "", share, 0, ()), Source("b", "", "", 1 - share, 0, ())]
    config = CollectConfig(maximum_samples=maximum, maximum_per_domain=per_domain)
    owners, domains, fresh = (np.array([d[k] for d in drawn], t) for k, t in ((0, np.int64), (1, np.uint8), (2, bool)))
    quotas, dropped = Quotas.of(config, sources), [Counter[str](), Counter[str]()]
    wanted, limit = dict(quotas.left), quotas.domain_limit
    chosen = select(domains, owners, fresh, quotas, dropped)
    assert not (chosen & ~fresh).any()
    taken = Counter(owners[chosen].tolist())
    pairs = Counter(zip(owners[chosen].tolist(), domains[chosen].tolist(), strict=True))
    for source in (0, 1):
        assert taken[source] <= wanted[source] and quotas.left[source] == wanted[source] - taken[source]
        for domain in range(4):
            there = int(((owners == source) & (domains == domain) & fresh).sum())
            assert pairs[source, domain] <= limit[source]
            if taken[source] < wanted[source]:
                assert pairs[source, domain] == min(there, limit[source])
    assert int(chosen.sum()) + sum(c.total() for c in dropped) == len(drawn)
