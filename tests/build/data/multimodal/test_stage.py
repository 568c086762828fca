"""Pages are made once whatever happens, the samples say what the image says, and errors are counted right."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from so8t.build.data.multimodal import stage as module
from so8t.build.data.multimodal.pages import DOMAINS, Page, group
from so8t.build.data.multimodal.render import render
from so8t.build.data.multimodal.stage import character_error_rate, make_pages, make_shard, multimodal
from so8t.build.data.sample_lines import load_samples
from so8t.core.progress import Progress
from so8t.core.types import DECISIONS, Decision, Domain, Levels
from so8t.documents.ocr import Reading

CONTRACTS: dict[Domain, dict[str, str]] = {d: {"role": "r"} for d in Domain}


def pages(count: int = 4) -> list[Page]:
    rows = [r.page for n in range(count) for r in group(DOMAINS[0], n, 8, Levels(), True)]
    return list({p.id: p for p in rows}.values())


class Reader:
    """Reads a page perfectly and counts how often it was asked; may fail at one page."""

    def __init__(self, fails_at: int = -1) -> None:
        self.calls, self._fails_at = 0, fails_at

    def __call__(self, image: Path, vertical: bool) -> Reading:
        if self.calls == self._fails_at:
            raise KeyboardInterrupt
        self.calls += 1
        return Reading(f"読んだ {image.stem}", 0.9, "fake")


def run(tmp_path: Path, silent: Progress, reader: Reader, count: int = 6, name: str = "out") -> dict[str, object]:
    folder = tmp_path / name
    folder.mkdir()
    return multimodal(folder, tmp_path / "work", count, 8, CONTRACTS, {"audit_required": True}, silent, 1, reader)


def test_samples_images_and_facts(tmp_path: Path, silent: Progress) -> None:
    facts = run(tmp_path, silent, Reader())
    samples = load_samples(sorted((tmp_path / "out").glob("synthetic_*.jsonl")))
    assert facts["samples"] == len(samples) == 30 and facts["decisions"] == dict.fromkeys(DECISIONS, 10)
    for s in samples:
        assert s.modality == "multimodal" and s.kind == "request" and s.safety_level == s.classification
        assert s.image_path
        with Image.open(tmp_path / "out" / s.image_path) as image:
            assert image.mode == "L"
        assert s.ocr_content and s.ocr_content in s.text and f"区分 {s.safety_level}" in s.text
        assert (s.decision is Decision.ESCALATE) == bool(s.escalation_target)
        assert json.loads(json.dumps(s.to_json()))["image_type"] == s.image_type
    assert len({s.family for s in samples}) > 3


def test_what_is_over_a_multiple_of_three_is_escalate(tmp_path: Path, silent: Progress) -> None:
    facts = run(tmp_path, silent, Reader(), count=2)
    assert facts["decisions"] == {"ESCALATE": 10}


def test_none_wanted(tmp_path: Path, silent: Progress) -> None:
    facts = run(tmp_path, silent, Reader(), count=0)
    assert facts["pages"] == 0 and facts["character_error_rate"] is None and facts["confidence"] is None


@pytest.mark.parametrize("fails_at", [0, 1, 5])
def test_interrupted_it_goes_on(tmp_path: Path, silent: Progress, fails_at: int) -> None:
    made = pages()
    with pytest.raises(KeyboardInterrupt):
        make_pages(made, tmp_path, silent, Reader(fails_at))
    again = Reader()
    assert len(make_pages(made, tmp_path, silent, again)) == len(made)
    assert again.calls == len(made) - fails_at
    third = Reader()
    make_pages(made, tmp_path, silent, third)
    assert third.calls == 0


def test_a_damaged_or_changed_page_is_made_again(tmp_path: Path, silent: Progress) -> None:
    import dataclasses

    first, second, third, *_ = made = pages()
    make_pages(made, tmp_path, silent, Reader())
    (tmp_path / f"{first.id}.png").write_bytes(b"torn")
    (tmp_path / f"{second.id}.json").write_text("{", encoding="utf-8")
    made[2] = dataclasses.replace(third, body=("別の文。",))
    again = Reader()
    make_pages(made, tmp_path, silent, again)
    assert again.calls == 3


def test_shards_fill_the_same_folder(tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    monkeypatch.setattr(module, "reads_vertical", lambda: True)
    monkeypatch.setattr(module, "Ocr", lambda threads: type("Fake", (), {"read": staticmethod(reader)}))
    total = sum(make_shard(tmp_path / "work", 6, 8, {}, silent, 1, shard, 3) for shard in (2, 0, 1))
    assert total == reader.calls
    after = Reader()
    run(tmp_path, silent, after)
    assert after.calls == 0


@pytest.mark.parametrize("noise", ["clean", "light", "heavy"])
@pytest.mark.parametrize("vertical", [False, True])
def test_rendering_is_the_same_every_time(noise: str, vertical: bool) -> None:
    import dataclasses

    page = dataclasses.replace(pages(1)[0], noise=noise, vertical=vertical, note="付箋: 清書すること")
    first, second = (np.asarray(render(page)) for _ in range(2))
    assert (first == second).all() and first.min() < 120 < first.max()


def slow_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        new = [i + 1]
        for j, y in enumerate(b):
            new.append(min(row[j + 1] + 1, new[j] + 1, row[j] + (x != y)))
        row = new
    return row[-1]


@given(st.text("あいう", min_size=1, max_size=12), st.text("あいう", max_size=12))
def test_character_error_rate_is_the_edit_distance(wanted: str, found: str) -> None:
    assert character_error_rate(wanted, found) == pytest.approx(slow_distance(wanted, found) / len(wanted))


def test_width_and_spaces_are_no_errors() -> None:
    assert character_error_rate("区分：ＡＢ 12", "区分:AB\n１２") == 0
    assert list(itertools.islice([character_error_rate("", "")], 1)) == [0]
