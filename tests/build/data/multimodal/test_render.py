"""A page is the same image every time, and looks as its layout and its noise say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from so8t.build.data.multimodal.pages import DOMAINS, NOISES, Page, group
from so8t.build.data.multimodal.render import NOISE, _wrapped, font_path, render
from so8t.core.errors import PackageMissing, SourceUnreadable
from so8t.core.types import Levels


def page(**changes: object) -> Page:
    made = dataclasses.replace(group(DOMAINS[0], 0, 8, Levels(), True)[0].page, vertical=False, noise="clean")
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def pixels(shown: Page) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(render(shown))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("vertical", [False, True])
def test_rendering_is_the_same_every_time(noise: str, vertical: bool) -> None:
    shown = page(noise=noise, vertical=vertical, note="付箋: 清書すること")
    first, second = pixels(shown), pixels(shown)
    assert first.dtype == np.uint8 and first.ndim == 2 and len(np.unique(first)) <= 16
    assert (first == second).all() and first.min() < 120 < first.max()


def test_every_noise_has_its_strength() -> None:
    assert set(NOISE) == set(NOISES)
    shown = [pixels(page(noise=noise)).astype(float) for noise in NOISES]
    contrast = [np.percentile(p, 99) - np.percentile(p, 1) for p in shown]
    assert contrast[0] > contrast[1] > contrast[2]


def test_another_seed_is_another_scan_of_the_same_page() -> None:
    first, second = pixels(page(noise="heavy", seed=1)), pixels(page(noise="heavy", seed=2))
    assert first.shape == second.shape and (first != second).any()
    assert (pixels(page(seed=1)) == pixels(page(seed=2))).all()


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("change", [{"stamp": "【極秘】"}, {"note": "付箋: 写しを送ること"}, {"title": "別の題"}])
def test_what_decides_is_drawn(change: dict[str, str], vertical: bool) -> None:
    before, after = pixels(page(vertical=vertical)), pixels(page(vertical=vertical, **change))
    assert before.shape != after.shape or (before != after).any()


def test_a_longer_page_is_larger() -> None:
    flat, long = page(), page(body=("長い文。" * 40,))
    assert pixels(long).shape[0] > pixels(flat).shape[0]
    assert pixels(dataclasses.replace(long, vertical=True)).shape[1] > pixels(page(vertical=True)).shape[1]


@pytest.mark.parametrize(
    ("text", "lines"),
    [("", []), ("ああ", ["ああ"]), ("ああい", ["ああ", "い"]), ("ああ。", ["ああ。"]), ("ああ。い", ["ああ。", "い"])],
)
def test_lines_end_with_their_full_stop(text: str, lines: list[str]) -> None:
    assert _wrapped(text, 2) == lines


def test_another_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "font.otf"
    copy.write_bytes(font_path().read_bytes())
    assert (np.asarray(render(page(), copy)) == pixels(page())).all()
    copy.with_name("bad.otf").write_bytes(b"no font")
    with pytest.raises(SourceUnreadable, match="font"):
        render(page(), copy.with_name("bad.otf"))
    monkeypatch.setattr("so8t.build.data.multimodal.render.resources.files", _missing)
    with pytest.raises(PackageMissing, match=r"so8t\[ocr\]"):
        font_path()


def _missing(name: str) -> Path:
    raise ModuleNotFoundError(name)
