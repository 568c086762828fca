"""The model card says what card.json says, in two languages, and no name can break out of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from so8t.build.bundle.model_card import front_matter, model_card

LICENCES: dict[str, Any] = {
    "base": {"name": "Phi-4-mini", "made_here": False, "spdx": "MIT", "licence": ""},
    "data": [{"source": "a", "spdx": "CC0-1.0", "licence": "", "samples": 3000}],
    "warnings": [{"ja": "新聞は使えません", "en": "the newspaper may not be used"}],
}


def test_every_figure_is_the_cards(card: dict[str, Any]) -> None:
    page = model_card(card, LICENCES)
    for text in (
        "75.3 %", "60.1–90.0", "0.040", "≥ 50.0 %", "4,196,608", "524,288", "3,584", "791", "496,759", "1,200",
        "train 2,510", "506", "6.044", "1.5e-05", "8.0e-12", "4.65 MB", "a" * 64, "b" * 64, card["created"],
    ):  # fmt: skip
        assert page.count(text) == 2, text  # once in each language
    card["results"]["Q8_0"]["splits"]["test"]["accuracy"]["value"] = 0.1111
    assert "75.3 %" not in model_card(card, LICENCES) and "11.1 %" in model_card(card, LICENCES)


def test_japanese_comes_first_and_both_have_the_same_sections(card: dict[str, Any]) -> None:
    page = model_card(card, LICENCES)
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert len(headings) == 16 and headings[0] == "用途" and headings[8] == "Intended use"
    assert "新聞は使えません" in page and "the newspaper may not be used" in page


def test_a_sample_and_a_failure_say_so(card: dict[str, Any]) -> None:
    assert "見本です" not in model_card(card | {"limits_ja": []}, LICENCES)
    assert "**見本です。実務には使えません。**" in model_card(card | {"demo": True}, LICENCES)
    failed = model_card(card | {"thresholds": {"passed": False, "rows": []}}, LICENCES)
    assert "不合格" in failed and "FAILED" in failed and "原因の調査と改善だけ" in failed


def test_front_matter(card: dict[str, Any]) -> None:
    text = front_matter(card, LICENCES)
    assert text.startswith("---\nlanguage:\n- ja\nlicense: other\n") and 'base_model: "Phi-4-mini"' in text
    made = front_matter(card, LICENCES | {"base": LICENCES["base"] | {"made_here": True}})
    assert "base_model" not in made  # nobody else's model to name


@pytest.mark.parametrize(
    "name", ['x"\nlicense: mit\n', "x\n---\n# own heading", "a|b <script>alert(1)</script>", "[x](y)"]
)
def test_a_hostile_name(card: dict[str, Any], name: str) -> None:
    card |= {"name": name, "profile": name}
    card["model"]["base"] = card["policy"]["label"] = card["policy"]["id"] = name
    page = model_card(card, LICENCES | {"base": LICENCES["base"] | {"name": name}})
    front, rest = page.split("\n---\n", 1)
    assert "\nlicense: mit" not in front and front.count("\nlicense:") == 1
    assert "\n# own heading" not in page and not re.search(r"(?<!\\)<script", rest) and "](y)" not in rest


def test_yaml_readers_agree(card: dict[str, Any]) -> None:
    yaml = pytest.importorskip("yaml")
    name = 'a: "b" #\u2028\u0085 ﬁ 土台'
    front = front_matter(card, LICENCES | {"base": LICENCES["base"] | {"name": name}})
    found = yaml.safe_load(front.strip().strip("-"))
    assert found["base_model"] == " ".join(name.split()) and found["language"] == ["ja"] and "so8t" in found["tags"]
