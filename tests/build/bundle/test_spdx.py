"""A licence is named by SPDX where that is certain, and by its own words where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.build.bundle.spdx import ALIASES, IDENTIFIERS, LONGEST, REFUSED, Licence, expression, licence


@pytest.mark.parametrize(
    ("said", "spdx"),
    [
        ("mit", "MIT"), ("MIT License", "MIT"), ("Apache 2.0", "Apache-2.0"), ("apache-2.0", "Apache-2.0"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"), ("CC0-1.0", "CC0-1.0"), (" Apache\n License  2.0", "Apache-2.0"),
    ],
)  # fmt: skip
def test_spellings_of_one_licence(said: str, spdx: str) -> None:
    assert licence(said) == Licence(spdx=spdx)


@pytest.mark.parametrize("said", ["BSD", "BSD License", "gemma", "社外秘", "any-OSI", "GPL"])
def test_what_may_be_several_keeps_its_name(said: str) -> None:
    assert licence(said) == Licence(name=said)


@pytest.mark.parametrize("said", ["", "  ", "unknown", "Other", "by document"])
def test_nothing_known(said: str) -> None:
    assert licence(said) == Licence() and licence(said).demands == ("unknown",)
    assert licence(said).shown == "unknown" and licence(said).cyclonedx() == []


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("MIT", Licence("MIT")), ("apache-2.0", Licence("Apache-2.0")),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", Licence("MPL-2.0 AND (Apache-2.0 OR MIT)")),
        ("LicenseRef-Own", Licence("LicenseRef-Own")),
        ("my own words", Licence(name="my own words")), ("<script>", Licence(name="<script>")),
    ],
)  # fmt: skip
def test_expressions(said: str, found: Licence) -> None:
    assert expression(said) == found


@pytest.mark.parametrize(
    ("said", "demands"),
    [
        ("CC0-1.0", ()), ("MIT", ()), ("CC-BY-4.0", ("attribution",)), ("CC-BY-SA-3.0", ("attribution", "share-alike")),
        ("CC-BY-NC-ND-4.0", ("attribution", "non-commercial", "no-derivatives")), ("ODbL-1.0", ("share-alike",)),
        ("社外秘", ("own",)), ("利用規約により学習禁止", ("no-training",)),
        ("All rights reserved, no AI", ("no-training",)),
    ],
)  # fmt: skip
def test_what_a_licence_asks(said: str, demands: tuple[str, ...]) -> None:
    assert licence(said).demands == demands


def test_the_tables_agree() -> None:
    assert set(ALIASES.values()) <= set(IDENTIFIERS) and all(key == key.lower() for key in ALIASES)
    assert {d for i in IDENTIFIERS for d in Licence(i).demands if d in REFUSED} == {"non-commercial", "no-derivatives"}


@given(st.text(max_size=300))
def test_any_words_are_bounded_and_on_one_line(said: str) -> None:
    for found in (licence(said), expression(said)):
        assert len(found.name) <= LONGEST and "\n" not in found.shown and not (found.spdx and found.name)
        assert len(found.cyclonedx()) <= 1
