"""The error tree is a contract: codes, exit codes, two languages, and the drawing at the top of the file."""

from __future__ import annotations

import re

import pytest

from so8t.core import errors
from so8t.core.errors import ConfigChanged, DiskFull, So8tError

JAPANESE = re.compile(r"[ぁ-ヿ一-鿿]")
EXIT_CODES = {
    "So8tError": 1,
    "UsageError": 2,
    "DataError": 3,
    "RunError": 4,
    "ResourceError": 5,
    "ModelError": 6,
    "ProofError": 7,
    "BundleError": 8,
    "LedgerError": 9,
    "BackendError": 10,
    "PolicyError": 11,
    "EnvironmentUnfit": 12,
    "AccessError": 13,
}


def tree(cls: type[So8tError] = So8tError) -> list[type[So8tError]]:
    own = [c for c in cls.__subclasses__() if c.__module__ == errors.__name__]
    return [cls, *(x for sub in own for x in tree(sub))]


def test_exit_codes_by_class() -> None:
    families = {c.__name__: c.exit_code for c in tree() if c in So8tError.__subclasses__() or c is So8tError}
    assert families == EXIT_CODES
    for cls in tree():
        if cls is not So8tError:
            family = next(c for c in cls.__mro__ if So8tError in c.__bases__)
            assert cls.exit_code == family.exit_code, cls


def test_codes_are_unique() -> None:
    codes = [c.code for c in tree()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[A-Z]\d\d", c) for c in codes)


def test_the_drawing_names_every_class_and_exit_code() -> None:
    drawing = errors.__doc__ or ""
    assert set(re.findall(r"[A-Z]\w+", drawing)) >= {c.__name__ for c in tree()}
    for name, code in EXIT_CODES.items():
        if name != "So8tError":
            assert re.search(rf"\|- {name} +{code}\b", drawing), name


@pytest.mark.parametrize("cls", tree(), ids=lambda c: c.__name__)
def test_two_languages_what_where_next(cls: type[So8tError]) -> None:
    error = cls(where="a/b.jsonl:3", detail="key")
    for lang in ("ja", "en"):
        lines = error.render(lang).splitlines()
        assert len(lines) == 3 and lines[0].startswith(f"[{cls.code}] ") and lines[0].endswith(": key")
        assert "a/b.jsonl:3" in lines[1]
        assert error.to_json(lang)["where"] == "a/b.jsonl:3" and error.to_json(lang)["error"] == cls.code
    assert JAPANESE.search(cls.ja) and JAPANESE.search(cls.next_ja)
    assert not JAPANESE.search(cls.en + cls.next_en)
    assert cls.en and cls.next_en


def test_without_a_place_there_is_no_empty_line() -> None:
    assert ConfigChanged().render("ja").splitlines()[1].startswith("  次に: ")
    assert str(DiskFull(where="x")) == DiskFull(where="x").render("en")
