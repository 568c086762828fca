"""What autograd keeps of one decoder layer for the backward pass, in bytes a token, by what keeps it.

Read off torch 2.13, transformers 5.23 and PEFT 0.21 by saved_tensors_hooks, and held to them by
tests/build/plan/test_activations.py. The base is frozen: a linear layer keeps nothing of its own, LoRA its input.
"""

from __future__ import annotations

from collections.abc import Mapping

from so8t.build.plan.architecture import Architecture, Linear
from so8t.build.plan.numerics import FP32, Numerics
from so8t.core.config import TrainConfig


def kept(shape: Architecture, train: TrainConfig, how: Numerics) -> dict[str, float]:
    """Bytes a token that one layer keeps when it is not recomputed."""
    e = how.element
    return {
        "norms": _norms(shape),
        "attention": _attention(shape, train, how),
        "lora": _lora(shape, train, how),
        "gate": e * shape.hidden if train.gate.enabled else 0.0,
        "feed forward": 3.0 * e * shape.feed_forward,  # gate, up, activated gate
        "residual dropout": _residual_dropout(shape, train, how),
        "int8": _int8_inputs(shape, how),
    }


def _norms(shape: Architecture) -> float:
    """Every RMS norm works in fp32 and keeps its input so; those on heads also the scale."""
    heads = shape.query + shape.key + shape.heads + shape.kv_heads if shape.kind.head_norms else 0
    return FP32 * (shape.kind.norms * shape.hidden + heads)


def _attention(shape: Architecture, train: TrainConfig, how: Numerics) -> float:
    e, q, k = how.element, shape.query, shape.key
    spread = q != k and (how.masked or how.attention != "flash")  # KV heads are repeated for every query head
    scores = e * shape.heads * train.maximum_tokens  # a row of every head's [T, T] matrix
    dropout = train.dropout > 0
    if how.attention == "math":  # only taken on a CPU for its dropout
        return e * 3 * q + 3 * scores
    value = (q + 2 * k if shape.kind.fused else k) if not spread else q  # a view keeps the whole fused projection
    keys = e * (q + (q if spread else k) + value)
    if how.attention == "eager":
        softmax = FP32 * shape.heads * train.maximum_tokens if e != FP32 else 0
        masks = scores * (how.mask / FP32) + scores if dropout else 0
        return keys + scores + softmax + masks
    mask = e * train.maximum_tokens if how.masked else 0  # torch turns the bool mask into numbers in every layer
    return keys + e * q + FP32 * shape.heads + mask


def _groups(shape: Architecture, train: TrainConfig) -> Mapping[str, list[Linear]]:
    """LoRA's targets by the input they share."""
    places = {"o_proj": "attended", "down_proj": "activated", "gate_up_proj": "middle", "gate_proj": "middle"}
    places["up_proj"] = "middle"
    found: dict[str, list[Linear]] = {}
    for target in shape.targets(train.lora.targets):
        found.setdefault(places.get(target.name, "first"), []).append(target)
    return found


def _lora(shape: Architecture, train: TrainConfig, how: Numerics) -> float:
    """A's input in fp32, its dropout mask, and B's input of `rank` numbers."""
    total = 0.0
    for place, targets in _groups(shape, train).items():
        width, count = targets[0].inputs, len(targets)
        total += FP32 * train.lora.rank * count
        if train.lora.dropout > 0:
            total += (FP32 + how.mask) * width * count
        elif how.element != FP32:  # each target casts the input for itself
            total += FP32 * width * count
        elif place != "attended" or shape.kind.fused or how.attention != "flash":  # else it is attention's own output
            total += FP32 * width
    return total


def _residual_dropout(shape: Architecture, train: TrainConfig, how: Numerics) -> float:
    if not shape.kind.residual_dropout or train.dropout <= 0:
        return 0.0
    return 2.0 * shape.hidden * (1 if how.device == "cuda" else how.element)


def _int8_inputs(shape: Architecture, how: Numerics) -> float:
    """bitsandbytes 0.50 holds on to every int8 layer's input, though its backward pass has no use for it.

    They hang on its own context, where gradient checkpointing without re-entrance does not reach them.
    """
    if how.quantization != "int8":
        return 0.0
    return float(how.element * (2 * shape.hidden + shape.query + shape.feed_forward))


def first_layer_spares(shape: Architecture, train: TrainConfig, how: Numerics) -> float:
    """Bytes a token that the first layer does not keep: its input asks for no gradient (without checkpointing)."""
    first = _groups(shape, train).get("first", [])
    masks = how.mask * shape.hidden * len(first) if train.lora.dropout > 0 else 0
    return FP32 * shape.hidden + masks
