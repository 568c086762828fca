"""What the run itself recorded of its base model: name, the hashes of its files, and the licence it came with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.build.bundle.packages import package_licence
from so8t.build.bundle.spdx import Licence, licence
from so8t.build.model import packaged_base
from so8t.core.files import read_json
from so8t.core.run import StageContext

TERMS = re.compile(r"(?i)(?:licen[sc]e|copying|notice|terms|use[-_ ]?policy)[^/]*")
FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)
LICENCE_LINE = re.compile(r"^license(_name)?:[ \t]*[\"']?([^\"'\r\n#]{1,100})", re.MULTILINE)
MAX_README_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Base:
    """`made` = pre-trained in this run, so that there is no other's licence. `files`: name -> SHA-256.

    `sha256` is that of the GGUF it was converted from; `texts` are the files that state its terms.
    """

    name: str
    made: bool
    licence: Licence
    files: dict[str, str]
    sha256: str
    texts: tuple[Path, ...]


def base_of(ctx: StageContext) -> Base:
    """The base of a run, from the manifest and base.json of its stage base. Raises StageMissing."""
    folder, facts, config = ctx.input("base"), ctx.facts("base"), ctx.config.base
    said: dict[str, Any] = read_json(folder / "base.json")
    manifest = ctx.run.manifest("base")
    outputs = dict(manifest.outputs) if manifest else {}
    own = {n.removeprefix("model/"): h for n, h in outputs.items() if n.startswith("model/")}
    files, sha256 = dict(said.get("files") or own), str(said.get("sha256", ""))
    name, given = str(facts.get("base", "")), Path(str(said["path"]))
    if not config.path and not config.package:
        return Base(name, True, Licence(), files, "", ())
    if config.package:
        found = licence(str(said.get("license", "")))
        found = found if found.spdx else package_licence(config.package)
        return Base(name, False, found, files, sha256, tuple(packaged_base.terms(config.package)))
    if sha256:
        return Base(name, False, licence(str(said.get("license", ""))), files, sha256, ())
    return Base(name, False, folder_licence(given), files, "", terms_in(given))


def terms_in(folder: Path) -> tuple[Path, ...]:
    """Files at the top of a model's folder that state its terms."""
    return tuple(sorted(p for p in folder.iterdir() if p.is_file() and TERMS.fullmatch(p.name)))


def folder_licence(folder: Path) -> Licence:
    """What the front matter of the model's README.md says: `license`, or `license_name` where that is "other"."""
    readme = folder / "README.md"
    if not readme.is_file() or readme.stat().st_size > MAX_README_BYTES:
        return Licence()
    front = FRONT_MATTER.match(readme.read_text(encoding="utf-8", errors="replace"))
    lines = {bool(m[1]): m[2].strip() for m in LICENCE_LINE.finditer(front[1])} if front else {}
    found = licence(lines.get(False, ""))
    return found if found.shown != "unknown" else licence(lines.get(True, ""))
