"""What a configuration takes, computed before anything is downloaded or trained (plan 1.2, 6.1, 7.1; SPEC T6, D9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from so8t.build.model.shape import gate_parameters
from so8t.core.config import Config
from so8t.core.files import read_json
from so8t.core.types import Domain

GIB = 2**30
# Phi-4-mini-instruct's own configuration, for a plan made before the model is at hand (SPEC M1).
PHI4_MINI: Mapping[str, Any] = {
    "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 24,
    "num_key_value_heads": 8, "vocab_size": 200064, "tie_word_embeddings": True,
}  # fmt: skip
WEIGHT_BYTES = {"none": 2.0, "int8": 1.0, "nf4": 0.5}
CHUNK = 1024  # tokens whose logits exist at a time (build/model/losses.py)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the plan: our figure, the plan document's, and where ours comes from."""

    ja: str
    en: str
    value: str
    plan: str
    basis: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Parameter arithmetic of a decoder with fused or split projections."""

    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, c: Mapping[str, Any]) -> ModelShape:
        return cls(
            c["hidden_size"], c["intermediate_size"], c["num_hidden_layers"], c["num_attention_heads"],
            c["num_key_value_heads"], c["vocab_size"], bool(c.get("tie_word_embeddings")),
        )  # fmt: skip

    @property
    def qkv(self) -> int:
        return self.hidden + 2 * self.kv_heads * (self.hidden // self.heads)

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def linear(self) -> int:
        """Weights of the four fused projections of all layers."""
        per_layer = self.hidden * (self.qkv + self.hidden + 2 * self.feed_forward) + self.feed_forward * self.hidden
        return self.layers * per_layer

    @property
    def total(self) -> int:
        norms = (2 * self.layers + 1) * self.hidden
        return self.linear + self.embedding * (1 if self.tied else 2) + norms

    def lora(self, rank: int) -> int:
        """qkv, o, gate_up, down: rank x (in + out) each (plan 2.1)."""
        h, f = self.hidden, self.feed_forward
        return self.layers * rank * ((h + self.qkv) + 2 * h + (h + 2 * f) + (f + h))


def shape_of(config: Config) -> ModelShape:
    """From the model folder if it is there, from the tiny profile's numbers, else Phi-4-mini's."""
    base = config.base
    if base.path:
        return ModelShape.of(read_json(Path(base.path).expanduser() / "config.json"))
    if config.profile.startswith("phi4"):
        return ModelShape.of(PHI4_MINI)
    return ModelShape(
        base.hidden_size, base.intermediate_size, base.layers, base.heads, base.kv_heads, base.vocab_size, True
    )


def memory(config: Config, shape: ModelShape) -> dict[str, float]:
    """Bytes by part while training. Activations: checkpointed inputs of every layer plus one layer at work."""
    train = config.train
    tokens = train.batch_size * train.maximum_tokens
    trained = shape.lora(train.lora.rank) + gate_parameters(shape.layers, shape.hidden)
    eight_bit = train.quantization != "none"
    layer = tokens * (6 * shape.hidden + 4 * shape.feed_forward) * 2
    stored = shape.layers * (tokens * shape.hidden * 2 if train.gradient_checkpointing else layer)
    return {
        "weights": shape.linear * WEIGHT_BYTES[train.quantization] + (shape.total - shape.linear) * 2,
        "lora+gates": trained * 4,
        "gradients": trained * 4,
        "optimizer": trained * (2 if eight_bit else 8),
        "activations": stored + layer,
        "logits": 3 * min(tokens, CHUNK) * shape.vocabulary * 4,
    }


def samples(config: Config) -> int:
    """Training samples at most: generated requests and the text share beside them."""
    requests = config.synth.samples_per_domain * len(Domain)
    return round(requests / max(1e-9, 1 - config.train.text_share))


def estimate(config: Config) -> list[Row]:
    """The plan as a table. Time is not guessed here: it needs a measured step (see issue "Training for real")."""
    shape, train = shape_of(config), config.train
    parts = memory(config, shape)
    count = samples(config)
    steps = max(1, round(count * train.epochs / (train.batch_size * train.accumulation)))
    gates = gate_parameters(shape.layers, shape.hidden)
    lora = shape.lora(train.lora.rank)
    checkpoint = (lora + gates) * (4 + (2 if train.quantization != "none" else 8))
    files = {"F16": 2.0, "Q8_0": 34 / 32, "Q4_K_M": 0.61}
    rows = [
        Row("土台のパラメータ", "base parameters", f"{shape.total:,}", "14B", "config.json"),
        Row("回転ゲート", "rotation gates", f"{gates:,}", "786,432", "28 × hidden / 8 × layers"),
        Row("LoRA", "LoRA", f"{lora:,}", "400M", "rank × (in + out)"),
        *(Row(f"メモリ {k}", f"memory {k}", f"{v / GIB:.2f} GiB", "", "") for k, v in parts.items()),
        Row(
            "メモリ 合計",
            "memory in all",
            f"{sum(parts.values()) / GIB:.2f} GiB",
            "~10 GB",
            "estimate; measure before you buy",
        ),
        Row("学習標本", "training samples", f"{count:,}", "200,000", "synth + text"),
        Row("更新ステップ", "optimizer steps", f"{steps:,}", "37,500", "samples × epochs / (batch × accumulation)"),
        Row("チェックポイント1個", "one checkpoint", f"{checkpoint / GIB:.2f} GiB", "15 GB", "LoRA + gates + AdamW"),
        *(
            Row(f"GGUF {q}", f"GGUF {q}", f"{shape.total * b / GIB:.2f} GiB", p, "")
            for (q, b), p in zip(files.items(), ("28 GB", "14 GB", "7 GB"), strict=True)
        ),
    ]
    return rows
