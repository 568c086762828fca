"""Items: every one stands on lines that exist, in words that were said; owners and dues as they were named."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import BundleBroken
from so8t.core.text import nfkc
from so8t.operate.minutes.cues import settled_by
from so8t.operate.minutes.dates import due
from so8t.operate.minutes.items import items
from so8t.operate.minutes.linking import FEATURES
from so8t.operate.minutes.owners import owner
from so8t.operate.minutes.spotting import BUCKETS, KINDS, Spotter, packaged_spotter
from so8t.operate.minutes.transcript import Utterance, parse

MEETING = """司会: では始めます。まず棚卸しの件です。
佐藤: 棚卸しは三月の二十日にしたいと思います。いかがでしょうか。
鈴木: 異議ありません。
司会: では棚卸しは三月二十日に行うことに決定します。
司会: 佐藤さん、手順書の改訂をお願いします。
佐藤: はい、来週の金曜までに私が改訂して回します。
鈴木: 倉庫の照明の件はどうしましょうか。
司会: 予算がまだ見えないので、照明は次回に持ち越しとします。
司会: 以上で終わります。お疲れさまでした。"""


def test_a_plain_meeting() -> None:
    found = {kind: [item for item in items(parse(MEETING), packaged_spotter()) if item.kind == kind] for kind in KINDS}
    assert any(4 in item.lines for item in found["decision"])
    todo = next(item for item in found["todo"] if 6 in item.lines)
    assert (todo.owner, todo.due) == ("佐藤", "来週の金曜まで")
    assert any(8 in item.lines for item in found["open"])
    assert not any(9 in item.lines for kind in KINDS for item in found[kind])


@given(st.lists(st.sampled_from(MEETING.splitlines()), min_size=1, max_size=30))
def test_nothing_is_said_that_was_not(lines: list[str]) -> None:
    transcript = parse("\n".join(lines))
    said = nfkc("".join(one.text for one in transcript.utterances)).replace(" ", "")
    for item in items(transcript, packaged_spotter()):
        assert item.lines and all(1 <= line <= len(transcript.source) for line in item.lines)
        assert all(part.replace(" ", "") in said for part in item.text.split(" / "))
        assert item.due is None or item.due in said
        assert item.written == "source" and 0 <= item.sure <= 1


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("来週の金曜までに出します。", "来週の金曜まで"),
        ("金曜の回診までにもらえれば。", "金曜の回診まで"),
        ("十二月十五日に訪問します。", "十二月十五日"),
        ("今週中に当たってみます。", "今週中"),
        ("今日書いて、年内に取り直します。", "年内"),
        ("次回の定例までに私が出します。", "次回の定例まで"),
        ("すぐ変えます。", "すぐ"),
        ("15日のうちに、三営業日以内で返します。", "三営業日以内"),
        ("よろしくお願いします。", None),
        ("三時間かかります。", None),
    ],
)
def test_due(text: str, when: str | None) -> None:
    assert due(nfkc(text)) == when


@pytest.mark.parametrize(
    ("said", "who"),
    [
        ([("佐藤", "私が書いて送ります。")], "佐藤"),
        ([("佐藤", "鈴木さん、お願いできますか。"), ("鈴木", "はい、わかりました。")], "鈴木"),
        ([("佐藤", "見積もりは私が取ります。"), ("部長", "いや、鈴木さん、お願い。"), ("鈴木", "はい。")], "鈴木"),
        ([("佐藤", "娘さんに私から電話して決めます。")], "佐藤"),
        ([("部長", "返済計画のほうは田中さんで。")], "田中さん"),
        ([("佐藤", "強度計算書の改訂版を出します。")], "佐藤"),
        ([], None),
    ],
)  # fmt: skip
def test_owner(said: list[tuple[str, str]], who: str | None) -> None:
    cited = [Utterance(n, speaker, text) for n, (speaker, text) in enumerate(said, 1)]
    assert owner(cited, ("佐藤", "鈴木", "部長")) == who


def test_the_model_survives_its_own_bytes_and_nothing_else() -> None:
    made = Spotter.from_bytes(packaged_spotter().to_bytes())
    said = parse(MEETING).utterances
    np.testing.assert_allclose(made.probabilities(said), packaged_spotter().probabilities(said), atol=1e-3)
    rest = {"bias": np.zeros(3), "threshold": np.zeros(3), "link": np.zeros((3, FEATURES))}
    for data in (b"", b"PK\x03\x04", npz(weight=np.zeros((3, 2)), **rest), npz(**rest)):
        with pytest.raises(BundleBroken):
            Spotter.from_bytes(data)
    with pytest.raises(BundleBroken, match="finite"):
        Spotter.from_bytes(npz(weight=np.full((3, BUCKETS), np.nan, np.float32), **rest))


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("text", "kind", "holds"),
    [
        ("本件は承認とします。", "decision", True),
        ("三月二十日に行うことに決定します。", "decision", True),
        ("前回の会議で承認されました。", "decision", False),
        ("この案を採択しますか。", "decision", False),
        ("照明は次回に持ち越しとします。", "open", True),
        ("本件は継続審議といたします。", "open", True),
        ("昨年は持ち越しとしました。", "open", False),
        ("承認とします。", "todo", False),
    ],
)
def test_set_phrases(text: str, kind: str, holds: bool) -> None:
    assert settled_by(text, kind) is holds
