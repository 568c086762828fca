"""Bytes that a run leaves on the disk (plan 6.1 "ストレージ要件")."""

from __future__ import annotations

from so8t.build.model.shape import gate_parameters
from so8t.build.plan.architecture import Architecture
from so8t.build.plan.numerics import BF16, FP32, Device, numerics
from so8t.build.plan.workload import IMAGE_DOMAINS, written
from so8t.core.config import Config
from so8t.core.types import Domain

# Bytes a sample: JSON lines of the profile tiny's run; a text of `longest` characters at three bytes each.
REQUEST, WRITTEN, PAGE, TEXT_FRAME = 2_000, 1_850, 200_000, 400
TOKEN = 44  # a vocabulary entry with its type and merge in a GGUF
COPIES = 2  # what validate keeps it writes again
# ggml's block sizes: bytes of a block / its numbers.
F16, Q8_0, Q4_K, Q5_K, Q6_K = 2.0, 34 / 32, 144 / 256, 176 / 256, 210 / 256


def data(config: Config) -> float:
    """Collected, generated and rendered samples, at most."""
    texts = config.collect.maximum_samples * (config.collect.longest * 3 + TEXT_FRAME)
    pages = config.multimodal.samples_per_domain * IMAGE_DOMAINS
    requests = config.synth.samples_per_domain * len(Domain) * REQUEST + pages * REQUEST
    requests += written() * WRITTEN if config.synth.written else 0
    return float(COPIES * (texts + requests) + pages * PAGE)


def checkpoint(shape: Architecture, config: Config, device: Device) -> float:
    """LoRA and gates, their optimizer states and their running mean."""
    train = config.train
    gates = gate_parameters(shape.layers, shape.hidden) if train.gate.enabled else 0
    trained = shape.lora(train.lora.rank, train.lora.targets) + gates
    return trained * (FP32 + numerics(train, device).state + (FP32 if train.swa.enabled else 0))


def gguf(shape: Architecture, quantisation: str) -> float:
    """Bytes of a GGUF; norms stay in fp32."""
    embedding = shape.embedding * (1 if shape.tied else 2)
    rest = FP32 * shape.small + TOKEN * shape.vocabulary
    if quantisation == "Q4_K_M":
        return rest + Q6_K * embedding + _q4_k_m(shape)
    # At most: Q5_K_M is narrower than Q6_K, and what is not known is no wider than F16.
    width = {"F16": F16, "Q8_0": Q8_0, "Q6_K": Q6_K, "Q5_K_M": Q6_K}.get(quantisation, F16)
    return rest + width * (shape.linear + embedding)


def _q4_k_m(shape: Architecture) -> float:
    """llama.cpp's mixture: more bits for values and for down_proj in half of the layers, Q5_K for a fused qkv."""
    total = 0.0
    for layer in range(shape.layers):
        better = Q6_K if _use_more_bits(layer, shape.layers) else Q4_K
        widths = {"qkv_proj": Q5_K, "v_proj": better, "down_proj": better}
        total += sum(p.inputs * p.outputs * widths.get(p.name, Q4_K) for p in shape.projections)
    return total


def _use_more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def files(shape: Architecture, config: Config, device: Device) -> dict[str, float]:
    """Everything by part. The base is counted though it may lie elsewhere; GGUFs lie in export and in the bundle."""
    one = checkpoint(shape, config, device)
    ours = not config.base.path and not config.profile.startswith("phi4")
    return {
        "base": shape.total * (FP32 if ours else BF16),
        "data": data(config),
        "checkpoints": one * (config.train.checkpoint.keep + 1),
        "merged": shape.total * FP32,
        "gguf": sum(gguf(shape, q) for q in config.export.quantisations) * 2,
    }
