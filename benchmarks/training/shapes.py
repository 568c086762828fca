"""The shapes the training benchmarks run: random Phi-3 models, random tokens, the same for every contestant."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from so8t.build.model.losses import IGNORE
from so8t.build.train.dataset import Encoded
from so8t.core.config import CheckpointConfig, LoraConfig, NoiseConfig, PetConfig, SwaConfig, TrainConfig

STEPS = 64  # optimizer steps an epoch of the made data lasts


@dataclass(frozen=True, slots=True)
class Case:
    """A model's shape and how it is trained. `masked`: share of each row that is prompt and does not count."""

    name: str
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    batch: int
    accumulation: int
    length: int
    rank: int
    dropout: float
    smoothing: float = 0.1
    masked: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens an optimizer step."""
        return self.batch * self.accumulation * self.length

    def words(self) -> str:
        return (
            f"{self.layers} layers, hidden {self.hidden}, intermediate {self.intermediate}, vocabulary "
            f"{self.vocabulary}, {self.heads} query and {self.kv_heads} KV heads; {self.accumulation} x {self.batch} x "
            f"{self.length} tokens a step, {self.masked:.0%} masked, LoRA rank {self.rank}, dropout {self.dropout}"
        )


# hidden, intermediate, layers, heads of profile tiny; the 100M shape has 100.1 M parameters.
TINY = Case("tiny", 4096, 256, 768, 4, 8, 4, batch=16, accumulation=1, length=256, rank=32, dropout=0.0)
MEDIUM = Case("100M", 32064, 768, 2048, 12, 12, 4, batch=2, accumulation=4, length=256, rank=32, dropout=0.1)
WIDE = Case("vocabulary", 200_064, 1024, 3072, 4, 16, 8, batch=2, accumulation=1, length=1024, rank=16, dropout=0.0)
CASES = {case.name: case for case in (TINY, MEDIUM, WIDE)}


def causal(case: Case) -> Any:
    """A random frozen Phi-3 in fp32, as Phi-4-mini is built: tied embeddings, partial rotary, grouped KV heads."""
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    torch.manual_seed(8)
    config = Phi3Config(
        vocab_size=case.vocabulary, hidden_size=case.hidden, intermediate_size=case.intermediate,
        num_hidden_layers=case.layers, num_attention_heads=case.heads, num_key_value_heads=case.kv_heads,
        max_position_embeddings=4096, original_max_position_embeddings=4096, sliding_window=None,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75},
        tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = Phi3ForCausalLM(config)
    model.requires_grad_(False)
    return model


def frozen(model: Any) -> int:
    """Parameters of the base: what is not trained."""
    return sum(p.numel() for p in model.parameters() if not p.requires_grad)


def rows(case: Case, steps: int = STEPS) -> list[Encoded]:
    """Rows of one length, so that every contestant sees the same shapes whatever order it draws them in."""
    generator = random.Random(8)
    prompt = round(case.masked * case.length)
    made = []
    for _ in range(case.batch * case.accumulation * steps):
        ids = tuple(generator.randrange(1, case.vocabulary) for _ in range(case.length))
        labels = (IGNORE,) * prompt + ids[prompt:]
        made.append(Encoded(ids, labels, (0.0,) * prompt + (1.0,) * (case.length - prompt)))
    return made


def train_config(case: Case, pet: bool) -> TrainConfig:
    """Gate, PET, noise and SWA as the plan has them; the average is taken from the first step on, so it is measured."""
    return TrainConfig(
        epochs=10.0, batch_size=case.batch, accumulation=case.accumulation, maximum_tokens=case.length, clip=1.0,
        label_smoothing=case.smoothing, dropout=0.0, seed=8, lora=LoraConfig(case.rank, 2 * case.rank, case.dropout),
        noise=NoiseConfig(), pet=PetConfig(enabled=pet), swa=SwaConfig(start=0.0), checkpoint=CheckpointConfig(1e9),
    )  # fmt: skip
