"""What a training step holds in memory at its peak, by part (plan 7.1, SPEC T6). No torch.

What autograd keeps is counted in activations.py. What is alive for a moment (logits of a chunk, the gradients of one
layer at work) is read off losses.py and PEFT, and the sum is held to measured peaks by benchmarks/plan_memory.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from so8t.build.model.shape import BLOCK, chunk_tokens, gate_parameters
from so8t.build.plan.activations import first_layer_spares, kept
from so8t.build.plan.architecture import Architecture
from so8t.build.plan.numerics import BF16, FP32, LINEAR_BYTES, Device, Numerics, numerics
from so8t.core.config import BurnInConfig, LoraConfig, TrainConfig

GIB = 2**30
ROTATION_COPIES = 4  # the stacked rotations, their leaves, the leaves' gradients, what matrix_exp keeps
# Resident memory of a Linux process over what is alive in it: glibc keeps freed blocks of up to 32 MiB. Measured 1.3 to
# 1.45 (benchmarks/plan_memory.py --allocator default). MALLOC_MMAP_THRESHOLD_=65536 brings it to 1, for more time.
HEAP = 1.4
PET_WORK = 3  # fp32 copies of the hidden states while the second difference is made
# Burn-in (build/burnin/passage.py, proof.py): bytes of a number in all seven models of the proof; tokens in a layer and
# logits of a model at a time; fp64 copies of these while two are compared.
FP64 = 8
SEVEN_WAYS = FP64 + 2 * (FP32 + BF16 + BF16)
GATE_WAYS = FP64 + 4 * FP32  # of the reference, of three precisions, of the training
BURNIN_BATCH, BURNIN_SLICE = 4096, 2**22
COMPARING = 5
BURNIN, LORA = BurnInConfig(), LoraConfig()


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by part. The four of "for a moment" never stand at the same time: `peak` is the worse of two moments."""

    weights: float
    lora: float
    gates: float
    gradients: float
    optimizer: float
    average: float
    snapshot: float  # a checkpoint's copy while it is written; on a card it lies in main memory
    layers: float  # kept by all decoder layers until their turn in the backward pass
    top: float  # kept behind the last layer: norm, gradient of the hidden states, PET
    loss: float  # for a moment: hidden states and one chunk's logits, or PET
    layer: float  # for a moment: the layer whose backward pass runs
    overlap: float  # share of the gradients that stand already while all layers are kept
    last: float  # share of `layers` that still stands in the backward pass of the first layer

    @property
    def standing(self) -> float:
        """What is there between two steps, but for gradients."""
        return self.weights + self.lora + self.gates + self.optimizer + self.average + self.snapshot

    @property
    def moments(self) -> dict[str, float]:
        """Bytes at the three moments one of which is the peak."""
        above = self.standing + self.layers + self.top + self.overlap * self.gradients
        return {
            "loss": above + self.loss,
            "backward": above + self.layer,
            "last": self.standing + self.gradients + self.last * self.layers + self.layer,
        }

    @property
    def peak(self) -> float:
        return max(self.moments.values())


def memory(shape: Architecture, train: TrainConfig, device: Device) -> Memory:
    """Of full micro-batches: batch_size rows of maximum_tokens, the largest there can be."""
    how = numerics(train, device)
    tokens = train.batch_size * train.maximum_tokens
    lora = shape.lora(train.lora.rank, train.lora.targets)
    gates = gate_parameters(shape.layers, shape.hidden) if train.gate.enabled else 0
    trained = lora + gates
    average = FP32 * trained if train.swa.enabled else 0.0
    rotations = ROTATION_COPIES * shape.layers * shape.hidden * BLOCK * FP32 if gates else 0
    return Memory(
        weights=_weights(shape, how),
        lora=FP32 * lora,
        gates=FP32 * gates + rotations,
        gradients=FP32 * trained,
        optimizer=how.state * trained,
        average=average,
        snapshot=(FP32 + how.state) * trained + average if device == "cpu" else 0.0,
        layers=tokens * _layers(shape, train, how),
        top=tokens * shape.hidden * (FP32 + how.element + (FP32 if train.pet.enabled else 0)),
        loss=_loss(shape, train, how, tokens),
        layer=tokens * _layer(shape, train, how) + _dequantised(shape, how),
        overlap=1.0 if train.accumulation > 1 else 1 / shape.layers,
        last=1 / shape.layers,
    )


def _weights(shape: Architecture, how: Numerics) -> float:
    """Quantisation makes the layers' projections smaller; embeddings, head and norms stay as they are."""
    rest = (shape.total - shape.linear) * how.element
    if how.quantization == "none":
        return rest + shape.linear * how.element
    scales = shape.layers * sum(p.outputs for p in shape.projections) * FP32 if how.quantization == "int8" else 0
    return rest + scales + shape.linear * LINEAR_BYTES[how.quantization]


def _layers(shape: Architecture, train: TrainConfig, how: Numerics) -> float:
    """Bytes a token that wait for the backward pass: each layer's input if it is recomputed (in main memory if it is
    offloaded), else all it keeps."""
    parts = kept(shape, train, how)
    if train.gradient_checkpointing:
        offloaded = train.offload_activations and how.device == "cuda"
        inputs = 0 if offloaded else how.element * shape.hidden
        return float(shape.layers * inputs)
    return shape.layers * sum(parts.values()) - first_layer_spares(shape, train, how)


def _layer(shape: Architecture, train: TrainConfig, how: Numerics) -> float:
    """Bytes a token while the backward pass is in a layer: what was made anew for it, and gradients.

    The gradients are those at down_proj: of the base's input, of LoRA's, and of that before its dropout; and of the
    residual stream.
    """
    parts = kept(shape, train, how)
    anew = sum(parts.values()) if train.gradient_checkpointing else 0.0
    return anew + 3 * FP32 * (shape.feed_forward + shape.hidden)


def _loss(shape: Architecture, train: TrainConfig, how: Numerics, tokens: int) -> float:
    """Hidden states and those that count, and one chunk of logits (in fp32, beside them in the base's precision)."""
    chunk = min(tokens, chunk_tokens(shape.vocabulary)) * shape.vocabulary
    logits = chunk * (FP32 + (how.element if how.element != FP32 else 0))
    hidden = tokens * shape.hidden
    smoothing = hidden * FP32 * PET_WORK if train.pet.enabled else 0
    return 2 * hidden * how.element + max(logits, smoothing)


def _dequantised(shape: Architecture, how: Numerics) -> float:
    """bitsandbytes multiplies gradients with a full-width copy of the weight."""
    if how.quantization == "none":
        return 0.0
    return float(how.element * max(p.inputs * p.outputs for p in shape.projections))


def burnin_bytes(shape: Architecture, burnin: BurnInConfig = BURNIN, lora: LoraConfig = LORA) -> float:
    """Main memory that burn-in takes (build/burnin/): one tensor, or one layer, and never the model.

    Held to measured peaks by benchmarks/burnin_memory.py.
    """
    return max(burnin_moments(shape, burnin, lora).values())


def burnin_moments(shape: Architecture, burnin: BurnInConfig = BURNIN, lora: LoraConfig = LORA) -> dict[str, float]:
    """Bytes at the three moments one of which is the peak, for a base in fp32 and prompts of full length.

    fold: the largest projection as it is stored, W and B A in fp64. layer: the fp64 reference in a layer, whose weights
    are there as stored and in fp64, with the states of all seven models. logits: a slice of the vocabulary.
    """
    tokens = burnin.prompts * burnin.tokens
    gates = gate_parameters(shape.layers, shape.hidden) * FP32 + shape.layers * shape.hidden * BLOCK * GATE_WAYS
    states = 2 * SEVEN_WAYS * tokens * shape.hidden  # with the rows of the embedding they began from
    layer = (shape.linear + shape.lora(lora.rank, lora.targets)) / shape.layers
    inside = min(tokens, BURNIN_BATCH) * FP64 * (3 * shape.hidden + 4 * shape.feed_forward)
    rows = BURNIN_SLICE / max(tokens, shape.hidden)
    return {
        "fold": gates + max(p.inputs * p.outputs for p in shape.projections) * (FP32 + 2 * FP64),
        "layer": gates + states + layer * (FP32 + FP64) + inside,
        "logits": gates + states + rows * (tokens * (SEVEN_WAYS + COMPARING * FP64) + shape.hidden * (FP32 + FP64)),
    }
