"""Samples as JSON lines, several times faster than through the standard library and the same to the letter."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from so8t.core.files import read_jsonl, writing
from so8t.core.types import Domain, Sample, Split


def load_samples(files: Sequence[Path]) -> list[Sample]:
    """Raises RecordInvalid with file:line for a row that is no sample or whose hash does not fit."""
    return [Sample.from_json(record, f"{path}:{number}") for path in files for number, record in read_jsonl(path)]


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """All or nothing."""
    with writing(path) as f:
        f.writelines(map(sample_line, samples))


def split_file(folder: Path, split: Split) -> Path:
    """Where the stage validate puts the samples of a split."""
    return folder / f"{split}.jsonl"


def sample_line(sample: Sample) -> bytes:
    """One line: the JSON of Sample.to_json() with sorted keys."""
    return _line(sample.id, sample.content())


def text_line(key: int, text: str, source: str, license_: str, domain: Domain, split: Split, place: str) -> bytes:
    """The line of a plain text, whose other fields are empty; sparing a million samples their making."""
    content = _EMPTY | {
        "text": text, "source": source, "license": license_, "domain": domain, "split": split, "family": place,
    }  # fmt: skip
    return _line(f"text-{key:016x}", content)


def _line(id_: str, content: dict[str, Any]) -> bytes:
    digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    kept = {name: value for name, value in content.items() if value is not None}
    kept["id"], kept["sha256"] = id_, digest
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


_EMPTY = Sample("", "text", "", "", "", Domain.GENERAL, Split.TRAIN, "").content()
