"""Main memory and ports."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from so8t.core.config import BaseConfig, load_config
from so8t.doctor import machine
from so8t.doctor.machine import examine_memory, examine_ports, main_memory


def test_burn_in_of_phi4_mini(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config("phi4-mini-12gb")
    monkeypatch.setattr(machine, "main_memory", lambda: 32.0)  # the plan's machine
    found = examine_memory(config, "cuda")
    assert found.ok and not found.fatal and "burnin 2.0" in found.detail and "train" not in found.detail
    assert "train" in examine_memory(config, "cpu").detail
    monkeypatch.setattr(machine, "main_memory", lambda: 2.5)
    assert not examine_memory(config, "cuda").ok and not examine_memory(config, "cuda").fatal
    monkeypatch.setattr(machine, "main_memory", lambda: 128.0)
    assert examine_memory(config, "cuda").ok and examine_memory(load_config("tiny"), "cpu").ok


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    config = dataclasses.replace(load_config("tiny"), base=BaseConfig(path=str(tmp_path)))
    assert not examine_memory(config, "cpu").ok


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "LIMIT", limit)
    whole = main_memory()
    assert whole > 0
    limit.write_text("max\n")
    assert main_memory() == whole
    limit.write_text(f"{2**29}\n")
    assert main_memory() == 0.5


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_a_server_of_yours(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    monkeypatch.setattr(machine, "PORTS", {taken: "Ollama"})
    loopback, port = examine_ports()
    assert loopback.ok and port.ok and port.detail == "in use" and str(taken) in port.ja


def test_no_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, address: Any) -> None:
            raise PermissionError(13, "refused")

    monkeypatch.setattr(machine.socket, "socket", Refusing)
    found = examine_ports()
    assert [f.mark for f in found] == ["NG", "??", "??"] and all(f.advice("ja") for f in found)
