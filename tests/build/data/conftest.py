"""What the tests of the data stages share: prose to collect, a recipe without training, silence."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so8t.build.data.parts import Recipe
from so8t.core.progress import Progress
from so8t.core.types import Domain
from so8t.decide.domain import DomainModel
from so8t.decide.linear import BUCKETS

GOOD = (
    "発言を一言も漏らさず書き取った議事録は、苦労の割に読まれない。読み手が知りたいのは、何が決まり、誰がいつまでに何をし、"
    "何が決まらずに残ったかの三つである。したがって冒頭に決定事項と宿題を置き、経緯はその後に短く添えるとよい。"
)
WORDS = (
    "棚卸し",
    "会議",
    "点検",
    "引き継ぎ",
    "見積り",
    "研修",
    "清掃",
    "配車",
    "診察",
    "融資",
    "発注",
    "採用",
    "避難訓練",
)


def different(n: int) -> list[str]:
    """Texts of the same quality that are not near duplicates of each other."""
    made = []
    for k in range(n):
        a, b, c = (WORDS[(k // m) % len(WORDS)] for m in (1, 13, 169))
        made.append(
            f"{a}の担当になった人は、まず{b}の記録を読み、分からないところを前の担当に聞いておくとよい。"
            f"第{k}回の{c}では、{k % 7}人が集まり、{a}と{b}の順番を入れ替えることに決めた。"
            f"{c}が終わったら、{k * 37 % 101}番の棚に{b}の控えを戻し、{a}の表に日付を書き入れる。"
        )
    return made


@pytest.fixture(scope="session")
def finance_model() -> DomainModel:
    """Calls everything finance: training the real one takes seconds."""
    bias = np.zeros(8, np.float32)
    bias[list(Domain).index(Domain.FINANCE)] = 9
    return DomainModel(np.zeros((8, BUCKETS), np.float32), bias, 1.0, 0.0)


@pytest.fixture(scope="session")
def recipe(finance_model: DomainModel) -> Recipe:
    return Recipe("so8t", 0.7, 800, 0.1, finance_model.to_bytes())


@pytest.fixture
def silent() -> Progress:
    return Progress(stream=io.StringIO())


def write_records(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path
