"""Which models can be adapted: text decoders with causal attention. Anything else is refused before it half-works."""

from __future__ import annotations

from typing import Any

from so8t.core.errors import BaseUnusable

PARTS = ("vision_config", "audio_config", "speech_config", "text_config", "thinker_config")  # of a multimodal wrapper


def require_decoder(config: Any, where: object = "") -> None:
    """Raises BaseUnusable, from a transformers configuration alone, so that no weight is read for nothing."""
    if why := _why_not(config):
        raise BaseUnusable(where=where or config.model_type, detail=f"{config.model_type}: {why}")


def _why_not(config: Any) -> str:
    if parts := [name for name in PARTS if getattr(config, name, None) is not None]:
        return f"multimodal wrapper ({parts[0]}), not a text decoder"
    if getattr(config, "is_encoder_decoder", False):
        return "encoder-decoder, not a decoder"
    if getattr(config, "use_bidirectional_attention", None):
        return "attention in both directions, not a decoder"
    architectures = getattr(config, "architectures", None) or []
    if architectures and not any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures):
        return f"{architectures[0]}, not a causal language model"
    if hasattr(config, "is_decoder") and not config.is_decoder and hasattr(config, "type_vocab_size"):
        return "encoder, not a decoder"  # BERT and its kin can be told to decode; these were not
    return ""
