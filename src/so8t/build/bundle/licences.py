"""licences/: on which terms the bundle was made - so8t's own, the base model's, those of the data - and what they ask.

Part of the payload: what may be done with a model is settled before anything is measured.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from so8t.build.bundle.base_facts import Base, base_of
from so8t.build.bundle.data_sources import REST, DataSource, data_sources
from so8t.build.bundle.packages import checkout
from so8t.build.bundle.spdx import REFUSED, Demand
from so8t.core.bundle import LICENCES
from so8t.core.bundle_listing import is_safe
from so8t.core.errors import BaseUnusable, PackageMissing
from so8t.core.files import write_json, write_text
from so8t.core.run import StageContext

LIST = "licences.json"
OWN = "Apache-2.0"
OWN_FILES = ("LICENSE", "NOTICE")
MAX_TEXT_BYTES = 1 << 20
MAX_TEXTS = 50
DEMAND_WORDS: dict[Demand, tuple[str, str]] = {
    "attribution": ("出典の表示が要る", "credit the source"),
    "share-alike": ("同じ条件での公開を求められることがある", "may have to be shared on the same terms"),
    "non-commercial": ("営利目的の利用は禁止", "commercial use is forbidden"),
    "no-derivatives": ("改変物の提供は禁止", "derived works may not be passed on"),
    "no-training": ("学習への利用は禁止", "use for training is forbidden"),
    "unknown": ("条件が分からない", "its terms are not known"),
    "own": ("独自の条件。権利者に確かめる", "terms of its own: ask the owner"),
}


def write_licences(ctx: StageContext) -> None:
    """Write licences/ into the stage's folder. Raises PackageMissing, BaseUnusable, StageMissing."""
    folder = ctx.folder / LICENCES
    folder.mkdir()
    base, sources = base_of(ctx), data_sources(ctx.input("validate"))
    own = _copy(own_texts(), folder / "so8t")
    theirs = _copy(base.texts, folder / "base")
    listed = listing(base, sources, own, theirs)
    write_json(folder / LIST, listed)
    write_text(folder / "README.md", readme(listed))


def own_texts() -> list[Path]:
    """so8t's LICENSE and NOTICE, as installed or as they lie beside the sources. Raises PackageMissing."""
    installed = {p.name: Path(str(p.locate())) for p in metadata.files("so8t") or [] if p.name in OWN_FILES}
    beside = {name: checkout() / name for name in OWN_FILES}
    found = [path for name in OWN_FILES for path in [installed.get(name, beside[name])] if path.is_file()]
    if not any(path.name == "LICENSE" for path in found):
        raise PackageMissing(detail="so8t: LICENSE")
    return found


def _copy(texts: Sequence[Path], folder: Path) -> list[str]:
    """Copy the texts under names that every system keeps; returns these."""
    if len(texts) > MAX_TEXTS:
        raise BaseUnusable(where=texts[0].parent, detail=f"> {MAX_TEXTS} licence files")
    names: list[str] = []
    for number, path in enumerate(texts):
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise BaseUnusable(where=path, detail=f"> {MAX_TEXT_BYTES} bytes")
        name = re.sub(r"[^A-Za-z0-9._-]", "_", path.name)
        taken = {n.lower() for n in names}
        name = name if is_safe(name) and name.lower() not in taken else f"terms-{number}.txt"
        folder.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / name)
        names.append(name)
    return [f"{folder.name}/{name}" for name in names]


def listing(base: Base, sources: Sequence[DataSource], own: Sequence[str], theirs: Sequence[str]) -> dict[str, Any]:
    """licences.json: what the model card, the SBOM and `so8t bundle verify` read."""
    return {
        "schema": 1,
        "project": {"name": "so8t", "spdx": OWN, "files": list(own)},
        "base": {
            "name": base.name, "made_here": base.made, "spdx": base.licence.spdx, "licence": base.licence.name,
            "demands": [] if base.made else list(base.licence.demands), "files": list(theirs),
        },
        "data": [
            {"source": s.name, "spdx": s.licence.spdx, "licence": s.licence.name, "demands": list(s.licence.demands),
             "refused": s.refused, "samples": s.samples, "splits": s.splits}
            for s in sources
        ],
        "warnings": warnings(base, sources),
    }  # fmt: skip


def warnings(base: Base, sources: Sequence[DataSource]) -> list[dict[str, str]]:
    """What a reader must know before use: a licence that forbids it, or one that nobody knows."""
    found: list[dict[str, str]] = []
    if not base.made and (told := _told(base.licence.demands)):
        found.append(_warning("土台のモデル", "base model", base.name, base.licence.shown, told))
    for source in sources:
        if told := _told(source.licence.demands):
            name = source.name if source.name != REST else "ほか / others"
            found.append(_warning("学習データ", "training data", name, source.licence.shown, told))
    return found


def _told(demands: Sequence[Demand]) -> list[Demand]:
    return [d for d in demands if d in REFUSED or d in ("unknown", "own")]


def _warning(ja: str, en: str, name: str, shown: str, told: Sequence[Demand]) -> dict[str, str]:
    whys = [DEMAND_WORDS[d] for d in told]
    return {
        "ja": f"{ja}「{name}」({shown}): " + "、".join(w[0] for w in whys),
        "en": f"{en} “{name}” ({shown}): " + "; ".join(w[1] for w in whys),
    }


def shown(row: Mapping[str, Any]) -> str:
    """The licence of one row of the listing."""
    return str(row["spdx"] or row["licence"] or "unknown")


def cell(value: object) -> str:
    """Text that cannot leave its place in a Markdown table, nor be HTML or a link."""
    text = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]()<>#|!~&])", r"\\\1", text)


def readme(listed: Mapping[str, Any]) -> str:
    """The listing for people: Japanese, then English."""
    base, project = listed["base"], listed["project"]
    base_row = ("なし(この実行で作った)", "none (made in this run)") if base["made_here"] else (cell(shown(base)),) * 2
    lines = ["# ライセンス / Licences", ""]
    for lang, intro in enumerate(INTRO):
        files = ("同梱した条件の文書", "Texts of the terms")[lang]
        names = ", ".join(f"`{name}`" for name in (*project["files"], *base["files"]))
        lines += [intro, "", f"- so8t: {project['spdx']}", f"- {cell(base['name'])}: {base_row[lang]}"]
        lines += [f"- {files}: {names}", "", HEADS[lang], "|---|---|---:|---|"]
        for row in listed["data"]:
            demands = "、".join(DEMAND_WORDS[d][lang] for d in row["demands"]) or ("なし", "none")[lang]
            mark = ("**使えません** ", "**not for use** ")[lang] if row["refused"] else ""
            lines.append(f"| {cell(row['source'])} | {cell(shown(row))} | {row['samples']:,} | {mark}{demands} |")
        told = [w["ja" if lang == 0 else "en"] for w in listed["warnings"]]
        lines += ["", *(f"- **{('注意', 'Note')[lang]}**: {cell(text)}" for text in told), ""]
    return "\n".join(lines)


INTRO = (
    "この一式が何をもとに作られ、どの条件に従うか。識別子は SPDX。読み取れないものは、書かれていた文のまま載せます。"
    "できたモデルをどの条件で渡すかは、ここからは決まりません。持ち主が決めてください。",
    "From what this bundle was made, and on which terms. Identifiers are SPDX; where none can be derived, the words "
    "found are given. On which terms the model itself is passed on does not follow from this: its owner decides.",
)
HEADS = (
    "| データの出どころ | ライセンス | 件数 | 求められること |",
    "| Source of data | Licence | Samples | What it asks |",
)
