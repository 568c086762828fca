"""The configuration that a finished training was made with, from its manifest: what is measured is what was trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_type_hints

from so8t.core.config import Config, PromptConfig, TrainConfig
from so8t.core.errors import RecordInvalid
from so8t.core.run import Manifest

TRAIN = "train."


def trained_config(manifest: Manifest, where: str) -> Config:
    """Sections train and prompt as the manifest has them; the others do not matter any more.

    Raises RecordInvalid for settings that this version does not know or whose shape is not theirs.
    """
    values = {k.removeprefix(TRAIN): v for k, v in manifest.config.items() if k.startswith(TRAIN)}
    train: TrainConfig = _build(TrainConfig, values, where)
    prompt: PromptConfig = _build(PromptConfig, manifest.config.get("prompt", {}), where)
    return Config(profile="", train=train, prompt=prompt)


def _build(cls: type[Any], values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise RecordInvalid(where=where, detail=cls.__name__)
    hints = get_type_hints(cls)
    if unknown := sorted(values.keys() - hints.keys()):
        raise RecordInvalid(where=where, detail=f"{cls.__name__}: {', '.join(unknown)}")
    made = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(hints[name]):
            made[name] = _build(hints[name], value, where)
        else:
            made[name] = tuple(value) if isinstance(value, list) else value
    return cls(**made)
