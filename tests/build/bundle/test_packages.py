"""The packages are those that are installed here and needed, with what they and the lock say of themselves."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from so8t.build.bundle import packages
from so8t.build.bundle.packages import HASH, Package, installed_packages, lock_file, package_licence
from so8t.core.errors import PackageMissing


@pytest.fixture(scope="module")
def found() -> dict[str, Package]:
    return {p.name: p for p in installed_packages()}


def test_what_builds_and_what_runs(found: dict[str, Package]) -> None:
    assert found["torch"].uses == ("build",)  # the operator has none
    assert found["xllamacpp"].uses == ("run",)
    assert found["numpy"].uses == found["so8t"].uses == ("build", "run")
    assert "pytest" not in found and "mypy" not in found
    assert list(found) == sorted(found)


def test_they_are_as_installed_and_closed(found: dict[str, Package]) -> None:
    for package in found.values():
        assert package.version == metadata.version(package.name)
        assert set(package.requires) <= found.keys()
    reached, waiting = set(), ["so8t"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += found[name].requires
    assert reached == found.keys()


def test_hashes_are_the_locks(found: dict[str, Package]) -> None:
    lock = lock_file()
    assert lock is not None
    text = lock.read_text(encoding="utf-8")
    for name in ("apsw", "numpy", "xllamacpp"):
        after = text[text.index(f"\n{name}=={found[name].version} ") + 1 :]
        wanted = HASH.findall(after[: after.index("# via")])
        assert sorted(wanted) == list(found[name].hashes) and wanted
    assert found["torch"].hashes == () and found["so8t"].hashes == ()


def test_no_hashes_without_a_lock_or_of_another_version(tmp_path: Path) -> None:
    assert packages._locked(None) == {}
    lock = tmp_path / "run.lock"
    lock.write_text(f"A_b==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:{'0' * 64} \\\n    # via x\nc==2\n")
    assert packages._locked(lock) == {("a-b", "1.0"): ["0" * 64], ("c", "2"): []}


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["License-Expression: MPL-2.0 AND MIT", "License: junk"], "MPL-2.0 AND MIT"),
        (["License: MIT", "Classifier: License :: OSI Approved :: MIT License"], "MIT"),
        (["License: BSD", "Classifier: License :: OSI Approved :: ISC License (ISCL)"], "ISC"),
        (["License: Apache-2.0", "Classifier: License :: OSI Approved :: MIT License"], "Apache-2.0 / MIT"),
        (["Classifier: License :: OSI Approved :: BSD License"], "BSD License"),
        (["License: " + "long text " * 50, "Classifier: License :: OSI Approved :: MIT License"], "MIT"),
        (["Classifier: Topic :: Text Processing"], "unknown"),
    ],
)
def test_the_licence_of_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], shown: str
) -> None:
    info = tmp_path / "made_up-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", "Name: made-up", "Version: 1.0", *lines, ""]))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert package_licence("made-up").shown == shown


def test_not_installed_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_distribution", lambda name: None)
    with pytest.raises(PackageMissing):
        installed_packages()
