"""The card as it is now: temperature, memory, load and power, read from NVIDIA's driver (SPEC T2, T3)."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch

MILLI = 1000.0  # NVML gives power in milliwatts


@dataclass(frozen=True, slots=True)
class Reading:
    """temperature in degrees Celsius, memory in bytes, utilisation in percent, power in watts; None = not told."""

    temperature: float
    memory_used: int | None = None
    memory_total: int | None = None
    utilisation: float | None = None
    watts: float | None = None

    def to_json(self) -> dict[str, float | None]:
        return asdict(self)


class Sensor(Protocol):
    def read(self) -> Reading | None:
        """What the card says now, None when it does not answer. Never raises."""


@dataclass(slots=True)
class NvmlSensor:
    """One card through nvidia-ml-py. `nvml` is the module, `handle` what it calls the card."""

    nvml: Any
    handle: Any

    def read(self) -> Reading | None:
        temperature = self._ask("nvmlDeviceGetTemperature", self.nvml.NVML_TEMPERATURE_GPU)
        if temperature is None:
            return None
        memory, load = self._ask("nvmlDeviceGetMemoryInfo"), self._ask("nvmlDeviceGetUtilizationRates")
        power = self._ask("nvmlDeviceGetPowerUsage")
        return Reading(
            float(temperature),
            None if memory is None else int(memory.used),
            None if memory is None else int(memory.total),
            None if load is None else float(load.gpu),
            None if power is None else power / MILLI,
        )

    def _ask(self, function: str, *more: Any) -> Any:
        try:
            return getattr(self.nvml, function)(self.handle, *more)
        except Exception:  # a failing driver, or a figure this card does not have, must not stop training
            return None


def nvidia_sensor(index: int, nvml: Any = None) -> Sensor | None:
    """The sensor of torch's card `index`; None without nvidia-ml-py, driver or card."""
    try:
        library = importlib.import_module("pynvml") if nvml is None else nvml
        library.nvmlInit()
        return NvmlSensor(library, _handle(library, index))
    except Exception:  # ImportError, NVMLError, OSError: whatever is wrong, there is no sensor
        return None


def _handle(nvml: Any, index: int) -> Any:
    """torch and the driver may number the cards differently (CUDA_VISIBLE_DEVICES): the UUID is the same in both."""
    if uuid := card_uuid(index):
        try:
            return nvml.nvmlDeviceGetHandleByUUID(uuid)
        except nvml.NVMLError:  # a slice of a card (MIG) has a UUID of another form
            pass
    return nvml.nvmlDeviceGetHandleByIndex(index)


def card_uuid(index: int) -> str:
    """The UUID of torch's card `index` as the driver writes it, "" without one."""
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        return ""
    return f"GPU-{torch.cuda.get_device_properties(index).uuid}"


def driver_version(nvml: Any = None) -> str:
    """Of NVIDIA's driver, "" without one."""
    try:
        library = importlib.import_module("pynvml") if nvml is None else nvml
        library.nvmlInit()
        version = library.nvmlSystemGetDriverVersion()
        return version.decode() if isinstance(version, bytes) else str(version)
    except Exception:  # as in nvidia_sensor
        return ""
