"""so8t.toml: every mistake is one error with file and line, and nothing unknown is ever ignored."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from so8t.core.config import Config, SourceConfig, TrainConfig, differences, load_config, profile_names
from so8t.core.errors import ConfigKeyUnknown, ConfigUnreadable, ConfigValueInvalid, ProfileUnknown
from so8t.core.serve_config import RANGES, ServeConfig


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "so8t.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", profile_names())
def test_every_packaged_profile_loads(name: str) -> None:
    config = load_config(name)
    assert config.profile == name
    assert json.dumps(config.section("train"))  # plain JSON values
    assert config.prove.deploy in config.export.quantisations


def test_the_profiles_that_the_issue_names() -> None:
    assert {"tiny", "micro", "phi4-mini-12gb"} <= set(profile_names())
    big = load_config("phi4-mini-12gb")
    assert (big.train.lora.rank, big.train.lora.alpha, big.train.learning_rate) == (64, 128, 2e-4)  # plan 4.1
    assert load_config().profile == "tiny"


def test_rows_of_the_tiny_model_are_divisible_by_256() -> None:
    """Q4_K_M means something only then."""
    for name in ("tiny", "micro"):
        base = load_config(name).base
        assert base.hidden_size % 256 == 0 and base.intermediate_size % 256 == 0


def test_overlay_keeps_what_it_does_not_name(tmp_path: Path) -> None:
    path = written(tmp_path, 'profile = "micro"\n[train]\nlearning_rate = 1\n[train.lora]\nrank = 2\n')
    config, plain = load_config(path=path), load_config("micro")
    assert config.train.lora == dataclasses.replace(plain.train.lora, rank=2)
    assert config.train == dataclasses.replace(plain.train, learning_rate=1.0, lora=config.train.lora)
    assert isinstance(config.train.learning_rate, float)
    assert config == dataclasses.replace(plain, train=config.train)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'profile = "micro"\nthreads = 3\n')
    config = load_config("tiny", path)
    assert (config.profile, config.threads, config.base.vocab_size) == ("tiny", 3, load_config("tiny").base.vocab_size)


def test_lists_are_replaced(tmp_path: Path) -> None:
    path = written(tmp_path, '[collect]\nsources = ["a", "b"]\n')
    assert load_config("micro", path).collect.sources == (SourceConfig("a"), SourceConfig("b"))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("threads = 2\ntrian = 1\n", 2, ["trian", "train"]),
        ("[train]\nepochs = 1.0\nlearning_rte = 1.0\n", 3, ["train.learning_rte", "learning_rate"]),
        ("[train]\n\n[train.lora]\nrnak = 3\n", 4, ["train.lora.rnak", "rank"]),
        ("[colect]\nsources = []\n", 1, ["colect", "collect"]),
    ],
)
def test_unknown_key(tmp_path: Path, text: str, line: int, words: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigKeyUnknown) as caught:
        load_config("micro", path)
    assert caught.value.where == f"{path}:{line}"
    for word in words:
        assert word in caught.value.detail
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("threads = true\n", 1, "threads"),
        ('threads = "2"\n', 1, "threads"),
        ("threads = 2.5\n", 1, "threads"),
        ("threads = -1\n", 1, "threads"),
        ("[train]\nlearning_rate = -0.1\n", 2, "train.learning_rate"),
        ('[train]\nlearning_rate = "fast"\n', 2, "train.learning_rate"),
        ('[train]\ngradient_checkpointing = "yes"\n', 2, "train.gradient_checkpointing"),
        ("[train]\ngradient_checkpointing = 1\n", 2, "train.gradient_checkpointing"),
        ('[train]\nquantization = "int4"\n', 2, "train.quantization"),
        ('[collect]\nsources = "starter"\n', 2, "collect.sources"),
        ("[collect]\nsources = [1]\n", 2, "collect.sources"),
        ("collect = 3\n", 1, "collect"),
        ("[train]\nlora = 8\n", 2, "train.lora"),
        ("[train]\nbetas = [0.9, -0.1]\n", 2, "train.betas"),
        ("[train]\nlearning_rate = nan\n", 2, "train.learning_rate"),
        ("[train]\nlearning_rate = inf\n", 2, "train.learning_rate"),
    ],
)
def test_invalid_value(tmp_path: Path, text: str, line: int, key: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigValueInvalid) as caught:
        load_config("micro", path)
    assert caught.value.where == f"{path}:{line}"
    assert caught.value.detail.startswith(key)


def test_a_line_is_looked_for_in_its_own_table(tmp_path: Path) -> None:
    path = written(tmp_path, "[base]\nlearning_rate = 0.1\n[train]\nlearning_rate = -1.0\n")
    with pytest.raises(ConfigValueInvalid) as caught:
        load_config("micro", path)
    assert caught.value.where == f"{path}:4"


@pytest.mark.parametrize("text", ["threads =\n", "[train\n", "a = 1\na = 2\n", "\x00"])
def test_bad_toml(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigUnreadable) as caught:
        load_config("micro", path)
    assert str(path) in caught.value.where
    assert "line" in caught.value.detail


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnreadable, match="nowhere"):
        load_config("micro", tmp_path / "nowhere.toml")
    with pytest.raises(ConfigUnreadable):
        load_config("micro", tmp_path)
    (tmp_path / "sjis.toml").write_bytes("# 設定\n".encode("shift_jis"))
    with pytest.raises(ConfigUnreadable, match="sjis"):
        load_config("micro", tmp_path / "sjis.toml")


@pytest.mark.parametrize("name", ["tyni", "../tiny", "tiny.toml", "phi4"])
def test_unknown_profile(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProfileUnknown) as caught:
        load_config(name)
    assert "micro" in caught.value.where  # the list to choose from
    with pytest.raises(ProfileUnknown):
        load_config(path=written(tmp_path, f'profile = "{name}"\n'))


def test_unknown_profile_suggests() -> None:
    with pytest.raises(ProfileUnknown, match=r"tinny -> tiny\?"):
        load_config("tinny")


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().epochs = 1.0  # type: ignore[misc]
    assert Config("x").section("prompt") == {"style": "full"}


def test_differences() -> None:
    old = {"train": {"epochs": 1.0, "lora": {"rank": 4}, "betas": (0.9, 0.999)}, "gone": 1}
    new = {"train": {"epochs": 2.0, "lora": {"rank": 4}, "betas": [0.9, 0.999]}, "added": [1]}
    assert differences(old, new) == ["added: None -> [1]", "gone: 1 -> None", "train.epochs: 1.0 -> 2.0"]
    assert differences(old, old) == []
    assert differences({"a": {"b": 1}}, {"a": 3}) == ["a: {'b': 1} -> 3"]


def test_a_list_of_tables_or_of_their_first_keys(tmp_path: Path) -> None:
    path = tmp_path / "so8t.toml"
    path.write_text('[collect]\nsources = ["starter", "data/*.txt"]\n', encoding="utf-8")
    assert load_config("micro", path).collect.sources == (SourceConfig("starter"), SourceConfig("data/*.txt"))
    path.write_text('[[collect.sources]]\npath = "a"\nshare = 1\n[[collect.sources]]\npath = "b"\n', encoding="utf-8")
    assert load_config("micro", path).collect.sources == (SourceConfig("a", share=1.0), SourceConfig("b"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[collect]\nsources = "starter"\n', 2),
        ("[collect]\nsources = [3]\n", 2),
        ('[[collect.sources]]\npath = "a"\nshare = "half"\n', 3),
        ('[[collect.sources]]\npath = "a"\n[[collect.sources]]\nshare = -1.0\n', 4),
    ],
)
def test_a_bad_source_is_named(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "so8t.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigValueInvalid) as caught:
        load_config("micro", path)
    assert caught.value.where == f"{path}:{line}"


def numbers(cls: Any, prefix: str) -> Iterator[str]:
    """The keys of so8t.toml below a section that hold a number."""
    for key, hint in get_type_hints(cls).items():
        inner = next((one for one in (hint, *get_args(hint)) if dataclasses.is_dataclass(one)), None)
        if inner is not None:
            yield from numbers(inner, f"{prefix}{key}.")
        elif hint in (int, float):
            yield prefix + key


def test_every_number_of_the_server_has_a_range() -> None:
    assert set(numbers(ServeConfig, "serve.")) == set(RANGES)
    for key, (low, high) in RANGES.items():
        assert 0 <= low < high, key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[serve]\nport = 99999\n", "serve.port"), ("[serve]\nport = 65536\n", "serve.port"),
        ("[serve]\nconcurrent = 0\n", "serve.concurrent"), ("[serve]\njudge_seconds = 0\n", "serve.judge_seconds"),
        ("[serve.upstream]\nslots = 0\n", "serve.upstream.slots"),
        ("[serve.identity]\nattempts = 0\n", "serve.identity.attempts"),
        ("[serve.monitor]\ninterval_seconds = 0\n", "serve.monitor.interval_seconds"),
        ("[serve.intake]\nmegabytes = 99999\n", "serve.intake.megabytes"),
    ],
)  # fmt: skip
def test_numbers_out_of_their_range(tmp_path: Path, text: str, key: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigValueInvalid) as caught:
        load_config("micro", path)
    assert caught.value.where == f"{path}:2" and caught.value.detail.startswith(key) and "≤ x ≤" in caught.value.detail


def test_ports_that_there_are(tmp_path: Path) -> None:
    for port in (0, 1, 8008, 65535):
        assert load_config("micro", written(tmp_path, f"[serve]\nport = {port}\n")).serve.port == port
