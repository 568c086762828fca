"""Streaming through the real `datasets` package, from a folder in the hub's layout: the same code, no connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from so8t.build.data import hub
from so8t.build.data.hub import HubSource, hub_source, stream
from so8t.build.data.sources import find_sources, read_unit, units
from so8t.core.config import SourceConfig
from so8t.core.errors import SourceMissing, SourceUnreadable
from so8t.documents.document import Document, Skipped

from .conftest import different, write_records

datasets = pytest.importorskip("datasets", reason="the extra so8t[hub]")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """train.jsonl in a folder of its own, and nothing of datasets outside it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = tmp_path / "set"
    place.mkdir()
    rows = [{"text": text, "title": f"題{n}"} for n, text in enumerate(different(12))]
    write_records(place / "train.jsonl", [*rows, {"text": None, "title": "空"}])
    return place


def test_rows_become_documents_with_their_number(folder: Path) -> None:
    source = HubSource(str(folder), "", "CC0-1.0")
    found = list(stream(source, 0))
    assert [d.text for d in found if isinstance(d, Document)] == different(12)
    assert found[3] == Document(different(4)[3], f"{folder}:3", "題3", str(folder), "CC0-1.0")
    assert found[12] == Skipped(f"{folder}:12", "no text", "text")


def test_it_goes_on_where_it_stopped(folder: Path) -> None:
    source = HubSource(str(folder), "", "CC0-1.0")
    assert list(stream(source, 5)) == list(stream(source, 0))[5:]


def test_as_a_source_of_the_configuration(folder: Path) -> None:
    (source,) = find_sources((SourceConfig(f"hub:{folder}", license="自社"),))
    (unit,) = units([source])
    found = [d for d in read_unit(unit, source, 2) if isinstance(d, Document)]
    assert len(found) == 10 and source.license == "自社" and source.share == 1.0


def test_what_the_hub_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceUnreadable):
        list(stream(HubSource(str(tmp_path / "empty"), "", ""), 0))


def test_names() -> None:
    assert hub_source("hub:wikipedia-ja").share == 0.4
    assert [p.share for p in hub.PRESETS.values()] == [0.4, 0.3, 0.3]  # plan 3.1
    found = hub_source("hub:own/name:ja:validation:body")
    assert (found.dataset, found.subset, found.split, found.field) == ("own/name", "ja", "validation", "body")
    with pytest.raises(SourceMissing):
        hub_source("hub:")


def test_the_plans_mix() -> None:
    mixed = find_sources(tuple(SourceConfig(f"hub:{name}") for name in hub.PRESETS))
    assert [s.share for s in mixed] == pytest.approx([0.4, 0.3, 0.3])
