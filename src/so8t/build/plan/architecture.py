"""How many numbers a decoder has, from its config.json alone: no torch, no weights (SPEC M1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.core.config import BaseConfig, Config
from so8t.core.errors import BaseUnusable
from so8t.core.files import read_json

# Phi-4-mini-instruct's own configuration, for a plan made before the model is at hand.
PHI4_MINI: Mapping[str, Any] = {
    "model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
    "num_attention_heads": 24, "num_key_value_heads": 8, "vocab_size": 200064, "tie_word_embeddings": True,
    "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "pad_token_id": 199999, "bos_token_id": 199999,
    "eos_token_id": 199999, "sliding_window": 262144, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attention_dropout": 0.0,
}  # fmt: skip
# The model of profile gemma-270m, by the same token.
GEMMA_270M: Mapping[str, Any] = {
    "model_type": "gemma3_text", "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 18,
    "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144,
    "tie_word_embeddings": True, "max_position_embeddings": 32768, "sliding_window": 512, "pad_token_id": 0,
    "bos_token_id": 2, "eos_token_id": 1,
}  # fmt: skip
SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FUSED = {
    "q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj",
    "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj",
}  # fmt: skip
LARGEST = 1 << 24  # no field of a real config.json is larger


@dataclass(frozen=True, slots=True)
class Kind:
    """What a model type does that its config.json does not say, and the defaults of keys it may leave out."""

    fused: bool = False
    norms: int = 2  # RMS norms of width hidden in one layer
    head_norms: bool = False  # a norm of width head_dim on queries and on keys
    qkv_bias: bool | None = None  # None = what attention_bias says
    residual_dropout: bool = False
    tied: bool = False
    head_dim: int | None = None  # None = hidden / heads


KINDS: Mapping[str, Kind] = {
    "phi3": Kind(fused=True, residual_dropout=True, qkv_bias=False),
    "llama": Kind(),
    "mistral": Kind(qkv_bias=False),
    "qwen2": Kind(qkv_bias=True),
    "qwen3": Kind(head_norms=True, head_dim=128),
    "gemma": Kind(tied=True, head_dim=256),
    "gemma2": Kind(norms=4, tied=True, head_dim=256),
    "gemma3_text": Kind(norms=4, head_norms=True, tied=True, head_dim=256),
}


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer that stands in every decoder layer."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False


@dataclass(frozen=True, slots=True)
class Architecture:
    """The sizes of a decoder."""

    model_type: str
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False

    @property
    def kind(self) -> Kind:
        return KINDS[self.model_type]

    @property
    def query(self) -> int:
        """Width of all heads together; not `hidden` where head_dim is not hidden / heads."""
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        """Width of the keys (and of the values) of all KV heads."""
        return self.kv_heads * self.head_dim

    @property
    def projections(self) -> tuple[Linear, ...]:
        """Those of one layer, in the order of the computation."""
        h, f, bias = self.hidden, self.feed_forward, self.qkv_bias
        out, down = Linear("o_proj", self.query, h, self.output_bias), Linear("down_proj", f, h, self.mlp_bias)
        if self.kind.fused:
            return Linear("qkv_proj", h, self.query + 2 * self.key), out, Linear("gate_up_proj", h, 2 * f), down
        qkv = (Linear("q_proj", h, self.query, bias), Linear("k_proj", h, self.key, bias))
        mlp = (Linear("gate_proj", h, f, self.mlp_bias), Linear("up_proj", h, f, self.mlp_bias))
        return *qkv, Linear("v_proj", h, self.key, bias), out, *mlp, down

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def linear(self) -> int:
        """Weights of the projections of all layers: what quantisation makes smaller."""
        return self.layers * sum(p.inputs * p.outputs for p in self.projections)

    @property
    def small(self) -> int:
        """Norms and biases."""
        norms = self.kind.norms * self.hidden + (2 * self.head_dim if self.kind.head_norms else 0)
        return self.layers * (norms + sum(p.outputs for p in self.projections if p.bias)) + self.hidden

    @property
    def total(self) -> int:
        return self.linear + self.small + self.embedding * (1 if self.tied else 2)

    def targets(self, wanted: Sequence[str] = ()) -> tuple[Linear, ...]:
        """The projections of one layer that LoRA goes on: the wanted ones, else the plan's seven."""
        names = {FUSED.get(n, n) if self.kind.fused else n for n in (wanted or SEVEN)}
        return tuple(p for p in self.projections if p.name in names)

    def lora(self, rank: int, wanted: Sequence[str] = ()) -> int:
        """rank x (in + out) over every target (plan 2.1 "LoRA")."""
        return self.layers * rank * sum(p.inputs + p.outputs for p in self.targets(wanted))

    @classmethod
    def of(cls, c: Mapping[str, Any], where: object = "config.json") -> Architecture:
        """From the contents of a config.json.

        Raises BaseUnusable for a type that is not known and for a number that is missing or absurd.
        """
        name = str(c.get("model_type", ""))
        if name not in KINDS:
            raise BaseUnusable(where=where, detail=f"model_type {name!r} ({', '.join(KINDS)})")
        kind = KINDS[name]
        hidden, heads = _size(c, "hidden_size", where), _size(c, "num_attention_heads", where)
        bias = c.get("attention_bias") is True
        return cls(
            name, hidden, _size(c, "intermediate_size", where), _size(c, "num_hidden_layers", where), heads,
            _size(c, "num_key_value_heads", where, heads),
            _size(c, "head_dim", where, kind.head_dim or hidden // heads),
            _size(c, "vocab_size", where),
            bool(c.get("tie_word_embeddings", kind.tied)),
            bias if kind.qkv_bias is None else kind.qkv_bias,
            bias and kind.qkv_bias is None,
            c.get("mlp_bias") is True and name == "llama",
        )  # fmt: skip


def _size(values: Mapping[str, Any], key: str, where: object, default: int | None = None) -> int:
    value = values.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < LARGEST:
        raise BaseUnusable(where=where, detail=f"{key} = {value!r}")
    return value


def base_values(config: Config) -> Mapping[str, Any]:
    """The config.json to plan for: that of base.path (a folder or a GGUF), else of the model of the profile."""
    base = config.base
    if base.path.endswith(".gguf"):
        from so8t.build.plan.gguf_values import gguf_values

        return gguf_values(Path(base.path).expanduser())
    if base.path:
        values = read_json(base_file(base))
        if not isinstance(values, dict):
            raise BaseUnusable(where=base_file(base), detail="config.json")
        return values
    if base.package:
        if "gemma3-270m" not in base.package:
            raise BaseUnusable(where=base.package, detail="base.package")
        return GEMMA_270M
    return PHI4_MINI if config.profile.startswith("phi4") else tiny_values(base)


def base_file(base: BaseConfig) -> Path:
    """What says how large the base is."""
    path = Path(base.path).expanduser()
    return path if base.path.endswith(".gguf") else path / "config.json"


def tiny_values(base: BaseConfig) -> dict[str, Any]:
    """The Phi-3 shape that stage base makes where there is no model to adapt."""
    return {
        "model_type": "phi3", "hidden_size": base.hidden_size, "intermediate_size": base.intermediate_size,
        "num_hidden_layers": base.layers, "num_attention_heads": base.heads, "num_key_value_heads": base.kv_heads,
        "vocab_size": base.vocab_size, "tie_word_embeddings": True, "max_position_embeddings": base.context,
        "original_max_position_embeddings": base.context, "partial_rotary_factor": 0.75, "sliding_window": None,
        "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip


def architecture_of(config: Config) -> Architecture:
    """Raises SourceMissing, RecordInvalid or BaseUnusable for a base.path that cannot be planned for."""
    return Architecture.of(base_values(config), base_file(config.base) if config.base.path else "config.json")
