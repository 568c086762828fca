"""An image enters a request as text, with what it is above it, and no longer than a request may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from so8t.decide.image_text import LONGEST, with_image


def test_the_frame() -> None:
    assert (
        with_image("要約して", "診療録", "極秘", "本文", 0.987)
        == "要約して\n【画像: 診療録 / 区分 極秘 / OCR確度 0.99】\n本文"
    )


@given(st.text(max_size=3000))
def test_a_page_is_cut(text: str) -> None:
    shown = with_image("q", "t", "公開", text, 1.0).split("】\n", 1)[1]
    assert shown == text if len(text) <= LONGEST else shown == text[:LONGEST] + "(以下略)"
