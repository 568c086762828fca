"""The commands that share a stage out, as two machines would call them; and a kill at any moment loses nothing."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from so8t.core.files import hash_folder

from .conftest import Cli

TEXTS = 9000


def corpus(folder: Path) -> Path:
    """Two files of distinct texts; each is a source, so each is a unit."""
    folder.mkdir()
    rng = random.Random(5)
    words = [
        "棚卸し",
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
        "検品",
    ]
    for name in ("a", "b"):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as f:
            for n in range(TEXTS // 2):
                a, b, c, d = rng.sample(words, 4)
                text = f"{a}の担当は{n}番の{b}の記録を読み、{c}の順番を{rng.randint(2, 999)}回目の{d}の前に入れ替えた。"
                text += f"{d}が終わったら、{rng.randint(2, 999)}番の棚に{a}の控えを戻し、{c}の表に日付を書き入れる。"
                f.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shards")
    folder = corpus(place / "in")
    sources = "".join(f'[[collect.sources]]\npath = "{folder / name}.jsonl"\n' for name in ("a", "b"))
    head = 'profile = "micro"\nthreads = 1\n[collect]\nmaximum_samples = 100000\nmaximum_per_domain = 0\n'
    (place / "so8t.toml").write_text(head + sources, encoding="utf-8")
    return place / "so8t.toml"


@pytest.fixture(scope="module")
def whole(config: Path, so8t_process: Cli) -> dict[str, str]:
    """What one machine makes in one go."""
    runs = config.parent / "whole"
    done = so8t_process("collect", "--config", config, "--runs", runs)
    assert done.returncode == 0, done.stderr[-2000:]
    return hash_folder(runs / "micro" / "collect")


@pytest.mark.slow
def test_two_machines(config: Path, whole: dict[str, str], tmp_path: Path, so8t_process: Cli) -> None:
    for shard in ("1/2", "0/2"):
        done = so8t_process("collect", "--config", config, "--runs", tmp_path, "--shard", shard, "--json")
        assert done.returncode == 0 and json.loads(done.stdout)["units"] == [int(shard[0])]
    assert so8t_process("collect", "--config", config, "--runs", tmp_path).returncode == 0
    assert hash_folder(tmp_path / "micro" / "collect") == whole


@pytest.mark.slow
def test_killed_at_random_it_ends_the_same(
    config: Path, whole: dict[str, str], tmp_path: Path, environment: dict[str, str], so8t_process: Cli
) -> None:
    seed = random.Random().randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    command = [sys.executable, "-m", "so8t", "collect", "--config", str(config), "--runs", str(tmp_path)]
    for _ in range(4):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(1.0, 12.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = so8t_process("collect", "--config", config, "--runs", tmp_path)
    assert done.returncode == 0, (seed, done.stderr[-2000:])
    assert hash_folder(tmp_path / "micro" / "collect") == whole, seed


@pytest.mark.parametrize("shard", ["2/2", "x", "1/0", "-1/2", "1/2/3"])
def test_a_share_that_is_none(shard: str, tmp_path: Path, so8t_process: Cli) -> None:
    done = so8t_process("multimodal", "--profile", "micro", "--runs", tmp_path, f"--shard={shard}")
    assert done.returncode == 2 and "--shard" in done.stderr
