"""The sensor: what a driver may do, from all well to dying in the middle."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from so8t.build.train import gpu
from so8t.build.train.gpu import Reading, driver_version, nvidia_sensor


class NVMLError(Exception):
    pass


@dataclass
class FakeNvml:
    """The functions of nvidia-ml-py that we call; `broken` names those that fail."""

    broken: set[str] = field(default_factory=set)
    by_uuid: list[str] = field(default_factory=list)
    NVML_TEMPERATURE_GPU: int = 0
    NVMLError: type[Exception] = NVMLError

    def _answer(self, name: str, value: Any) -> Any:
        if name in self.broken:
            raise NVMLError(name)
        return value

    def nvmlInit(self) -> None:
        self._answer("init", None)

    def nvmlSystemGetDriverVersion(self) -> str:
        return str(self._answer("version", "570.86.10"))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return str(self._answer("handle", f"card {index}"))

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.by_uuid.append(uuid)
        return str(self._answer("uuid", f"card {uuid}"))

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        return int(self._answer("temperature", 61))

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        return self._answer("memory", SimpleNamespace(used=3 << 30, total=12 << 30))

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return self._answer("load", SimpleNamespace(gpu=97))

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return int(self._answer("power", 169_500))


def test_a_reading_has_the_units_of_its_docstring() -> None:
    sensor = nvidia_sensor(0, FakeNvml())
    assert sensor is not None
    assert sensor.read() == Reading(61.0, 3 << 30, 12 << 30, 97.0, 169.5)


@pytest.mark.parametrize(
    ("broken", "missing"),
    [("memory", {"memory_used", "memory_total"}), ("load", {"utilisation"}), ("power", {"watts"})],
)
def test_a_card_without_a_figure_still_tells_its_temperature(broken: str, missing: set[str]) -> None:
    sensor = nvidia_sensor(0, FakeNvml({broken}))
    assert sensor is not None and (reading := sensor.read()) is not None
    assert {k for k, v in reading.to_json().items() if v is None} == missing


def test_a_driver_that_dies_gives_nothing_and_may_come_back() -> None:
    nvml = FakeNvml()
    sensor = nvidia_sensor(0, nvml)
    assert sensor is not None and sensor.read() is not None
    nvml.broken.add("temperature")
    assert sensor.read() is None
    nvml.broken.clear()
    assert sensor.read() is not None


@pytest.mark.parametrize("broken", ["init", "handle"])
def test_no_card_no_sensor(broken: str) -> None:
    assert nvidia_sensor(0, FakeNvml({broken})) is None


def test_no_package_no_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert nvidia_sensor(0) is None
    assert driver_version() == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
def test_the_real_library_without_a_card() -> None:
    assert nvidia_sensor(0) is None
    assert driver_version() == ""


def test_the_card_is_found_by_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's card 0 under CUDA_VISIBLE_DEVICES=3 is the driver's card 3."""
    monkeypatch.setattr(gpu, "card_uuid", lambda index: f"GPU-{index}-of-torch")
    nvml = FakeNvml()
    sensor = nvidia_sensor(0, nvml)
    assert isinstance(sensor, gpu.NvmlSensor) and sensor.handle == "card GPU-0-of-torch"
    nvml.broken.add("uuid")  # a slice of a card: its UUID is not known to this call
    sensor = nvidia_sensor(1, nvml)
    assert isinstance(sensor, gpu.NvmlSensor) and sensor.handle == "card 1"


def test_uuid_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="6f1c"))
    assert gpu.card_uuid(0) == "GPU-6f1c"
    assert gpu.card_uuid(1) == ""


@pytest.mark.parametrize(("said", "version"), [("570.86.10", "570.86.10"), (b"535.1", "535.1")])
def test_driver_version(said: str | bytes, version: str) -> None:
    nvml = SimpleNamespace(nvmlInit=lambda: None, nvmlSystemGetDriverVersion=lambda: said)
    assert driver_version(nvml) == version
    assert driver_version(FakeNvml({"version"})) == ""
