"""docs/rotation-pet-fold: both languages in step, pictures and tables as the script makes them, and its mathematics."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import math
import re
import shlex
import shutil
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from so8t.build.burnin.fold import fold_rotation
from so8t.build.model.pet import pet_loss, second_difference
from so8t.build.model.rotation import Parametrisation, rotate, rotation
from so8t.core.config import BurnInConfig, TrainConfig, load_config

ROOT = Path(__file__).resolve().parents[1]
JA, EN = ROOT / "docs" / "rotation-pet-fold.md", ROOT / "docs" / "rotation-pet-fold.en.md"
PAGES = pytest.mark.parametrize("page", [JA, EN], ids=["ja", "en"])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
BLOCK = re.compile(r"<!-- figures: (\w+) -->\n(.*?)<!-- end -->", re.S)
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
KINDS: tuple[Parametrisation, ...] = ("exp", "cayley")
SEEDS = st.integers(0, 2**31 - 1)


def benchmark(name: str) -> Any:
    """A module of benchmarks/, which is no package of ours."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


pictures = benchmark("pictures")
figures, finished, folding = (benchmark(f"rotation_page.{n}") for n in ("figures", "finished", "folding"))
sheet, smoothing, turning = (benchmark(f"rotation_page.{n}") for n in ("sheet", "smoothing", "turning"))
turning_pictures = benchmark("rotation_page.turning_pictures")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def randoms(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


# -- the page -------------------------------------------------------------------------------------------------------


def test_both_languages_have_the_same_shape() -> None:
    texts = [FENCE.sub("", read(page)) for page in (JA, EN)]
    headings = [re.findall(r"^(#+) ", text, re.M) for text in texts]
    assert headings[0] == headings[1] and len(headings[0]) > 15
    for pattern in (r"^!\[", r"^<!-- .* -->$", r"^(?:\d\.|-) ", r"^\|"):
        found = [re.findall(pattern, text, re.M) for text in texts]
        assert len(found[0]) == len(found[1]) > 0, pattern


def test_both_languages_have_the_same_commands_and_settings() -> None:
    commands = [[body for kind, body in FENCE.findall(read(page)) if kind == "sh"] for page in (JA, EN)]
    assert commands[0] == commands[1] and len(commands[0]) == 2
    keys = [re.findall(r"^\| `(train\.\S+ = \S+)` \|", read(page), re.M) for page in (JA, EN)]
    assert keys[0] == keys[1] and len(keys[0]) == 4


def test_the_commands_are_understood() -> None:
    for kind, body in FENCE.findall(read(JA)):
        if kind == "sh":
            program, script, *arguments = shlex.split(body)
            assert program == ".venv/bin/python" and (ROOT / script).samefile(pictures.__file__)
            options = pictures.parser().parse_args(arguments)
            assert options.run == Path("runs/tiny")
            assert [ROOT / page for page in options.write] in ([], [JA, EN])


@pytest.mark.parametrize("line", re.findall(r"^\| `(train\.\S+ = \S+)` \|", read(JA), re.M))
def test_the_settings_exist(line: str, tmp_path: Path) -> None:
    (tmp_path / "so8t.toml").write_text(line + "\n", encoding="utf-8")
    section, key = line.split(" = ")[0].removeprefix("train.").split(".")
    train = getattr(load_config(path=tmp_path / "so8t.toml").train, section)
    assert getattr(train, key) == tomllib.loads(line)["train"][section][key] != getattr(type(train)(), key)


def test_both_languages_show_the_same_figures() -> None:
    values = []
    for page in (JA, EN):
        blocks = dict(BLOCK.findall(read(page)))
        assert list(blocks) == ["source", "rotation", "pet", "fold"]
        values.append([figures_of(blocks[name]) for name in ("rotation", "pet", "fold")])
        assert re.search(r"`benchmarks/pictures\.py`.* \d{4}-\d\d-\d\d .*torch \d", blocks["source"])
    assert values[0] == values[1] and all(len(v) > 10 for v in values[0])


def figures_of(block: str) -> list[str]:
    """The second cells of a table; what is told in words is left to each language."""
    lines = block.splitlines()
    assert lines[1] == "|---|---:|" and all(
        re.fullmatch(r"\| [^|]+ \| [^|]+ \|", line) for line in [lines[0], *lines[2:]]
    )
    cells = [line.split("|")[2].strip() for line in lines[2:]]
    return [c if re.search(r"\d", c) else "words" for c in cells]


@PAGES
def test_measured_figures_stand_in_their_blocks_only(page: Path) -> None:
    prose = FENCE.sub("", BLOCK.sub("", read(page)))
    assert re.findall(r"\d\s*(?:%|％|秒|°|s\b|seconds\b)|\d[eE]-?\d", prose) == []


@PAGES
def test_every_picture_is_shown_once_in_its_language(page: Path) -> None:
    ending = ".en.svg" if page == EN else ".svg"
    shown = re.findall(r"!\[[^\]]{20,}\]\(images/([\w.-]+)\)", read(page))
    made = {p.name for p in (page.parent / "images").glob("*.svg") if p.name.endswith(".en.svg") == (page == EN)}
    assert len(shown) == len(set(shown)) == 7 and set(shown) == made and all(n.endswith(ending) for n in shown)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "images").glob("*.svg")), ids=lambda p: p.name)
def test_pictures_are_plain_svg_in_one_language(path: Path) -> None:
    check_picture(read(path), "en" if path.name.endswith(".en.svg") else "ja", free="pet-time" in path.name)


def check_picture(text: str, lang: str, free: bool = False) -> None:
    """`free`: shows a Japanese text in either language."""
    root = ET.fromstring(text)
    kinds = {element.tag.split("}")[1] for element in root.iter()}
    assert kinds <= {"svg", "title", "desc", "text", "tspan", "rect", "line", "circle", "polyline", "polygon"}
    assert all("href" not in name and name not in ("style", "class") for e in root.iter() for name in e.attrib)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert width == sheet.WIDTH and 150 < height < 900
    assert all(0 <= float(t.attrib["x"]) <= width for t in root.iter() if t.tag.endswith("text") and "x" in t.attrib)
    words = " ".join(root.itertext())
    assert bool(JAPANESE.search(words)) == (lang == "ja") or free


# -- gates ----------------------------------------------------------------------------------------------------------


@given(seed=SEEDS, scale=st.floats(0.01, 0.5), kind=st.sampled_from(KINDS))
def test_planes_are_the_rotation(seed: int, scale: float, kind: Parametrisation) -> None:
    numbers, x = randoms(28, seed=seed, scale=scale), randoms(8, seed=seed + 1)
    x = x / x.norm()
    planes = turning.planes(numbers, x, kind, 2)
    assert sum(p.length**2 for p in planes) == pytest.approx(1)
    for p in planes:
        assert all(math.hypot(*point) == pytest.approx(p.length) for point in p.path)  # a circle about the origin
    angles = turning.plane_degrees(rotation(numbers, kind))
    assert [p.degrees for p in planes] == pytest.approx(angles.tolist(), abs=1e-6)


def test_a_known_turn_is_found() -> None:
    numbers = torch.zeros(1, 1, 28, dtype=torch.float64)
    numbers[0, 0, 0] = math.radians(30)  # axes 0 and 1
    r = rotation(numbers)
    assert turning.plane_degrees(r)[0, 0].tolist() == pytest.approx([30, 0, 0, 0], abs=1e-6)
    assert turning.planes(numbers[0, 0], torch.eye(8)[0].double())[0].degrees == pytest.approx(30)
    all_alike = torch.block_diag(*[r[0, 0, :2, :2]] * 4)[None, None]  # type: ignore[no-untyped-call]
    assert float(turning.block_degrees(all_alike)) == pytest.approx(30)
    assert float(turning.block_degrees(r)) < 30


def test_svd_breaks_gradients_and_exp_does_not() -> None:
    numbers = randoms(2, 16, 28, seed=3, scale=0.01)
    assert turning.broken(numbers, orthogonalise=True) > 0.5
    assert turning.broken(numbers, orthogonalise=False) == 0


def test_stretch_sees_what_is_no_rotation() -> None:
    x, r = [randoms(5, 16, seed=1)], rotation(randoms(1, 2, 28, seed=2))
    assert turning.stretch(x, r, torch.float64) < 1e-14
    assert turning.stretch(x, 1.01 * r, torch.float64) == pytest.approx(0.01)
    assert 1e-14 < turning.stretch(x, r, torch.float32) < 1e-6


# -- PET ------------------------------------------------------------------------------------------------------------


@given(seed=SEEDS, length=st.integers(3, 40))
def test_the_spectrum_weighs_as_pet_does(seed: int, length: int) -> None:
    """On texts that close into a ring, PET is exactly the spectrum times 16 sin^4(w/2)."""
    h = randoms(3, length, 4, seed=seed)
    ring = second_difference(torch.cat([h, h[:, :2]], 1)).square().sum()
    changing = (h - h.mean(1, keepdim=True)).square().sum()
    spectrum = smoothing.power_spectrum(h)
    assert sum(share for _, share in spectrum) == pytest.approx(1)
    weighed = sum(share * smoothing.frequency_weight(w) for w, share in spectrum)
    assert weighed * float(changing) == pytest.approx(float(ring))


@given(w=st.floats(0.05, math.pi))
def test_the_weight_is_that_of_a_wave(w: float) -> None:
    """The second difference of e^(iwt) is that wave, -4 sin^2(w/2) times."""
    t = torch.arange(50, dtype=torch.float64)
    wave = torch.stack([(w * t).cos(), (w * t).sin()], -1)[None]
    sizes = second_difference(wave).square().sum(-1)
    assert sizes[0].tolist() == pytest.approx([smoothing.frequency_weight(w)] * 48)


def test_what_the_page_says_of_scale_free_is_so() -> None:
    """0 where nothing moves, 16 to and fro, 6 for unrelated directions; the weights of the page's table."""
    segments = torch.ones(1, 400, dtype=torch.long)
    direction = randoms(64, seed=5)
    sign = torch.tensor([1.0, -1.0]).repeat(200)[None, :, None]
    assert float(pet_loss(direction.expand(1, 400, 64), segments)) == 0
    assert float(pet_loss(sign * direction, segments)) == pytest.approx(16)
    unrelated = torch.nn.functional.normalize(randoms(1, 400, 64, seed=6), dim=-1)
    assert float(pet_loss(unrelated, segments)) == pytest.approx(6, rel=0.05)
    table = re.findall(r"^\| (\d+)[^|]* \| ([\d.]+) \|$", BLOCK.sub("", read(JA)), re.M)
    assert [int(n) for n, _ in table] == [2, 4, 8, 16]
    for tokens, told in table:
        digits = len(told.partition(".")[2])
        assert round(smoothing.frequency_weight(2 * math.pi / int(tokens)), digits) == float(told)


# -- fold -----------------------------------------------------------------------------------------------------------


@given(seed=SEEDS)
def test_the_wrong_side_turns_the_input(seed: int) -> None:
    w, x, r = randoms(16, 16, seed=seed), randoms(3, 16, seed=seed + 1), rotation(randoms(2, 28, seed=seed + 2))
    torch.testing.assert_close(x @ folding.wrong_side(w, r).mT, rotate(x, r) @ w.mT)
    torch.testing.assert_close(x @ fold_rotation(w, r).mT, rotate(x @ w.mT, r))
    assert not torch.allclose(folding.wrong_side(w, r), fold_rotation(w, r))


def test_the_wrong_side_fails_only_where_it_is_not_square() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        folding.wrong_side(randoms(16, 24, seed=1), rotation(randoms(2, 28, seed=2)))


# -- the script -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", [TrainConfig(), BurnInConfig(), load_config("tiny").train], ids=lambda c: str(type(c))
)
def test_a_manifest_gives_the_settings_back(config: Any) -> None:
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    parts = {f"part.{key}": value for key, value in values.items()}
    assert finished.settings(type(config), finished.whole_sections(parts)["part"]) == config
    assert finished.whole_sections({"all": values}) == {"all": values}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0"),
        (4.04e-15, "4.0e-15"),
        (1.46e-5, "1.5e-5"),
        (9.96e-3, "1.0e-2"),
        (0.0664, "0.0664"),
        (9.8e-3, "9.8e-3"),
    ],
)
def test_small_figures_are_short(value: float, told: str) -> None:
    assert figures.small(value) == told


@pytest.mark.parametrize("change", ["", "twice", "unknown"])
def test_a_page_without_its_blocks_is_left_as_it_is(change: str, tmp_path: Path) -> None:
    text = read(JA)
    broken = {"": "nothing here\n", "twice": text + text, "unknown": text.replace("figures: pet", "figures: other")}[
        change
    ]
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text(text, encoding="utf-8")
    bad.write_text(broken, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"bad\.md: blocks"):
        figures.write([good, bad], lambda name, lang: "new\n")
    assert read(good) == text and read(bad) == broken


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_large_model_fits_the_picture(lang: str) -> None:
    """32 layers of 384 blocks, with angles recorded during training."""
    degrees = (randoms(32, 384, seed=4).abs() * 5).tolist()
    found = turning.Turning(degrees, 9.0, (0, 0), [], 0.0, 0.0, {}, 0.0, 0.0, 0.0, 0.0)
    history = [{"step": s, "angles": [0.001 * s * (layer + 1) for layer in range(32)]} for s in range(40)]
    picture = turning_pictures.block_angles(found, history, lang)
    check_picture(picture, lang)
    assert len(picture) > len(turning_pictures.block_angles(found, [], lang))


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.slow
def test_the_script_makes_everything_twice_alike(
    micro_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, pages, made = digest(micro_run), [Path(shutil.copy(p, tmp_path)) for p in (JA, EN)], []
    arguments = [str(micro_run), "--steps", "2", "--write", *map(str, pages), "--images", str(tmp_path / "images")]
    for _ in range(2):
        (tmp_path / "images").mkdir(exist_ok=True)
        assert pictures.main(arguments) == 0
        made.append(digest(tmp_path / "images"))
        shutil.rmtree(tmp_path / "images") if len(made) == 1 else None
    printed = capsys.readouterr().out
    assert made[0] == made[1] and digest(micro_run) == before
    assert set(made[0]) == {p.name for p in (ROOT / "docs" / "images").glob("*.svg")}
    for page, original in zip(pages, (JA, EN), strict=True):
        assert BLOCK.sub("", read(page)) == BLOCK.sub("", read(original))
        assert all(body in printed for _, body in BLOCK.findall(read(page)))
    for path in (tmp_path / "images").iterdir():
        check_picture(read(path), "en" if path.name.endswith(".en.svg") else "ja", free="pet-time" in path.name)


@pytest.mark.slow
def test_a_run_without_gates_is_refused(micro_run: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    run = Path(shutil.copytree(micro_run, tmp_path / "micro"))
    tensors = load_file(run / "train" / "adapter.safetensors")
    del tensors["rotations.skew"]
    save_file(tensors, run / "train" / "adapter.safetensors")
    with pytest.raises(SystemExit, match="without gates"):
        pictures.main([str(run)])
