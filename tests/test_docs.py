"""The documents keep their word: two READMEs in step, every link there, every marked command really runs."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from so8t.build.data.written import PASS_SPLIT
from so8t.cli import build_parser
from so8t.core.config import Config, load_config
from so8t.core.run import STAGES

ROOT = Path(__file__).resolve().parents[1]
JA, EN = ROOT / "README.md", ROOT / "README.en.md"
RESOURCES = ROOT / "src" / "so8t" / "resources"
EXAMPLE = ROOT / "so8t.example.toml"
PAGES = [JA, EN, ROOT / "CHANGELOG.md", RESOURCES / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?:<!-- test: (?P<mark>\w+) -->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.M | re.S)
FIGURES = re.compile(r"<!-- figures: tiny -->\n(.*?)<!-- end figures -->", re.S)
KEY = re.compile(r"^# (\w+ = )", re.M)
START = "python3 start.py"
OWN_VERBS = {"test", "setup", "pack"}  # start.py's; all others are so8t's


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return FENCE.sub("", text)


def fences(path: Path, *kinds: str) -> list[tuple[str, str]]:
    """(mark, body) of the fenced blocks of some kinds."""
    return [(f["mark"] or "", f["body"]) for f in FENCE.finditer(read(path)) if f["kind"] in kinds]


def slug(heading: str) -> str:
    """The anchor that a heading gets on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def commands(path: Path) -> Iterator[list[str]]:
    """The arguments of every `python3 start.py ...` of a page, in blocks and in code spans."""
    text = read(path)
    lines = [line for _, body in fences(path, "sh") for line in body.splitlines() if line.startswith(START)]
    lines += [span for span in re.findall(r"`([^`\n]+)`", prose(text)) if span.startswith(START)]
    for line in lines:
        yield shlex.split(line.split(" > ")[0].removeprefix(START))


def verbs() -> set[str]:
    action = next(a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return set(action.choices)


# -- the two READMEs ------------------------------------------------------------------------------------------------


def test_same_headings() -> None:
    levels = [[len(h) for h in re.findall(r"^(#+) ", prose(read(path)), re.M)] for path in (JA, EN)]
    assert levels[0] == levels[1] and len(levels[0]) > 10


def test_same_commands() -> None:
    assert fences(JA, "sh", "toml") == fences(EN, "sh", "toml")


@pytest.mark.parametrize("path", [JA, EN], ids=["ja", "en"])
def test_every_verb_is_mentioned(path: Path) -> None:
    code = " ".join(re.findall(r"`([^`\n]+)`", prose(read(path)))) + " ".join(b for _, b in fences(path, "sh"))
    words = set(re.findall(r"[a-z]+", code))
    assert sorted((verbs() | OWN_VERBS) - words) == []


@pytest.mark.parametrize("path", [JA, EN], ids=["ja", "en"])
def test_every_stage_has_its_row(path: Path) -> None:
    assert re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$", read(path), re.M) == list(STAGES)


def test_profiles_and_exit_codes_are_those_of_the_code() -> None:
    from so8t.core import errors

    codes = {c.exit_code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.So8tError)}
    for path in (JA, EN):
        line = next(line for line in read(path).splitlines() if "130 " in line)
        assert {int(n) for n in re.findall(r"\d+", line)} == (codes - {errors.So8tError.exit_code}) | {0, 130}


# -- all pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_images_exist(path: Path) -> None:
    text = prose(read(path))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists() and page.is_relative_to(ROOT), target
        if anchor:
            assert anchor in {slug(h) for h in re.findall(r"^#+ (.+)$", prose(read(page)), re.M)}, target


@pytest.mark.parametrize("path", [*PAGES, EXAMPLE, ROOT / "NOTICE"], ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_of_the_workplace(path: Path) -> None:
    assert re.findall(r"/work/|/tmp/w\b|TODO|FIXME|XXX", read(path)) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_documented_commands_are_understood(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the parser is asked; --offline and --torch-index stand before the verb."""
    for arguments in commands(path):
        while arguments and arguments[0] in ("--offline", "--torch-index"):
            del arguments[:2]
        if arguments and arguments[0] not in OWN_VERBS and not arguments[0].isupper():
            try:
                build_parser().parse_args(arguments)
            except SystemExit:
                pytest.fail(f"{arguments}: {capsys.readouterr().err}")


def test_decisions_are_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", read(folder / "README.md"))
    assert listed == sorted(p.name for p in folder.glob("[0-9]*.md"))


def test_changelog_names_the_version() -> None:
    version = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["version"]
    assert re.search(rf"^## \[{re.escape(version)}\]", read(ROOT / "CHANGELOG.md"), re.M)


def test_licence() -> None:
    assert tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0, January 2004" in read(ROOT / "LICENSE")
    assert "END OF TERMS AND CONDITIONS" in read(ROOT / "LICENSE") and "Apache License" in read(ROOT / "NOTICE")


# -- the data's description -----------------------------------------------------------------------------------------


def rows(path: Path) -> dict[str, list[str]]:
    """First cell of every table row -> the other cells."""
    found = (re.split(r"\s*\|\s*", line.strip("| \n")) for line in read(path).splitlines() if line.startswith("|"))
    return {cells[0]: cells[1:] for cells in found}


def test_the_data_is_as_described() -> None:
    table = rows(RESOURCES / "README.md")
    for file in [*(RESOURCES / "corpus").glob("*.jsonl"), *(RESOURCES / "requests").glob("*.jsonl")]:
        count = sum(1 for line in read(file).splitlines() if line.strip())
        assert table[file.stem][-1] == str(count), file.name
    for name, split in PASS_SPLIT.items():
        assert table[name][0].startswith(split.value), name


# -- the configuration's example ------------------------------------------------------------------------------------


def test_the_example_changes_nothing_as_it_is() -> None:
    assert load_config(path=EXAMPLE) == load_config("tiny")


def test_the_example_names_every_key_with_its_default(tmp_path: Path) -> None:
    whole = tmp_path / "so8t.toml"
    whole.write_text(KEY.sub(r"\1", read(EXAMPLE)), encoding="utf-8")
    assert load_config(path=whole) == Config(profile="tiny")
    assert keys(tomllib.loads(read(whole))) == keys(dataclasses.asdict(Config(profile="tiny")))


def keys(values: dict[str, Any], prefix: str = "") -> set[str]:
    """Dotted names of all leaves."""
    return {
        name
        for key, value in values.items()
        for name in (keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key})
    }


def test_every_key_is_explained() -> None:
    """The line above each key is a Japanese comment, not the key before."""
    for above, line in itertools.pairwise(read(EXAMPLE).splitlines()):
        if KEY.match(line):
            assert above.startswith("# ") and not KEY.match(above) and re.search(r"[ぁ-ん]", above), line


# -- figures --------------------------------------------------------------------------------------------------------


def figures_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("so8t_figures", ROOT / "benchmarks" / "figures.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(text: str) -> list[str]:
    """Seconds and shares with their numbers."""
    return re.findall(r"\d[\d.,]*\s*(?:秒|%|％|s\b|seconds\b)", text)


def test_both_readmes_show_the_same_figures() -> None:
    blocks = [FIGURES.findall(read(path)) for path in (JA, EN)]
    assert [len(b) for b in blocks] == [1, 1]
    values = [re.findall(r"^\| [^|]+ \| ([^|]*\d[^|]*) \|$", b[0], re.M) for b in blocks]
    assert values[0] == values[1] and len(values[0]) >= 20


@pytest.mark.parametrize("path", [JA, EN], ids=["ja", "en"])
def test_figures_stand_in_their_block_only(path: Path) -> None:
    assert measured(prose(FIGURES.sub("", read(path)))) == []


def test_the_script_writes_the_block(micro_run: Path, tmp_path: Path) -> None:
    script = figures_script()
    copies = [Path(shutil.copy(path, tmp_path)) for path in (JA, EN)]
    arguments = [str(micro_run), "--setup-seconds", "12.5", "--write", *map(str, copies)]
    assert script.main(arguments) == 0
    once = [read(path) for path in copies]
    assert script.main(arguments) == 0 and [read(path) for path in copies] == once
    card = json.loads(read(micro_run / "prove" / "card.json"))
    macro = card["results"][card["deployed"]]["splits"]["test"]["f1"]["macro"]["value"]
    for path, text in zip((JA, EN), once, strict=True):
        assert "| 12.5 |" in text and f"| {macro:.3f} (" in text and card["machine"]["torch"] in text
        assert FIGURES.sub("", text) == FIGURES.sub("", read(path))


def test_the_script_refuses_a_file_without_block(micro_run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="0 blocks"):
        figures_script().main([str(micro_run), "--write", str(page)])
    assert read(page) == "nothing here\n"


# -- the marked commands --------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("bash") is None, reason="the blocks are for a POSIX shell")
def test_marked_blocks_run(micro_runs: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """From a folder that holds nothing but the runs; the one of profile micro stands in for tiny as well."""
    shutil.copytree(micro_runs, tmp_path / "runs")
    shutil.copytree(micro_runs / "micro", tmp_path / "runs" / "tiny")
    blocks = [body for mark, body in fences(JA, "sh") if mark == "micro"]
    assert len(blocks) >= 6
    for block in blocks:
        script = block.replace(START, f"{shlex.quote(sys.executable)} -m so8t")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True,
            encoding="utf-8", stdin=subprocess.DEVNULL, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    check_results(tmp_path)


def check_results(folder: Path) -> None:
    """What the READMEs say of the results is so."""
    verdicts = [json.loads(line) for line in read(folder / "verdicts.jsonl").splitlines()]
    assert [v["id"] for v in verdicts] == ["1", "2"] and verdicts[1]["decision"] == "DENY"
    assert all(len(v["opinions"]) == 3 for v in verdicts)
    assert all(sum(v["probabilities"].values()) == pytest.approx(1, abs=1e-5) for v in verdicts)
    assert {"domain", "confidence"} <= json.loads(read(folder / "domains.jsonl")).keys()
    assert json.loads(read(folder / "scores.jsonl"))["kept"] is True
    assert len(read(folder / "ledger.jsonl").splitlines()) >= 14
    sources = json.loads(read(folder / "runs" / "own" / "collect" / "collection_stats.json"))["sources"]
    assert [(s["name"], s["kept"] > 0) for s in sources] == [("mytexts", True), ("starter", True)]
