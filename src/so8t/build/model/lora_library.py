"""PEFT, with bitsandbytes loaded by us first: PEFT would load it by itself, and it would fetch code from a hub (O6)."""

from __future__ import annotations

from so8t.build.model.quantisation import has_bitsandbytes, load_bitsandbytes

if has_bitsandbytes():
    load_bitsandbytes()

from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear as LoraLinear

__all__ = ["LoraConfig", "LoraLinear", "PeftModel", "get_peft_model"]
