"""What a report says of the machine: enough to judge the figures, nothing that names it or its user."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import torch

from so8t.build.train.gpu import driver_version

PACKAGES = ("so8t", "torch", "transformers", "peft", "bitsandbytes", "flash-attn", "nvidia-ml-py", "triton")


def machine(device: torch.device) -> dict[str, Any]:
    """System, versions and card."""
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "device": device.type,
        "driver": driver_version(),
        "cuda": torch.version.cuda,
    }
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        found |= {"card": card.name, "capability": f"{card.major}.{card.minor}", "memory": card.total_memory}
    return found


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
