"""Pages are made once whatever happens, and the samples say what the image says."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from so8t.build.data.multimodal import stage as module
from so8t.build.data.multimodal.pages import DOMAINS, Page, group
from so8t.build.data.multimodal.render import font_path
from so8t.build.data.multimodal.stage import make_pages, make_shard, multimodal
from so8t.build.data.sample_lines import load_samples
from so8t.core.errors import SourceMissing
from so8t.core.progress import Progress
from so8t.core.types import DECISIONS, Decision, Domain, Levels, Split
from so8t.documents.ocr import Reading

CONTRACTS: dict[Domain, dict[str, str]] = {d: {"role": "r"} for d in Domain}


def pages(count: int = 4) -> list[Page]:
    rows = [r.page for n in range(count) for r in group(DOMAINS[0], n, 8, Levels(), True)]
    return list({p.id: p for p in rows}.values())


def text_of(name: str) -> str:
    """What stands on a page of this seed, by its id."""
    _, domain, number, *_ = name.split("-")
    return next(
        "\n".join(r.page.lines) for r in group(Domain(domain), int(number), 8, Levels(), True) if r.page.id == name
    )


class Reader:
    """Reads a page perfectly and counts how often it was asked; may fail at one page, or see what is not there."""

    def __init__(self, fails_at: int = -1, sees: Callable[[str, str], str] = lambda name, text: text) -> None:
        self.calls, self._fails_at, self._sees = 0, fails_at, sees

    def __call__(self, image: Path) -> Reading:
        if self.calls == self._fails_at:
            raise KeyboardInterrupt
        self.calls += 1
        return Reading(self._sees(image.stem, text_of(image.stem)), 0.9, "fake")


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
        assert s.ocr_content and s.ocr_content in s.text and f"区分:{s.safety_level} / OCR確度 0.90" in s.text
        assert (s.decision is Decision.ESCALATE) == bool(s.escalation_target)
        assert json.loads(json.dumps(s.to_json()))["image_type"] == s.image_type
        assert s.license == "CC0-1.0" and s.split in (Split.TRAIN, Split.VALIDATION)
    assert len({s.family for s in samples}) > 3 and facts["left_out"] == []
    assert facts["character_error_rate"] == facts["stamps_misread"] == 0
    images = {p.name for p in (tmp_path / "out" / "images").iterdir()}
    assert images == {Path(str(s.image_path)).name for s in samples} and len(images) == facts["pages"]


def test_only_what_has_an_image_hashes_one(tmp_path: Path, silent: Progress) -> None:
    """A text's hash is what it was before there were images; an image's depends on all that is said of it."""
    run(tmp_path, silent, Reader(), count=1)
    sample = load_samples(sorted((tmp_path / "out").glob("synthetic_*.jsonl")))[0]
    fields = ("modality", "image_path", "image_type", "ocr_content", "safety_level")
    assert set(fields) <= set(sample.content()) and sample.safety_level == sample.classification
    for name in fields:
        assert dataclasses.replace(sample, **{name: "x"}).sha256 != sample.sha256
    plain = dataclasses.replace(sample, **dict.fromkeys(fields))
    assert not set(fields) & set(plain.content()) and not set(fields) & set(plain.to_json())


def test_the_same_files_whatever_happened_before(tmp_path: Path, silent: Progress) -> None:
    first = run(tmp_path, silent, Reader())
    second = run(tmp_path, silent, Reader(), name="again")
    assert first == second
    files = [p.relative_to(tmp_path / "out") for p in sorted((tmp_path / "out").rglob("*")) if p.is_file()]
    assert files and all((tmp_path / "again" / f).read_bytes() == (tmp_path / "out" / f).read_bytes() for f in files)


def test_a_group_that_cannot_be_read_is_left_out_whole(tmp_path: Path, silent: Progress) -> None:
    """One page of three loses its stamp: its two fellows go with it, and the thirds stay thirds."""
    spoiled = next(r.page for r in group(DOMAINS[0], 0, 8, Levels(), True) if r.decision is Decision.DENY)

    def sees(name: str, text: str) -> str:
        return text.replace(spoiled.stamp, "~~~~") if name == spoiled.id else text

    facts = run(tmp_path, silent, Reader(sees=sees))
    samples = load_samples(sorted((tmp_path / "out").glob("synthetic_*.jsonl")))
    assert facts["samples"] == len(samples) == 27 and facts["decisions"] == dict.fromkeys(DECISIONS, 9)
    assert facts["stamps_misread"] == 1 and facts["left_out"] == ["3 samples: stamp or note not readable"]
    assert not any(str(s.pair) in spoiled.id for s in samples)


def test_without_tesseract_it_is_said(tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "reads_vertical", lambda: False)
    monkeypatch.setattr(module, "Ocr", lambda threads: type("Fake", (), {"read": staticmethod(Reader())}))
    (tmp_path / "out").mkdir()
    facts = multimodal(tmp_path / "out", tmp_path / "work", 3, 8, CONTRACTS, {}, silent, 1)
    assert facts["left_out"] == ["vertical pages: tesseract with jpn_vert is not installed"]
    assert "vertical" not in facts["by_layout"] and facts["samples"] == 15
    assert any(r.page.vertical for domain in DOMAINS for r in group(domain, 0, 8, Levels(), True))


def test_the_time_is_announced(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    ticks = iter(range(1000))
    make_pages(pages(), tmp_path / "work", Progress(log, io.StringIO(), clock=lambda: float(next(ticks))), Reader())
    notes = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    said = [n for n in notes if n["event"] == "note"]
    assert "about" in said[0]["text"] and said[0]["seconds"] > 0
    assert said[-1]["seconds_a_page"] > 0


def test_a_font_that_is_not_there(tmp_path: Path, silent: Progress) -> None:
    with pytest.raises(SourceMissing):
        make_pages(pages(), tmp_path, silent, Reader(), tmp_path / "none.otf")


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
    first, second, third, fourth, *_ = made = pages()
    make_pages(made, tmp_path, silent, Reader())
    (tmp_path / f"{first.id}.png").write_bytes(b"torn")
    (tmp_path / f"{second.id}.json").write_text("{", encoding="utf-8")
    record = json.loads((tmp_path / f"{fourth.id}.json").read_text(encoding="utf-8"))
    record["reading"]["text"] = 5
    (tmp_path / f"{fourth.id}.json").write_text(json.dumps(record), encoding="utf-8")
    made[2] = dataclasses.replace(third, body=("別の文。",))
    again = Reader()
    make_pages(made, tmp_path, silent, again)
    assert again.calls == 4


def test_another_font_makes_the_pages_anew(tmp_path: Path, silent: Progress) -> None:
    make_pages(pages(1), tmp_path / "work", silent, Reader())
    other = tmp_path / "other.otf"
    other.write_bytes(font_path().read_bytes() + b"\0")
    again = Reader()
    make_pages(pages(1), tmp_path / "work", silent, again, other)
    assert again.calls == len(pages(1))


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_killed_it_goes_on(tmp_path: Path, silent: Progress, environment: dict[str, str]) -> None:
    """kill -9 in the middle: what was finished is not read again, and nothing half-written is taken for finished."""
    work = tmp_path / "work"
    script = f"""
        import io, time
        from pathlib import Path
        from so8t.build.data.multimodal.pages import DOMAINS, group
        from so8t.build.data.multimodal.stage import make_pages
        from so8t.core.progress import Progress
        from so8t.core.types import Levels
        from so8t.documents.ocr import Reading

        def read(image):
            time.sleep(0.02)
            return Reading(image.stem, 0.9, "fake")

        rows = [r.page for n in range(7) for r in group(DOMAINS[0], n, 8, Levels(), True)]
        make_pages(list({{p.id: p for p in rows}}.values()), Path({str(work)!r}), Progress(None, io.StringIO()), read)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment)
    end = time.monotonic() + 60
    while len(list(work.glob("*.json"))) < 3 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = len(list(work.glob("mm-*.json")))
    made, after = pages(7), Reader()
    assert 3 <= finished < len(made)
    assert len(make_pages(made, work, silent, after)) == len(made)
    assert after.calls == len(made) - finished


def test_shards_fill_the_same_folder(tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    monkeypatch.setattr(module, "reads_vertical", lambda: True)
    monkeypatch.setattr(module, "Ocr", lambda threads: type("Fake", (), {"read": staticmethod(reader)}))
    total = sum(make_shard(tmp_path / "work", 6, 8, {}, silent, 1, shard, 3) for shard in (2, 0, 1))
    assert total == reader.calls
    after = Reader()
    run(tmp_path, silent, after)
    assert after.calls == 0
