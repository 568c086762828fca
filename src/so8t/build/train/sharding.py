"""The frozen base split over all processes (FSDP), what is trained whole on each (SPEC T7)."""

from __future__ import annotations

from torch.distributed.fsdp import fully_shard

from so8t.build.model.attach import GatedModel
from so8t.core.errors import ConfigValueInvalid


def shard_base(model: GatedModel, quantization: str) -> None:
    """Every decoder layer keeps 1/N of its frozen weights and gathers the rest while it is at work.

    Embedding and head stay whole: the loss reads the head's matrix directly. Raises ConfigValueInvalid for a quantised
    base, whose packed weights cannot be split.
    """
    if quantization != "none":
        raise ConfigValueInvalid(where="train.sharding", detail=f'"full" + quantization = "{quantization}"')
    trained = set(model.parameters().values())
    for layer in model.causal.model.layers:
        fully_shard(layer, ignored_params=trained & set(layer.parameters()))
