"""Who has read the examination is found, however it is spelt or embedded; common phrases are no proof."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.build.data.contamination import WINDOW, containing

HELD = ["この見積書を取引先に送ってよいか教えてください。金額の欄は社外秘のままです。", "短い依頼です。"]
FILLER = "朝の会議では、来月の予定と人の割り振りを話し合った。"


def test_a_request_inside_a_text_is_found() -> None:
    texts = [FILLER * 3, FILLER + HELD[0] + FILLER, FILLER + HELD[1] * 5, HELD[0].replace("の", "　の")]
    assert containing(texts, HELD) == {1: 0, 3: 0}


def test_a_common_ending_is_no_proof() -> None:
    assert containing(["在庫表を直してよいか教えてください。金額の欄は空です。"], HELD) == {}


def test_nothing_held_or_nothing_to_search() -> None:
    assert containing([FILLER], []) == {} == containing([], HELD) == containing(["", "\0"], HELD)


@given(st.text(st.sampled_from("あいうえおかきくけこ"), min_size=WINDOW, max_size=80), st.text(max_size=50))
@settings(max_examples=100)
def test_the_whole_request_is_always_found(request: str, around: str) -> None:
    assert containing([around + request + around], [request]) == {0: 0}
