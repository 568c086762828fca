"""The contestants that run in TRL's SFTTrainer: PEFT's LoRA without gates, with and without label smoothing.

With label smoothing TRL 1.16 makes the full logits and then runs the whole model once more, without gradients, for its
metrics; without it the loss comes from its fused head. The second is TRL at its fastest and the harder one to meet.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from typing import Any

from training.shapes import Case, causal, frozen, rows
from training.turns import Turns

NAMES = ("trl", "trl-nll")
HOW_TO_INSTALL = (
    "trl is not installed. Beside an installed so8t: pip install --no-deps --target DIR -r requirements/bench.in, "
    "then set PYTHONPATH=DIR (it needs accelerate and datasets too)."
)


def installed() -> bool:
    return all(importlib.util.find_spec(name) for name in ("trl", "accelerate", "datasets"))


def drive(name: str, case: Case, turns: Turns) -> None:
    trainer = make_trainer(name, case)
    trainer.add_callback(_callback(turns)())
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    turns.ready(trained=trained, model=frozen(trainer.model))
    trainer.train()


def make_trainer(name: str, case: Case) -> Any:
    from training.ours import lora

    trl: Any = importlib.import_module("trl")
    data: Any = importlib.import_module("datasets")
    made = rows(case)
    table = data.Dataset.from_dict({"input_ids": [r.ids for r in made], "labels": [r.labels for r in made]})
    settings = trl.SFTConfig(
        tempfile.mkdtemp(prefix="trl-benchmark-"), per_device_train_batch_size=case.batch, bf16=False, use_cpu=True,
        gradient_accumulation_steps=case.accumulation, max_length=case.length, max_steps=640, learning_rate=2e-4,
        lr_scheduler_type="cosine", warmup_steps=64, weight_decay=0.05, max_grad_norm=1.0, seed=8, save_strategy="no",
        label_smoothing_factor=case.smoothing if name == "trl" else 0.0, gradient_checkpointing=False,
        report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    targets = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
    return trl.SFTTrainer(
        causal(case), settings, train_dataset=table, processing_class=_tokenizer(), peft_config=lora(case, targets)
    )


def _callback(turns: Turns) -> Any:
    """A step lasts from our turn to the end of the next step: fetching and collating the data is part of it."""
    from transformers import TrainerCallback

    class TakesTurns(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if not turns.wait():
                control.should_training_stop = True

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            turns.done()
            if not turns.wait():
                control.should_training_stop = True

    return TakesTurns


def _tokenizer() -> Any:
    """The data is tokens already; the trainer still wants to see a tokenizer."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({"<pad>": 0}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<pad>", bos_token="<pad>")
