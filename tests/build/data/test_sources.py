"""Sources are found before anything is read, cut into units that depend on files alone, and named in what they give."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.data import sources as module
from so8t.build.data.sources import Source, Unit, find_sources, read_unit, units
from so8t.core.config import SourceConfig
from so8t.core.errors import SourceEmpty, SourceMissing
from so8t.documents.document import Document, Skipped

from .conftest import GOOD, write_records


def texts(source: Source, skip: int = 0) -> list[Document | Skipped]:
    return [item for unit in units([source]) for item in read_unit(unit, source, skip)]


def test_the_starter_ships_with_the_package() -> None:
    (source,) = find_sources((SourceConfig("starter"),))
    found = texts(source)
    assert len(found) >= 700 and all(isinstance(d, Document) and d.domain and d.license == "CC0-1.0" for d in found)


def test_name_and_licence_are_the_files_own_or_the_configured(tmp_path: Path) -> None:
    file = write_records(tmp_path / "a.jsonl", [{"text": GOOD, "license": "MIT", "source": "s"}, {"text": GOOD}])
    configured = find_sources((SourceConfig(str(file), name="社内規程", license="社外秘"),))[0]
    assert [(d.source, d.license) for d in texts(configured) if isinstance(d, Document)] == [
        ("s", "MIT"),
        ("社内規程", "社外秘"),
    ]
    bare = find_sources((SourceConfig(str(file)),))[0]
    assert [(d.source, d.license) for d in texts(bare) if isinstance(d, Document)][1] == ("a.jsonl", "unknown")
    assert len(texts(bare, skip=1)) == 1 and texts(bare, skip=5) == []


def test_nothing_there_is_said_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceMissing):
        find_sources((SourceConfig(str(tmp_path / "no")),))
    with pytest.raises(SourceEmpty):
        find_sources((SourceConfig(str(tmp_path / "empty")),))
    with pytest.raises(SourceEmpty):
        find_sources(())


def configured(*shares: float) -> list[float]:
    return [s.share for s in find_sources(tuple(SourceConfig("starter", share=share) for share in shares))]


def test_shares() -> None:
    assert configured(0, 0) == [0.5, 0.5]
    assert configured(0.4, 0.3, 0.3) == pytest.approx([0.4, 0.3, 0.3])
    assert configured(0.5, 0, 0) == pytest.approx([0.5, 0.25, 0.25])
    assert configured(2, 1, 1) == pytest.approx([0.5, 0.25, 0.25])


@given(st.lists(st.floats(0, 3), min_size=1, max_size=5))
def test_shares_make_one(shares: list[float]) -> None:
    found = module._shared_out([Source("s", "", "", share, 0, ()) for share in shares])
    assert sum(s.share for s in found) == pytest.approx(1) and all(
        s.share > 0 or g > 0 for s, g in zip(found, shares, strict=True)
    )


def test_every_file_is_in_one_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(7):
        (tmp_path / f"{n}.txt").write_text(GOOD * (n + 1), encoding="utf-8")
    (source,) = find_sources((SourceConfig(str(tmp_path)),))
    for size, files in ((1, 4096), (2000, 4096), (1 << 30, 2), (1 << 30, 4096)):
        monkeypatch.setattr(module, "UNIT_BYTES", size)
        monkeypatch.setattr(module, "UNIT_FILES", files)
        cut = units([source, source])
        assert [u.number for u in cut] == list(range(len(cut))) and {u.source for u in cut} == {0, 1}
        assert [p for u in cut for p in u.files] == [*source.files, *source.files]
        assert all(len(u.files) <= files for u in cut)


def test_a_source_with_a_limit_is_one_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNIT_BYTES", 1)
    for n in range(3):
        (tmp_path / f"{n}.txt").write_text(GOOD, encoding="utf-8")
    (source,) = find_sources((SourceConfig(str(tmp_path), maximum_documents=2),))
    assert len(units([source])) == 1


def test_a_unit_knows_when_its_files_change(tmp_path: Path) -> None:
    file = write_records(tmp_path / "a.jsonl", [{"text": GOOD}])
    unit = Unit(0, 0, (file,))
    before = unit.digest
    assert unit.digest == before
    os.utime(file, ns=(1, 1))
    assert unit.digest != before


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": 1}\n', encoding="utf-8")
    write_records(tmp_path / "b.jsonl", [{"text": GOOD}])
    (tmp_path / "c.exe").write_bytes(b"MZ")
    (source,) = find_sources((SourceConfig(str(tmp_path)),))
    found = texts(source)
    assert [type(item) for item in found] == [Skipped, Document]
    assert [s.reason for s in source.skipped] == ["unknown kind"]
