"""The contestants that run in so8t's own training loop: so8t itself, plain LoRA, PEFT's OFT, the literal gate."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig as PeftLora
from peft import OFTConfig, get_peft_model

from so8t.build.model.attach import GatedModel, attach
from so8t.build.train.trainer import Trainer
from so8t.core.config import GateConfig, LoraConfig
from so8t.core.progress import Progress
from training.literal import attach_literal
from training.shapes import Case, causal, frozen, rows, train_config
from training.turns import Turns

PET = {"so8t", "literal"}  # these smooth; the others have what is left without gate and PET
NAMES = ("so8t", "gates", "plain", "oft", "oft-neumann", "oft-all", "literal", "literal-exp")


def drive(name: str, case: Case, turns: Turns) -> None:
    trainer = make_trainer(name, case)
    trained = sum(p.numel() for p in trainer.model.parameters().values())
    trainer.model.train()
    turns.ready(trained=trained, model=frozen(trainer.model.causal))
    step = 0
    while turns.wait():
        turns.done(loss=trainer.step(step).loss)
        step += 1


def make_trainer(name: str, case: Case, device: str = "cpu") -> Trainer:
    model = MODELS[name](case)
    work = Path(tempfile.mkdtemp(prefix="so8t-benchmark-"))
    return Trainer(
        model, rows(case), rows(case, 1), train_config(case, name in PET), 0, work, Progress(stream=io.StringIO()),
        device=torch.device(device),
    )  # fmt: skip


def gated(case: Case, gate: bool) -> GatedModel:
    return attach(causal(case), LoraConfig(case.rank, 2 * case.rank, case.dropout), GateConfig(enabled=gate))


def literal(case: Case, orthogonalise: bool) -> GatedModel:
    model = gated(case, False)
    attach_literal(model.peft, case.hidden, orthogonalise)
    return model


def oft(case: Case, neumann: bool, everywhere: bool) -> GatedModel:
    """PEFT's OFT with blocks of 8 on o_proj (exact Cayley, or its approximation), LoRA on the rest or on all four."""
    targets = ["qkv_proj", "gate_up_proj", "down_proj", *(["o_proj"] if everywhere else [])]
    turn = OFTConfig(target_modules=["o_proj"], oft_block_size=8, use_cayley_neumann=neumann)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft: Any = get_peft_model(causal(case), lora(case, targets), adapter_name="lora", mixed=True)
        peft.add_adapter("rotation", turn)
        peft.set_adapter(["lora", "rotation"])
    peft.get_base_model = lambda: peft.base_model.model  # PeftMixedModel has none
    return GatedModel(peft, None)


def lora(case: Case, targets: list[str]) -> PeftLora:
    return PeftLora(
        r=case.rank, lora_alpha=2 * case.rank, lora_dropout=case.dropout, target_modules=targets, bias="none"
    )


MODELS = {
    "so8t": lambda case: gated(case, True),
    "gates": lambda case: gated(case, True),
    "plain": lambda case: gated(case, False),
    "oft": lambda case: oft(case, False, False),
    "oft-neumann": lambda case: oft(case, True, False),
    "oft-all": lambda case: oft(case, True, True),
    "literal": lambda case: literal(case, True),
    "literal-exp": lambda case: literal(case, False),
}
