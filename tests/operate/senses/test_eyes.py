"""A detector and an anomaly model of known answer, on real ONNX Runtime; what is not as stated is refused."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_file import model, node
from PIL import Image
from sense_models import anomaly_model, colour_detector, part, square

from so8t.core.errors import ConfigKeyUnknown, ConfigValueInvalid, SenseUnusable, So8tError, SourceUnreadable
from so8t.operate.senses.detections import overlap
from so8t.operate.senses.eyes import Eyes


def png(image: Image.Image) -> bytes:
    made = io.BytesIO()
    image.save(made, "PNG")
    return made.getvalue()


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Eyes:
    return Eyes(colour_detector(tmp_path_factory.mktemp("eyes")))


def test_an_object_is_named_and_placed(detector: Eyes) -> None:
    sight = detector.look(png(square("red", (160, 320, 319, 479))))
    (seen,) = sight.seen
    assert seen.label == "赤い部品" and seen.confidence > 0.99 and sight.engine == "detector"
    assert seen.box == pytest.approx((0.25, 0.5, 0.25, 0.25), abs=0.01)
    assert sight.text == f"検出: 赤い部品(確度 {seen.confidence:.2f}、左 25 %・上 50 %・幅 25 %・高さ 25 %)"


def test_of_overlapping_windows_the_best_is_told(detector: Eyes) -> None:
    both = square("red", (0, 0, 200, 200))
    both.paste(square("blue", (0, 0, 640, 640)).crop((0, 0, 200, 200)), (420, 420))
    labels = [seen.label for seen in detector.look(png(both)).seen]
    assert sorted(set(labels)) == ["赤い部品", "青い部品"] and len(labels) <= 4


def test_nothing_is_a_finding_with_a_confidence(detector: Eyes) -> None:
    sight = detector.look(png(square("gray", (0, 0, 10, 10))))
    assert not sight.seen and sight.confidence > 0.9 and sight.text.startswith("検出なし(確度 ")


def test_a_doubtful_object_makes_the_sight_doubtful(detector: Eyes) -> None:
    sight = detector.look(png(square((230, 80, 80), (160, 320, 319, 479))))  # type: ignore[arg-type]
    assert sight.seen and sight.confidence == min(seen.confidence for seen in sight.seen) < 0.6


def test_a_letterboxed_place_is_told_in_the_image(tmp_path: Path) -> None:
    eyes = Eyes(colour_detector(tmp_path, fit="letterbox"))
    wide = square("red", (320, 0, 639, 319), size=(1280, 640))  # shown 32 pixels high in the middle of 64
    (seen,) = eyes.look(png(wide)).seen
    assert seen.box == pytest.approx((0.25, 0.0, 0.25, 0.5), abs=0.02)


def test_bad_parts_are_told_from_good_ones(tmp_path: Path) -> None:
    eyes, rng = Eyes(anomaly_model(tmp_path)), np.random.default_rng(77)
    goods = [eyes.look(png(part(rng, good=True))).seen[0] for _ in range(40)]
    bads = [eyes.look(png(part(rng, good=False))).seen[0] for _ in range(40)]
    assert sum(seen.label == "良品" for seen in goods) == 40
    assert sum(seen.label == "異常の疑い" for seen in bads) >= 39
    found = next(seen for seen in bads if seen.label == "異常の疑い")
    assert found.box is not None and found.score is not None and found.confidence > 0.5
    assert all(seen.box is None for seen in goods)


def test_a_hole_that_is_filled_is_found_where_it_is(tmp_path: Path) -> None:
    eyes = Eyes(anomaly_model(tmp_path))
    image = part(np.random.default_rng(3), good=True)
    image.paste(190, (36, 36, 60, 60))
    (seen,) = eyes.look(png(image)).seen
    left, top, width, height = seen.box  # type: ignore[misc]
    assert seen.label == "異常の疑い" and left <= 0.45 <= left + width and top <= 0.45 <= top + height < 0.9


def changed(folder: Path, old: str, new: str) -> Path:
    text = (folder / "eyes.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "eyes.toml").write_text(text.replace(old, new), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("old", "new", "error"), [
    ('kind = "detections"', 'kind = "detection"', ConfigValueInvalid), ("nms = 0.2", "nsm = 0.2", ConfigKeyUnknown),
    ("size = [64, 64]", "size = [64]", SenseUnusable), ("size = [64, 64]", "size = [64, 99999]", SenseUnusable),
    ("size = [64, 64]", "size = [32, 32]\nname = 'picture'", SenseUnusable), ("nms = 0.2", "nms = 1.2", SenseUnusable),
    ('labels = ["赤い部品", "青い部品"]', "labels = []", SenseUnusable),
    ('weights = "model.onnx"', 'weights = "../model.onnx"', SenseUnusable),
    ('weights = "model.onnx"', 'weights = "/etc/passwd"', SenseUnusable),
    ('weights = "model.onnx"', 'weights = "none.onnx"', SenseUnusable),
    ("[input]", "[input]\nmean = [0.5]", SenseUnusable),
    ("[input]", "[input]\nstd = [1.0, 0.0, 1.0]", SenseUnusable),
])  # fmt: skip
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, error: type[So8tError]) -> None:
    with pytest.raises(error):
        Eyes(changed(colour_detector(tmp_path), old, new))


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    folder = colour_detector(tmp_path)
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(SenseUnusable, match="SHA-256"):
        Eyes(folder)


def test_weights_that_are_no_model_are_refused(tmp_path: Path) -> None:
    folder = colour_detector(tmp_path)
    (folder / "model.onnx").write_bytes(b"junk" * 100)
    text = (folder / "eyes.toml").read_text(encoding="utf-8")
    old = next(line for line in text.splitlines() if line.startswith("sha256"))
    with pytest.raises(SenseUnusable):
        Eyes(changed(folder, old, f'sha256 = "{sha256(b"junk" * 100).hexdigest()}"'))


@pytest.mark.parametrize(("old", "new"), [
    ('boxes = "boxes"', 'boxes = "rects"'), ("size = [64, 64]", "size = [128, 128]"),
])  # fmt: skip
def test_outputs_that_are_not_as_stated_are_refused(tmp_path: Path, old: str, new: str) -> None:
    eyes = Eyes(changed(colour_detector(tmp_path), old, new))
    with pytest.raises(SenseUnusable):
        eyes.look(png(square("red", (0, 0, 99, 99))))


def test_a_model_that_answers_nan_is_refused(tmp_path: Path) -> None:
    nodes = [node("Log", ["image"], ["logs"]), node("GlobalAveragePool", ["logs"], ["map"])]
    content = model(nodes, {}, {"image": [1, 1, 32, 32]}, {"map": [1, 1, 1, 1]})
    folder = anomaly_model(tmp_path, goods=2)
    (folder / "model.onnx").write_bytes(content)
    text = (folder / "eyes.toml").read_text(encoding="utf-8")
    old = next(line for line in text.splitlines() if line.startswith("sha256"))
    eyes = Eyes(changed(folder, old, f'sha256 = "{sha256(content).hexdigest()}"'))
    with pytest.raises(SenseUnusable, match="no score"):
        eyes.look(png(Image.new("L", (32, 32), 0)))


@pytest.mark.parametrize("content", [b"", b"junk", b"GIF89a" + b"\0" * 100])
def test_what_is_no_image_is_refused(detector: Eyes, content: bytes) -> None:
    with pytest.raises(SourceUnreadable):
        detector.look(content)


BOX = st.tuples(*[st.floats(0, 100)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 1, max(b[1], b[3]) + 1)
)


@given(BOX, BOX)
def test_overlap_is_a_share_and_the_same_both_ways(one: tuple[float, ...], other: tuple[float, ...]) -> None:
    assert 0 <= overlap(one, other) <= 1 + 1e-9 and overlap(one, one) == pytest.approx(1)
    assert overlap(one, other) == pytest.approx(overlap(other, one))
