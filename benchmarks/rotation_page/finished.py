"""A finished run as the pictures need it: its settings, its model in any precision, its prompts and its texts.

Nothing is written into the run.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

import torch
from safetensors.torch import load_file
from torch import Tensor

from so8t.build.burnin.prompts import proof_prompts
from so8t.build.data.sample_lines import load_samples, split_file
from so8t.build.model.attach import GatedModel, attach
from so8t.build.model.loading import load_causal, load_tokenizer
from so8t.build.model.tokenizer import chat_format
from so8t.build.train.dataset import Batch, Encoded, collate, encode
from so8t.build.train.samples import training_samples
from so8t.build.train.stage import base_folder
from so8t.build.train.swa import copy_into
from so8t.core.config import BurnInConfig, Config, PromptConfig, TrainConfig
from so8t.core.progress import Progress
from so8t.core.run import Run, StageContext
from so8t.core.types import Split


def settings(cls: type[Any], values: Mapping[str, Any]) -> Any:
    """A section of a manifest's configuration -> its dataclass."""
    hints, given = get_type_hints(cls), {}
    for name, value in values.items():
        nested = dataclasses.is_dataclass(hints[name])
        given[name] = settings(hints[name], value) if nested else tuple(value) if isinstance(value, list) else value
    return cls(**given)


def whole_sections(config: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's configuration by section: it names whole ones, or "section.key" where a stage depends on a part."""
    sections: dict[str, Any] = {}
    for name, value in config.items():
        section, _, key = name.partition(".")
        if key:
            sections.setdefault(section, {})[key] = value
        else:
            sections[section] = value
    return sections


@dataclass(frozen=True)
class Finished:
    """runs/NAME after the stage burnin."""

    folder: Path

    @cached_property
    def context(self) -> StageContext:
        """What the stage burnin was given, from what the manifests say."""
        run = Run(self.folder)
        sections: dict[str, Any] = {}
        for stage in ("train", "burnin"):
            run.require(stage)
            manifest = run.manifest(stage)
            assert manifest is not None
            sections |= whole_sections(manifest.config)
        kinds = {"train": TrainConfig, "prompt": PromptConfig, "burnin": BurnInConfig}
        made = {name: settings(kind, sections[name]) for name, kind in kinds.items()}
        quiet = Progress(stream=io.StringIO())
        return StageContext(run, Config(profile=self.folder.name, **made), "burnin", quiet)

    @property
    def train(self) -> TrainConfig:
        return self.context.config.train

    @cached_property
    def base(self) -> Path:
        return base_folder(self.context)

    @cached_property
    def tokenizer(self) -> Any:
        return load_tokenizer(self.base)

    @cached_property
    def skew(self) -> Tensor:
        """The learned numbers of all gates, [layers, blocks, 28] fp64. SystemExit for a run without gates."""
        tensors = load_file(self.context.input("train") / "adapter.safetensors")
        if "rotations.skew" not in tensors:
            raise SystemExit(f"{self.folder}: trained without gates, there is nothing to draw")
        return tensors["rotations.skew"].double()

    def gated(self, dtype: torch.dtype = torch.float32, trained: bool = True) -> GatedModel:
        """The base with LoRA and gates, rotations made in at least fp32; `trained` False: as training found it."""
        torch.manual_seed(self.train.seed)
        model = attach(load_causal(self.base, dtype), self.train.lora, self.train.gate)
        if trained:
            copy_into(model.parameters(), load_file(self.context.input("train") / "adapter.safetensors"))
        assert model.rotations is not None
        model.rotations.refresh()
        if dtype == torch.float64:
            model.rotations.leaves = list(model.rotations.matrices(dtype).detach())
        model.train(False)
        return model

    @cached_property
    def prompts(self) -> list[list[int]]:
        """Token ids of the prompts that the stage burnin compared on."""
        config = self.context.config.burnin
        texts = proof_prompts(self.context, config.prompts)
        return [self.tokenizer(p, add_special_tokens=False)["input_ids"][: config.tokens] for p in texts]

    @cached_property
    def texts(self) -> list[list[int]]:
        """Token ids of the plain texts that were held back from training."""
        samples = load_samples([split_file(self.context.input("validate"), Split.VALIDATION)])
        return [self.tokenizer(s.text, add_special_tokens=False)["input_ids"] for s in samples if s.kind == "text"]

    @cached_property
    def encoded(self) -> tuple[list[Encoded], list[Encoded]]:
        """(train, validation) as the trainer was given them."""
        found = training_samples(self.context.input("validate"), self.train)
        chat, style, config = chat_format(self.base), self.context.config.prompt.style, self.train
        train, validation = (
            [encode(s, self.tokenizer, chat, style, config.maximum_tokens, config.label_weight) for s in samples]
            for samples in found
        )
        return train, validation

    def batch(self, start: int, count: int) -> Batch:
        """Some training samples in the order of their file, padded to the longest."""
        return collate(self.encoded[0][start : start + count], self.tokenizer.pad_token_id, torch.device("cpu"))

    def facts(self, stage: str) -> dict[str, Any]:
        return self.context.facts(stage)

    def json(self, *place: str) -> Any:
        return json.loads(self.folder.joinpath(*place).read_text(encoding="utf-8"))
