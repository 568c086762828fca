"""The setting that a comparison varies: the plan's four ideas by name, or any setting of the training by its key."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from so8t.core.config import Config, TrainConfig
from so8t.core.errors import ConfigKeyUnknown, ConfigValueInvalid, UsageError

# The control first: the plan's own comparison is PET off against PET on (plan 9.3).
IDEAS = {
    "pet": "train.pet.enabled=false,true",
    "gate": "train.gate.enabled=false,true",
    "parametrisation": "train.gate.parametrisation=exp,cayley",
    "normalisation": "train.pet.normalisation=scale-free,mean,literal",
}
MOST_VALUES = 8
_SWITCH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Factor:
    """A dotted key of the configuration and the values to try, the control first."""

    key: str
    values: tuple[Any, ...]


def factor_of(text: str, allowed: Collection[str]) -> Factor:
    """By name, or "train.learning_rate=1e-3,2e-3". `allowed`: the settings of `train` that no earlier stage depends on.

    Raises UsageError for one value or too many, ConfigKeyUnknown for a key that is none, ConfigValueInvalid for a value
    that does not fit it.
    """
    key, _, listed = IDEAS.get(text, text).partition("=")
    words = [word.strip() for word in listed.split(",") if word.strip()]
    if not 2 <= len(words) <= MOST_VALUES:
        raise UsageError(detail=f"--vary {text}: {' | '.join(IDEAS)} | train.KEY=a,b (2–{MOST_VALUES})")
    hint = _hint(key)
    if ".".join(key.split(".")[:2]) not in allowed:
        raise UsageError(detail=f"--vary {key}: data and base would differ too")
    values = tuple(_value(hint, word, key) for word in words)
    if len(set(values)) < len(values):
        raise UsageError(detail=f"--vary {text}: the same value twice")
    return Factor(key, values)


def varied(config: Config, key: str, value: Any) -> Config:
    """The configuration with one setting changed."""
    changed: Config = _replaced(config, key.split("."), value)
    return changed


def _replaced(part: Any, names: list[str], value: Any) -> Any:
    own = value if len(names) == 1 else _replaced(getattr(part, names[0]), names[1:], value)
    return dataclasses.replace(part, **{names[0]: own})


def _hint(key: str) -> Any:
    """The type of a setting below [train]."""
    names = key.split(".")
    found: Any = TrainConfig
    for name in names[1:] if names[0] == "train" else ["", *names]:
        hints = get_type_hints(found) if dataclasses.is_dataclass(found) else {}
        if name not in hints:
            near = difflib.get_close_matches(name, hints, 1)
            raise ConfigKeyUnknown(where="--vary", detail=key + (f" -> {near[0]}?" if near else ""))
        found = hints[name]
    return found


def _value(hint: Any, word: str, key: str) -> Any:
    """A word of the command line as a value of its setting."""
    value: Any = None
    if get_origin(hint) is Literal:
        value, expected = word if word in get_args(hint) else None, " | ".join(get_args(hint))
    elif hint is bool:
        value, expected = _SWITCH.get(word), "true | false"
    elif hint in (int, float):
        value, expected = _number(hint, word), hint.__name__
    else:
        expected = "bool | int | float | literal"
    if value is None:
        raise ConfigValueInvalid(where="--vary", detail=f"{key} = {word!r} ({expected})")
    return value


def _number(hint: type, word: str) -> int | float | None:
    try:
        value: int | float = hint(word)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None
