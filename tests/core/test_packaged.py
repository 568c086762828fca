"""What ships inside the package, and policies by name or path."""

from __future__ import annotations

from pathlib import Path

import pytest

from so8t.core.errors import SourceMissing, SourceUnreadable
from so8t.core.packaged import MAX_POLICY_BYTES, packaged, policy_text


def test_a_policy_by_name_and_by_path(tmp_path: Path) -> None:
    text, where = policy_text("demo")
    assert text == packaged("policies", "demo.toml").read_text(encoding="utf-8") and where.endswith("demo.toml")
    own = tmp_path / "own.toml"
    own.write_text("方針", encoding="utf-8")
    assert policy_text(str(own)) == ("方針", str(own))


def test_a_name_that_is_a_path_is_the_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo.toml").write_text("own", encoding="utf-8")
    assert policy_text("demo.toml")[0] == "own"
    assert policy_text("./demo.toml")[0] == "own"


@pytest.mark.parametrize("name", ["nowhere", "no/where.toml", "../../pyproject", ""])
def test_no_such_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceMissing):
        policy_text(name)


def test_what_is_no_policy(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(b"ab\xff")
    with pytest.raises(SourceUnreadable, match="byte 2"):
        policy_text(str(path))
    path.write_bytes(b"#" * (MAX_POLICY_BYTES + 1))
    with pytest.raises(SourceUnreadable, match="bytes"):
        policy_text(str(path))
