"""The port: taken before anything starts, and one that is not free is said in words."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from so8t.cli import main
from so8t.core.errors import ConfigValueInvalid, PortTaken
from so8t.operate.server.listening import bound


def test_nobody_connects_before_it_listens() -> None:
    with bound("127.0.0.1", 0) as made, socket.socket() as client:
        assert made.getsockname()[1] > 0
        with pytest.raises(ConnectionRefusedError):
            client.connect(made.getsockname())


def test_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            bound("127.0.0.1", port)
    assert str(port) in caught.value.where and "serve.port" in caught.value.next_ja
    bound("127.0.0.1", port).close()


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ConfigValueInvalid, match=r"192\.0\.2\.1"):
        bound("192.0.2.1", 0)


def test_so8t_serve_says_so_before_it_starts_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    command = ["serve", "--bundle", str(bundle), "--allow-unproven"]
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main([*command, "--port", port]) == 5
    said = capsys.readouterr().err
    assert "[S05]" in said and port in said and "次に" in said and "uvicorn" not in said
    assert list(tmp_path.iterdir()) == [bundle]
    assert main([*command, "--port", "99999"]) == 2
    assert "[U02]" in (said := capsys.readouterr().err) and "99999" in said and "--port" in said
