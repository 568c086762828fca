"""A package's GGUF is found by its metadata, put together by number, held against its hash; its code is never run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from so8t.build.model.packaged_base import assemble, terms
from so8t.core.errors import BaseUnusable, PackageMissing

CONTENT = [b"GGUF" + bytes(range(256)) * 9, b"", b"x" * 70_000, b"end"]
SHA256 = hashlib.sha256(b"".join(CONTENT)).hexdigest()
CODE = "raise RuntimeError('the code of a package of weights is not to be imported')\n"


def package(site: Path, name: str, files: dict[str, bytes], requires: tuple[str, ...] = ()) -> None:
    """As pip leaves it: metadata, a list of files, and code that must not run."""
    module = name.replace("-", "_")
    files = {f"{module}/__init__.py": CODE.encode()} | files
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
    info = site / f"{module}-1.0.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    needs = "".join(f"Requires-Dist: {r}\n" for r in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n{needs}", encoding="utf-8")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files), encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def in_parts(site: Path, order: tuple[int, ...] = (2, 0, 3, 1)) -> None:
    """Four parts in packages whose own numbers say nothing of the order."""
    names = [f"small-gguf-part{place}" for place in range(len(order))]
    package(site, "small-gguf", {"small_gguf/data/A_TERMS.html": b"terms"}, (*[f"{n}==1.0.0" for n in names], "other"))
    for name, part in zip(names, order, strict=True):
        package(site, name, {f"{name.replace('-', '_')}/data/small.gguf.part{part:02}": CONTENT[part]})


def test_parts_are_put_together_in_order(site: Path, tmp_path: Path) -> None:
    in_parts(site)
    assemble("small-gguf", SHA256, tmp_path / "out.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == b"".join(CONTENT)
    assert [p.name for p in terms("small-gguf")] == ["A_TERMS.html"]


def test_a_whole_file_will_do(site: Path, tmp_path: Path) -> None:
    package(
        site, "whole-gguf", {"whole_gguf/model.gguf": b"".join(CONTENT), "whole_gguf-1.0.0.dist-info/LICENSE": b"l"}
    )
    assemble("whole-gguf", SHA256, tmp_path / "out.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == b"".join(CONTENT)
    assert [p.name for p in terms("whole-gguf")] == ["LICENSE"]


def test_other_content_is_refused_and_nothing_is_left(site: Path, tmp_path: Path) -> None:
    in_parts(site)
    next(site.rglob("*.part02")).write_bytes(b"y" * 70_000)
    with pytest.raises(BaseUnusable, match="SHA-256"):
        assemble("small-gguf", SHA256, tmp_path / "out.gguf")
    assert list(tmp_path.glob("*out*")) == []


@pytest.mark.parametrize("pin", ["", "a" * 63, "A" * 64, "sha256:" + SHA256])
def test_without_a_pinned_hash_nothing_is_written(pin: str, site: Path, tmp_path: Path) -> None:
    in_parts(site)
    with pytest.raises(BaseUnusable, match=r"base\.sha256"):
        assemble("small-gguf", pin, tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("order", [(0, 2), (1, 2, 3), (0, 0, 1)])
def test_missing_or_doubled_part_is_refused(order: tuple[int, ...], site: Path, tmp_path: Path) -> None:
    in_parts(site, order)
    with pytest.raises(BaseUnusable, match="part"):
        assemble("small-gguf", SHA256, tmp_path / "out.gguf")


def test_file_outside_the_installation_is_not_read(site: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.gguf").write_bytes(b"".join(CONTENT))
    package(site, "sly-gguf", {})
    with (site / "sly_gguf-1.0.0.dist-info" / "RECORD").open("a") as record:
        record.write("../secret.gguf,,\n")
    with pytest.raises(BaseUnusable, match=r"GGUF parts \[\]"):
        assemble("sly-gguf", SHA256, tmp_path / "out.gguf")


@pytest.mark.parametrize("name", ["no-such-gguf", "", "../evil"])
def test_package_that_is_not_installed(name: str, tmp_path: Path) -> None:
    with pytest.raises(PackageMissing):
        assemble(name, SHA256, tmp_path / "out.gguf")


def test_part_of_a_package_that_is_not_installed(site: Path, tmp_path: Path) -> None:
    package(site, "half-gguf", {}, ("half-gguf-part1==1.0.0",))
    with pytest.raises(PackageMissing, match="half-gguf-part1"):
        assemble("half-gguf", SHA256, tmp_path / "out.gguf")
