"""A Windows in memory with so8t installed in it, over pywin32's real Python layer where its wheel is at hand."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from fake_pywin32 import LAYER, Windows, modules, with_real_layer
from pywin32_layer import with_stand_in

from so8t.operate.service.places import Places, windows_places
from so8t.operate.service.pywin32 import Pywin32
from so8t.operate.service.service import Program
from so8t.operate.service.windows import WindowsService

WHEEL = "SO8T_PYWIN32_WHEEL"


@pytest.fixture
def windows() -> Windows:
    return Windows()


@pytest.fixture(params=["stand-in", pytest.param("real layer", marks=pytest.mark.slow)])
def pywin32(request: pytest.FixtureRequest, windows: Windows, monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """pywin32's modules over the fake Windows, once with each layer."""
    compiled = modules(windows)
    for name in (*compiled, *LAYER):
        monkeypatch.setitem(sys.modules, name, compiled.get(name, ModuleType(name)))
    if request.param == "stand-in":
        made = with_stand_in(compiled)
    elif wheel := os.environ.get(WHEEL):
        made = with_real_layer(compiled, Path(wheel))
    else:
        pytest.skip(f"{WHEEL} does not name pywin32's wheel")
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


@pytest.fixture
def places(tmp_path: Path) -> Places:
    root = {name: str(tmp_path / name) for name in ("PROGRAMDATA", "PROGRAMFILES")}
    return windows_places(root | {"PUBLIC": str(tmp_path / "Users" / "Public")})


@pytest.fixture
def program(tmp_path: Path) -> Program:
    folder = tmp_path / "PROGRAMFILES" / "so8t"
    (folder / "packages").mkdir(parents=True)
    for name in ("python.exe", "base.exe"):
        (folder / name).touch()
    return Program(folder / "python.exe", folder / "base.exe", folder / "packages", folder / "src")


@pytest.fixture
def make(pywin32: dict[str, ModuleType], places: Places, program: Program) -> Callable[..., WindowsService]:
    """A service as the command makes it; the configuration lies where it should."""
    api = Pywin32(**{name: pywin32[name] for name in Pywin32.__slots__})
    host = program.packages / "service host.py"
    host.touch()
    places.config.parent.mkdir(parents=True)
    places.config.touch()

    def made(**given: object) -> WindowsService:
        whole: dict[str, object] = {
            "api": api, "places": places, "program": program, "config": places.config, "host": host,
            "arguments": ["--config", str(places.config)], "pause": lambda seconds: None,
        }  # fmt: skip
        return WindowsService(**{**whole, **given})  # type: ignore[arg-type]

    return made
