"""The newest intact checkpoint counts, whatever a power cut leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from so8t.build.data.journal import Journal


def test_the_newest_is_loaded_and_five_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.load() is None
    for n in range(8):
        journal.save({"n": n})
    assert journal.load() == {"n": 7} and Journal(tmp_path).load() == {"n": 7}
    assert [p.name for p in sorted(tmp_path.iterdir())] == [f"checkpoint-{n:06}.json" for n in range(4, 9)]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"state": {"n": 9}, "sha256": "0"}', b'{"state": 1}', b"[]", b"\xff"])
def test_a_torn_one_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    journal = Journal(tmp_path)
    journal.save({"n": 1})
    journal.save({"n": 2})
    (tmp_path / "checkpoint-000002.json").write_bytes(damage)
    assert Journal(tmp_path).load() == {"n": 1}
    journal.save({"n": 3})
    assert Journal(tmp_path).load() == {"n": 3}


def test_due_by_the_clock(tmp_path: Path) -> None:
    now = [0.0]
    journal = Journal(tmp_path, seconds=180, clock=lambda: now[0])
    now[0] = 179
    assert not journal.due()
    now[0] = 180
    assert journal.due()
    journal.save({})
    assert not journal.due()
