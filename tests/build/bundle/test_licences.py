"""licences/ says on which terms the bundle was made, and names what forbids its use."""

from __future__ import annotations

from pathlib import Path

import pytest

from so8t.build.bundle import licences
from so8t.build.bundle.base_facts import base_of, folder_licence
from so8t.build.bundle.data_sources import MOST, REST, data_sources
from so8t.build.bundle.licences import MAX_TEXT_BYTES, cell, write_licences
from so8t.core.bundle_listing import is_safe
from so8t.core.config import BaseConfig
from so8t.core.errors import BaseUnusable, PackageMissing
from so8t.core.files import hash_folder, read_json

from .conftest import MakeContext, write_samples


def test_a_base_made_here(context: MakeContext) -> None:
    ctx = context()
    base = base_of(ctx)
    assert base.made and base.files.keys() == {"model.safetensors"} and base.texts == ()
    write_licences(ctx)
    folder = ctx.folder / "licences"
    found = read_json(folder / "licences.json")
    assert found["base"]["made_here"] and found["warnings"] == []
    assert found["data"] == [
        {"source": "so8t synth", "spdx": "CC0-1.0", "licence": "", "demands": [], "refused": False, "samples": 3,
         "splits": {"train": 3}}
    ]  # fmt: skip
    assert "Apache License" in (folder / "so8t" / "LICENSE").read_text(encoding="utf-8")
    assert (folder / "so8t" / "NOTICE").read_text(encoding="utf-8").startswith("so8t")
    assert all(is_safe(f"licences/{name}") for name in hash_folder(folder))


def given_folder(path: Path, readme: str, **texts: bytes) -> Path:
    path.mkdir()
    (path / "README.md").write_text(readme, encoding="utf-8")
    for name, content in texts.items():
        (path / name.replace("__", " ")).write_bytes(content)
    return path


def test_the_terms_of_a_given_folder_travel(context: MakeContext, tmp_path: Path) -> None:
    model = given_folder(tmp_path / "Phi", "---\nlicense: mit\n---\n", LICENSE=b"MIT", license=b"other case")
    (model / "使用条件 LICENSE.txt").write_bytes(b"x")
    (model / "NOTICE.md").write_bytes(b"n")
    ctx = context(
        BaseConfig(path=str(model)), {"base": "Phi"}, {"path": str(model), "files": {"config.json": "0" * 64}}
    )
    base = base_of(ctx)
    assert (base.name, base.made, base.licence.spdx, base.files) == ("Phi", False, "MIT", {"config.json": "0" * 64})
    write_licences(ctx)
    copied = sorted(p.name for p in (ctx.folder / "licences" / "base").iterdir())
    assert "LICENSE" in copied and "NOTICE.md" in copied and len({n.lower() for n in copied}) == len(copied)
    assert all(is_safe(name) for name in copied)
    assert read_json(ctx.folder / "licences" / "licences.json")["warnings"] == []


def test_a_base_of_unknown_terms_is_told(context: MakeContext, tmp_path: Path) -> None:
    model = given_folder(tmp_path / "m", "no front matter")
    ctx = context(BaseConfig(path=str(model)), {"base": "m"}, {"path": str(model), "files": {}})
    write_licences(ctx)
    (told,) = read_json(ctx.folder / "licences" / "licences.json")["warnings"]
    assert "土台" in told["ja"] and "not known" in told["en"]


def test_a_gguf_says_its_own_licence(context: MakeContext, tmp_path: Path) -> None:
    ctx = context(
        BaseConfig(path=str(tmp_path / "m.gguf")), {"base": "m.gguf"},
        {"path": "model", "sha256": "1" * 64, "license": "gemma", "files": {"model.safetensors": "2" * 64}},
    )  # fmt: skip
    base = base_of(ctx)
    assert (base.sha256, base.licence.name, base.files) == ("1" * 64, "gemma", {"model.safetensors": "2" * 64})
    write_licences(ctx)
    assert "own" in read_json(ctx.folder / "licences" / "licences.json")["base"]["demands"]


@pytest.mark.parametrize(
    ("readme", "shown"),
    [
        ("---\nlicense: apache-2.0\nlanguage: ja\n---\n# x", "Apache-2.0"),
        ("---\r\nlicense: \"MIT\"\r\n---\r\n", "MIT"),
        ("---\nlicense: other\nlicense_name: house-terms\n---\n", "house-terms"),
        ("license: mit\n", "unknown"), ("---\nlicense: mit\n", "unknown"), ("", "unknown"),
        ("---\ntitle: x\n---\nlicense: mit\n", "unknown"),
    ],
)  # fmt: skip
def test_front_matter(tmp_path: Path, readme: str, shown: str) -> None:
    (tmp_path / "README.md").write_text(readme, encoding="utf-8", newline="")
    assert folder_licence(tmp_path).shown == shown


def test_a_source_that_forbids_use_is_told_in_the_listing(context: MakeContext) -> None:
    ctx = context(
        rows=[("新聞", "CC-BY-NC-4.0", 2), ("規程", "社外秘", 1), ("百科", "CC-BY-SA-4.0", 5), ("謎", "unknown", 1)]
    )
    write_licences(ctx)
    found = read_json(ctx.folder / "licences" / "licences.json")
    assert {row["source"]: row["refused"] for row in found["data"]} == {
        "新聞": True, "規程": False, "百科": False, "謎": False,
    }  # fmt: skip
    assert sorted(w["ja"].split("「")[1].split("」")[0] for w in found["warnings"]) == ["新聞", "規程", "謎"]
    page = (ctx.folder / "licences" / "README.md").read_text(encoding="utf-8")
    line = next(row for row in page.splitlines() if row.startswith("| 新聞"))
    assert "使えません" in line and "営利目的の利用は禁止" in line
    assert "not for use" in page and "commercial use is forbidden" in page


def test_many_sources_are_gathered_and_none_is_lost(tmp_path: Path) -> None:
    write_samples(tmp_path, [("big", "MIT", 3), *((f"https://page/{n}", "CC-BY-4.0", 1) for n in range(MOST + 50))])
    write_samples(tmp_path, [("big", "MIT", 2)], "test")
    found = data_sources(tmp_path)
    assert len(found) == MOST + 1 and sum(s.samples for s in found) == MOST + 55
    assert next(s for s in found if s.name == "big").splits == {"test": 2, "train": 3}
    (rest,) = [s for s in found if s.name == REST]
    assert (rest.samples, rest.licence.spdx) == (51, "CC-BY-4.0")


def test_a_hostile_name_stays_in_its_cell(context: MakeContext) -> None:
    ctx = context(rows=[("a|b](javascript:x)<script>\n# top\u2028", "`MIT`", 1)])
    write_licences(ctx)
    page = (ctx.folder / "licences" / "README.md").read_text(encoding="utf-8")
    assert "<script>" not in page.replace("\\<script\\>", "") and "\n# top" not in page
    assert cell("a|b\nc") == "a\\|b c"


def test_a_huge_text_is_no_licence(context: MakeContext, tmp_path: Path) -> None:
    model = given_folder(tmp_path / "m", "", LICENSE=b"x" * (MAX_TEXT_BYTES + 1))
    ctx = context(BaseConfig(path=str(model)), {"base": "m"}, {"path": str(model), "files": {}})
    with pytest.raises(BaseUnusable, match="bytes"):
        write_licences(ctx)


def test_without_our_own_licence_nothing_is_shipped(
    context: MakeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(licences.metadata, "files", lambda name: [])
    monkeypatch.setattr(licences, "checkout", lambda: tmp_path / "nowhere")
    with pytest.raises(PackageMissing, match="LICENSE"):
        write_licences(context())
