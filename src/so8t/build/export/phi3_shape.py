"""What a GGUF needs of a Phi-3 / Phi-4-mini configuration, and the tensors that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.build.export.tensor_layout import BLOCK, positive
from so8t.core.errors import GgufInvalid

ARCHITECTURE = "Phi3ForCausalLM"


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model; `rope` = its rope_parameters (rope_scaling in older spelling); `tied` None = not said."""

    hidden: int
    heads: int
    kv_heads: int
    layers: int
    feed_forward: int
    context: int
    original_context: int
    rotary: int
    rope_theta: float
    epsilon: float
    vocabulary: int
    sliding_window: int
    tied: bool | None
    rope: Mapping[str, Any]

    @classmethod
    def read(cls, config: Mapping[str, Any], where: Path) -> Shape:
        """Raises GgufInvalid for another architecture and for numbers that do not fit each other."""
        if ARCHITECTURE not in (config.get("architectures") or []):
            raise GgufInvalid(
                where=where, detail=f"architectures {config.get('architectures')}: {ARCHITECTURE} expected"
            )
        try:
            shape = cls._read(config, where)
        except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise GgufInvalid(where=where, detail=f"config.json: {error!r}") from error
        shape._check(where)
        return shape

    @classmethod
    def _read(cls, config: Mapping[str, Any], where: Path) -> Shape:
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        context, hidden = positive(config, "max_position_embeddings", where), positive(config, "hidden_size", where)
        heads, tied = positive(config, "num_attention_heads", where), config.get("tie_word_embeddings")
        partial = rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
        original = rope.get("original_max_position_embeddings") or config.get("original_max_position_embeddings")
        return cls(
            hidden=hidden, heads=heads, kv_heads=positive(config, "num_key_value_heads", where),
            layers=positive(config, "num_hidden_layers", where),
            feed_forward=positive(config, "intermediate_size", where),
            context=context, original_context=int(original or context), rotary=int(partial * hidden) // heads,
            rope_theta=float(rope.get("rope_theta", config.get("rope_theta", 10000.0))),
            epsilon=float(config["rms_norm_eps"]), vocabulary=positive(config, "vocab_size", where),
            sliding_window=int(config.get("sliding_window") or 0), tied=None if tied is None else bool(tied), rope=rope,
        )  # fmt: skip

    def _check(self, where: Path) -> None:
        if self.hidden % BLOCK:
            raise GgufInvalid(where=where, detail=f"hidden_size {self.hidden}: a multiple of {BLOCK} expected")
        if self.hidden % self.heads or self.heads % self.kv_heads:
            detail = f"hidden_size {self.hidden}, {self.heads} heads, {self.kv_heads} KV heads"
            raise GgufInvalid(where=where, detail=detail)
        for key in ("long_factor", "short_factor") if self.longrope else ():
            if len(self.rope.get(key) or ()) != self.rotary // 2:
                raise GgufInvalid(where=where, detail=f"{key} {len(self.rope.get(key) or ())} != {self.rotary // 2}")

    @property
    def longrope(self) -> bool:
        return bool(self.rope.get("long_factor"))

    @property
    def attention_factor(self) -> float:
        """Of the longrope paper (arXiv 2402.13753), unless the configuration names one."""
        scale = self.context / self.original_context
        default = math.sqrt(1 + math.log(scale) / math.log(self.original_context)) if scale > 1 else 1.0
        return float(self.rope.get("attention_factor") or default)

    def require(self, found: Mapping[str, tuple[int, ...]], where: Path) -> None:
        """Every tensor of the architecture, of its shape, and none besides. Raises GgufInvalid with the first."""
        wanted = self._tensors()
        if self.tied is False or (self.tied is None and "lm_head.weight" in found):
            wanted["lm_head.weight"] = (self.vocabulary, self.hidden)
        if missing := sorted(wanted.keys() - found.keys()):
            raise GgufInvalid(where=where, detail=f"tensor {missing[0]} is missing (+{len(missing) - 1})")
        if unknown := sorted(found.keys() - wanted.keys()):
            raise GgufInvalid(where=where, detail=f"tensor {unknown[0]} is unknown (+{len(unknown) - 1})")
        for name, shape in wanted.items():
            if found[name] != shape:
                raise GgufInvalid(where=where, detail=f"tensor {name}: {found[name]}, {shape} expected")

    def _tensors(self) -> dict[str, tuple[int, ...]]:
        width = self.hidden // self.heads
        layer = {
            "self_attn.qkv_proj.weight": ((self.heads + 2 * self.kv_heads) * width, self.hidden),
            "self_attn.o_proj.weight": (self.hidden, self.hidden),
            "mlp.gate_up_proj.weight": (2 * self.feed_forward, self.hidden),
            "mlp.down_proj.weight": (self.hidden, self.feed_forward),
            "input_layernorm.weight": (self.hidden,),
            "post_attention_layernorm.weight": (self.hidden,),
        }
        return {
            "model.embed_tokens.weight": (self.vocabulary, self.hidden), "model.norm.weight": (self.hidden,),
            **{f"model.layers.{i}.{name}": shape for i in range(self.layers) for name, shape in layer.items()},
        }  # fmt: skip
