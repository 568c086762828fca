"""What --vary takes: the plan's ideas by name, any setting of the training, and nothing that changes data or base."""

from __future__ import annotations

import pytest

from so8t.core.config import Config, load_config
from so8t.core.errors import ConfigKeyUnknown, ConfigValueInvalid, UsageError
from so8t.pipeline import TRAINING, TRAINING_DATA
from so8t.prove.ablation.factors import IDEAS, Factor, factor_of, varied

ALLOWED = frozenset(TRAINING) - frozenset(TRAINING_DATA)


@pytest.mark.parametrize("idea", IDEAS)
def test_the_ideas_of_the_plan(idea: str, micro_config: Config) -> None:
    factor = factor_of(idea, ALLOWED)
    made = [varied(micro_config, factor.key, value) for value in factor.values]
    assert len(set(map(repr, made))) == len(factor.values) >= 2
    assert micro_config in made  # what the profile has is one of them


def test_pet_off_is_the_control() -> None:
    assert factor_of("pet", ALLOWED) == Factor("train.pet.enabled", (False, True))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("train.learning_rate=1e-3,2e-3", (1e-3, 2e-3)),
        ("train.lora.rank=4, 8,16", (4, 8, 16)),
        ("train.noise.scale=relative,absolute", ("relative", "absolute")),
        ("train.packing=false,true", (False, True)),
    ],
)
def test_any_setting_of_the_training(text: str, values: tuple[object, ...]) -> None:
    assert factor_of(text, ALLOWED).values == values


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", UsageError),
        ("train.epochs", UsageError),
        ("train.epochs=1", UsageError),
        ("train.epochs=1,1", UsageError),
        ("train.lora.rank=" + ",".join(map(str, range(9))), UsageError),
        ("train.maximum_tokens=128,256", UsageError),  # the base is trained on the same rows
        ("train.seed=1,2", UsageError),
        ("train.checkpoint.seconds=1,2", UsageError),
        ("train.epoks=1,2", ConfigKeyUnknown),
        ("train.pet.enabled.deeper=1,2", ConfigKeyUnknown),
        ("base.steps=1,2", ConfigKeyUnknown),
        ("train=1,2", UsageError),
        ("train.epochs=1,1.0", UsageError),
        ("train.epochs=1,many", ConfigValueInvalid),
        ("train.epochs=1,-2", ConfigValueInvalid),
        ("train.epochs=1,nan", ConfigValueInvalid),
        ("train.epochs=1,inf", ConfigValueInvalid),
        ("train.batch_size=1,2.5", ConfigValueInvalid),
        ("train.packing=yes,no", ConfigValueInvalid),
        ("train.pet.normalisation=mean,median", ConfigValueInvalid),
        ("train.betas=0.9,0.8", ConfigValueInvalid),
    ],
)
def test_what_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        factor_of(text, ALLOWED)
    assert type(caught.value) is error


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(ConfigKeyUnknown) as caught:
        factor_of("train.epoch=1,2", ALLOWED)
    assert "epochs" in caught.value.detail


def test_only_the_one_setting_changes() -> None:
    config = load_config("tiny")
    made = varied(config, "train.gate.parametrisation", "cayley")
    assert made.train.gate.parametrisation == "cayley" and varied(made, "train.gate.parametrisation", "exp") == config
