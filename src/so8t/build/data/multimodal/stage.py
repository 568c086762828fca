"""Stage multimodal: render pages, read them back by OCR, and put the requests about them into samples (SPEC D7, M10).

work/pages/ID.png and ID.json hold a finished page and what was read; the JSON is written last, so that a page is made
once whatever happens, and shards on several machines may fill one folder.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from so8t.build.data.lexicon import policy_refs
from so8t.build.data.multimodal.accuracy import accuracy, legible
from so8t.build.data.multimodal.pages import DOMAINS, Page, PageRequest, group
from so8t.build.data.sample_lines import write_samples
from so8t.build.data.synth import split_of
from so8t.core.errors import DataError, SourceMissing
from so8t.core.files import read_json, sha256_file, write_bytes, write_json
from so8t.core.progress import Progress, duration
from so8t.core.types import Decision, Domain, Levels, Sample, canonical_json
from so8t.decide.image_text import level_on, with_image
from so8t.documents.ocr import Ocr, Reading, reads_vertical

SOURCE, LICENSE = "so8t multimodal", "CC0-1.0"
MEASURED = 2  # pages that are made before the time is announced
Read = Callable[[Path], Reading]


def multimodal(
    folder: Path, work: Path, samples_per_domain: int, seed: int, contracts: Mapping[Domain, Mapping[str, Any]],
    policy_state: Mapping[str, Any], progress: Progress, threads: int, read: Read | None = None,
    font: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write the stage's files; returns its facts. `read` takes the place of OCR in tests; `font` that of the package.

    A group whose stamp or note cannot be read is left out whole: nobody could tell its label from the text.
    """
    vertical = reads_vertical() if read is None else True
    levels = _levels(policy_state)
    every = [r for domain in DOMAINS for r in _requests(domain, samples_per_domain, seed, levels, vertical)]
    pages = list({r.page.id: r.page for r in every}.values())
    readings = make_pages(pages, work / "pages", progress, read or Ocr(threads).read, font)
    unread = {r.pair for r in every if not legible(r.page, readings[r.page.id], levels)}
    kept = [r for r in every if r.pair not in unread]
    (folder / "images").mkdir()
    for name in {r.page.id for r in kept}:
        _place(work / "pages" / f"{name}.png", folder / "images" / f"{name}.png")
    for domain in DOMAINS:
        mine = (r for r in kept if r.domain is domain)
        samples = (_sample(r, readings[r.page.id], contracts[domain], policy_state, levels) for r in mine)
        write_samples(folder / f"synthetic_{domain}.jsonl", samples)
    facts = accuracy(pages, readings, kept, levels)
    facts["left_out"] = [] if vertical else ["vertical pages: tesseract with jpn_vert is not installed"]
    if unread:
        facts["left_out"].append(f"{len(every) - len(kept)} samples: stamp or note not readable")
    write_json(folder / "multimodal_report.json", facts)
    return facts


def make_shard(
    work: Path, samples_per_domain: int, seed: int, policy_state: Mapping[str, Any], progress: Progress, threads: int,
    shard: int, of: int, font: Path | None = None,
) -> int:  # fmt: skip
    """The pages number `shard`, `shard` + `of`, ... only; the stage then finds them made. Returns how many."""
    vertical, levels = reads_vertical(), _levels(policy_state)
    made = [r.page for d in DOMAINS for r in _requests(d, samples_per_domain, seed, levels, vertical)]
    mine = list({page.id: page for page in made}.values())[shard::of]
    make_pages(mine, work / "pages", progress, Ocr(threads).read, font)
    return len(mine)


def _levels(policy_state: Mapping[str, Any]) -> Levels:
    return Levels(tuple(policy_state.get("classification_levels", Levels().names)))


def _requests(domain: Domain, count: int, seed: int, levels: Levels, vertical: bool) -> list[PageRequest]:
    """Thirds of each decision; what is over a multiple of three is ESCALATE, as in plan 3.2."""
    whole, rest = divmod(count, 3)
    made = [r for n in range(whole) for r in group(domain, n, seed, levels, vertical)]
    extra = (group(domain, n, seed, levels, vertical) for n in range(whole, whole + rest))
    return made + [r for trio in extra for r in trio if r.decision is Decision.ESCALATE]


def make_pages(
    pages: Sequence[Page], folder: Path, progress: Progress, read: Read, font: Path | None = None
) -> dict[str, Reading]:
    """What was read of every page by its id; finished pages are not made again.

    How long a page took goes to the person and the log, not into the facts: the same run gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    typeface = _typeface(font) if pages else ""
    readings: dict[str, Reading] = {}
    missing = [page for page in pages if not _known(page, folder, typeface, readings)]
    begin = progress.clock()
    with progress.task("pages", len(pages), "page", len(readings)) as task:
        for number, page in enumerate(missing, 1):
            readings[page.id] = _make(page, folder, read, font, typeface)
            task.advance()
            if number == MEASURED < len(missing):
                _announce((progress.clock() - begin) / MEASURED, len(missing) - MEASURED, progress)
    if missing:
        seconds = (progress.clock() - begin) / len(missing)
        progress.say(
            f"      {len(missing)} 枚を作った(一枚 {seconds:.2f} 秒)",
            f"      {len(missing)} pages made ({seconds:.2f} s each)", seconds_a_page=round(seconds, 3),
        )  # fmt: skip
    return readings


def _announce(seconds: float, left: int, progress: Progress) -> None:
    time = duration(seconds * left)
    ja, en = f"      残り {left} 枚、約 {time}", f"      about {time} for the {left} pages left"
    progress.say(ja, en, seconds=round(seconds * left, 1))


def _typeface(font: Path | None) -> str:
    """Hash of the font file: a page in another typeface is another page. Raises SourceMissing."""
    from so8t.build.data.multimodal.render import font_path

    path = font or font_path()
    if not path.is_file():
        raise SourceMissing(where=path)
    return sha256_file(path)


def _known(page: Page, folder: Path, typeface: str, readings: dict[str, Reading]) -> bool:
    path = folder / f"{page.id}.json"
    try:
        record = read_json(path)
        if [record["page"], record["image"]] != [_digest(page, typeface), sha256_file(folder / f"{page.id}.png")]:
            return False
        reading = Reading(**record["reading"])
    except (DataError, OSError, KeyError, TypeError):
        return False
    if not (isinstance(reading.text, str) and isinstance(reading.confidence, float)):
        return False
    readings[page.id] = reading
    return True


def _make(page: Page, folder: Path, read: Read, font: Path | None, typeface: str) -> Reading:
    from so8t.build.data.multimodal.render import render

    buffer = io.BytesIO()
    render(page, font).save(buffer, "PNG", compress_level=1)  # noise does not get smaller by trying harder
    image = folder / f"{page.id}.png"
    write_bytes(image, buffer.getvalue())
    reading = read(image)
    digest = sha256(buffer.getvalue()).hexdigest()
    record = {"page": _digest(page, typeface), "image": digest, "reading": asdict(reading)}
    write_json(folder / f"{page.id}.json", record)
    return reading


def _digest(page: Page, typeface: str) -> str:
    return sha256(canonical_json([asdict(page), typeface]).encode()).hexdigest()


def _place(source: Path, target: Path) -> None:
    """The same file under another name where the disk can do that, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sample(
    request: PageRequest, reading: Reading, contract: Mapping[str, Any], policy_state: Mapping[str, Any], levels: Levels
) -> Sample:
    page, decision = request.page, request.decision
    stamp = level_on(reading.text, levels.names)
    return Sample(
        id=f"{request.pair}-{decision.lower()}", kind="request",
        text=with_image(request.query, page.title, stamp, reading.text, reading.confidence),
        source=SOURCE, license=LICENSE, domain=request.domain, split=split_of(request.family), family=request.family,
        pair=request.pair, decision=decision, response=request.response, clearance=request.clearance,
        classification=page.level, register="敬体", attack=request.attack,
        identity_contract=contract, policy_state=policy_state, policy_ref=policy_refs(request.domain)[decision],
        escalation_target=request.target if decision is Decision.ESCALATE else None, modality="multimodal",
        image_path=f"images/{page.id}.png", image_type=page.image_type, ocr_content=reading.text,
        safety_level=page.level,
    )  # fmt: skip
