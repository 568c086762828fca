"""Stage multimodal: render pages, read them back by OCR, and put the requests about them into samples (SPEC D7, M10).

work/pages/ID.png and ID.json hold a finished page and what was read; the JSON is written last, so that a page is made
once whatever happens, and shards on several machines may fill one folder.
"""

from __future__ import annotations

import io
import os
import shutil
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from so8t.build.data.lexicon import policy_refs
from so8t.build.data.multimodal.pages import DOMAINS, Page, PageRequest, group
from so8t.build.data.sample_lines import write_samples
from so8t.build.data.synth import split_of
from so8t.core.errors import DataError
from so8t.core.files import read_json, write_bytes, write_json
from so8t.core.progress import Progress, duration
from so8t.core.types import Decision, Domain, Levels, Sample, canonical_json
from so8t.decide.image_text import with_image
from so8t.documents.ocr import Ocr, Reading, reads_vertical

SOURCE, LICENSE = "so8t multimodal", "CC0-1.0"
MEASURED = 2  # pages that are made before the time is announced
Read = Callable[[Path, bool], Reading]


def multimodal(
    folder: Path, work: Path, samples_per_domain: int, seed: int, contracts: Mapping[Domain, Mapping[str, Any]],
    policy_state: Mapping[str, Any], progress: Progress, threads: int, read: Read | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write the stage's files; returns its facts. `read` takes the place of OCR in tests."""
    vertical = reads_vertical() if read is None else True
    requests = {domain: _requests(domain, samples_per_domain, seed, policy_state, vertical) for domain in DOMAINS}
    pages = {r.page.id: r.page for made in requests.values() for r in made}
    readings = make_pages(list(pages.values()), work / "pages", progress, read or Ocr(threads).read)
    (folder / "images").mkdir()
    for page in pages.values():
        _place(work / "pages" / f"{page.id}.png", folder / "images" / f"{page.id}.png")
    for domain, made in requests.items():
        samples = (_sample(r, readings[r.page.id], domain, contracts[domain], policy_state) for r in made)
        write_samples(folder / f"synthetic_{domain}.jsonl", samples)
    facts = _facts(list(pages.values()), readings, requests)
    facts["left_out"] = [] if vertical else ["vertical pages: tesseract with jpn_vert is not installed"]
    write_json(folder / "multimodal_report.json", facts)
    return facts


def make_shard(
    work: Path, samples_per_domain: int, seed: int, policy_state: Mapping[str, Any], progress: Progress, threads: int,
    shard: int, of: int,
) -> int:  # fmt: skip
    """The pages number `shard`, `shard` + `of`, ... only; the stage then finds them made. Returns how many."""
    vertical = reads_vertical()
    made = [r.page for d in DOMAINS for r in _requests(d, samples_per_domain, seed, policy_state, vertical)]
    mine = list({page.id: page for page in made}.values())[shard::of]
    make_pages(mine, work / "pages", progress, Ocr(threads).read)
    return len(mine)


def _requests(
    domain: Domain, count: int, seed: int, policy_state: Mapping[str, Any], vertical: bool
) -> list[PageRequest]:
    """Thirds of each decision; what is over a multiple of three is ESCALATE, as in plan 3.2."""
    levels = Levels(tuple(policy_state.get("classification_levels", Levels().names)))
    whole, rest = divmod(count, 3)
    made = [r for n in range(whole) for r in group(domain, n, seed, levels, vertical)]
    extra = (group(domain, n, seed, levels, vertical) for n in range(whole, whole + rest))
    return made + [r for trio in extra for r in trio if r.decision is Decision.ESCALATE]


def make_pages(pages: list[Page], folder: Path, progress: Progress, read: Read) -> dict[str, Reading]:
    """What was read of every page by its id; finished pages are not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    readings: dict[str, Reading] = {}
    missing = [page for page in pages if not _known(page, folder, readings)]
    begin = time.monotonic()
    with progress.task("pages", len(pages), "page", len(readings)) as task:
        for number, page in enumerate(missing):
            readings[page.id] = _make(page, folder, read)
            task.advance()
            if number + 1 == MEASURED < len(missing):
                left = duration((time.monotonic() - begin) / MEASURED * (len(missing) - MEASURED))
                progress.say(
                    f"      残り {len(missing) - MEASURED} 枚、約 {left}", f"      about {left} for the pages left"
                )
    return readings


def _known(page: Page, folder: Path, readings: dict[str, Reading]) -> bool:
    path = folder / f"{page.id}.json"
    try:
        record = read_json(path)
        image = sha256((folder / f"{page.id}.png").read_bytes()).hexdigest()
        if [record["page"], record["image"]] != [_digest(page), image]:
            return False
        readings[page.id] = Reading(**record["reading"])
    except (DataError, OSError, KeyError, TypeError):
        return False
    return True


def _make(page: Page, folder: Path, read: Read) -> Reading:
    from so8t.build.data.multimodal.render import render

    buffer = io.BytesIO()
    render(page).save(buffer, "PNG")
    image = folder / f"{page.id}.png"
    write_bytes(image, buffer.getvalue())
    reading = read(image, page.vertical)
    record = {"page": _digest(page), "image": sha256(buffer.getvalue()).hexdigest(), "reading": asdict(reading)}
    write_json(folder / f"{page.id}.json", record)
    return reading


def _digest(page: Page) -> str:
    return sha256(canonical_json(asdict(page)).encode()).hexdigest()


def _place(source: Path, target: Path) -> None:
    """The same file under another name where the disk can do that, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sample(
    request: PageRequest, reading: Reading, domain: Domain, contract: Mapping[str, Any],
    policy_state: Mapping[str, Any],
) -> Sample:  # fmt: skip
    page, decision = request.page, request.decision
    return Sample(
        id=f"{request.pair}-{decision.lower()}", kind="request",
        text=with_image(request.query, page.title, page.level, reading.text, reading.confidence),
        source=SOURCE, license=LICENSE, domain=domain, split=split_of(request.family), family=request.family,
        pair=request.pair, decision=decision, response=request.response, clearance=request.clearance,
        classification=page.level, register="敬体", attack="document_injection" if page.note else None,
        identity_contract=contract, policy_state=policy_state, policy_ref=policy_refs(domain)[decision],
        escalation_target=request.target if decision is Decision.ESCALATE else None, modality="multimodal",
        image_path=f"images/{page.id}.png", image_type=page.image_type, ocr_content=reading.text,
        safety_level=page.level,
    )  # fmt: skip


def _facts(
    pages: list[Page], readings: Mapping[str, Reading], requests: Mapping[Domain, list[PageRequest]]
) -> dict[str, Any]:
    errors: dict[str, list[float]] = defaultdict(list)
    for page in pages:
        error = character_error_rate("".join(page.lines), readings[page.id].text)
        for key in ("all", "vertical" if page.vertical else "horizontal", page.noise):
            errors[key].append(error)
    mean = {key: round(float(np.mean(found)), 4) for key, found in sorted(errors.items())}
    every = [r for made in requests.values() for r in made]
    return {
        "pages": len(pages),
        "samples": len(every),
        "kinds": dict(Counter(page.image_type for page in pages)),
        "decisions": dict(Counter(r.decision.value for r in every)),
        "scenes": dict(Counter(r.scene for r in every)),
        "character_error_rate": mean.pop("all", None),
        "by_layout": mean,
        "confidence": round(float(np.mean([readings[p.id].confidence for p in pages])), 4) if pages else None,
    }


def character_error_rate(wanted: str, found: str) -> float:
    """Edit distance over the length of what should stand there; width and spaces do not count."""
    a, b = (np.array([ord(c) for c in "".join(unicodedata.normalize("NFKC", t).split())]) for t in (wanted, found))
    row = np.arange(len(b) + 1)
    for i, character in enumerate(a):
        best = np.minimum(row[1:] + 1, row[:-1] + (b != character))
        # An insertion costs one more than the place before: the running minimum of (best - place) + place.
        line = np.concatenate([[i + 1], best]) - np.arange(len(b) + 1)
        row = np.minimum.accumulate(line) + np.arange(len(b) + 1)
    return float(row[-1]) / max(1, len(a))
