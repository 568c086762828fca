"""The child process that serves a GGUF: one address, clear words when it cannot start, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import so8t
from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import llamacpp, serve
from so8t.core.errors import BackendDown, BackendProtocol

SOURCE = str(Path(str(so8t.__file__)).parents[1])


def answers(address: str) -> bool:
    parts = urlsplit(address)
    try:
        socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=1).close()
    except OSError:
        return False
    return True


def gone(address: str, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not answers(address):
            return True
        time.sleep(0.05)
    return False


def test_served_on_loopback_for_the_time_of_the_block(twin: Any) -> None:
    with serve(twin.gguf, 128) as address:
        assert address.startswith("http://127.0.0.1:")
        assert answers(address)
    assert gone(address)


def test_stopped_after_an_error_in_the_block_too(twin: Any) -> None:
    with pytest.raises(RuntimeError, match="mine"), serve(twin.gguf, 128) as address:
        raise RuntimeError("mine")
    assert gone(address)


@pytest.mark.parametrize("content", [b"", b"this is no GGUF" * 100, b"GGUF\x03\0\0\0" + b"\0" * 64])
def test_no_gguf_is_down_with_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(BackendDown) as caught, serve(path, 128):
        pass
    assert caught.value.where == str(path)
    assert len(caught.value.detail.removeprefix("llama.cpp:").strip()) > 5


def test_cut_gguf_is_down(tmp_path: Path, twin: Any) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(twin.gguf.read_bytes()[: twin.gguf.stat().st_size // 2])
    with pytest.raises(BackendDown), serve(path, 128):
        pass


def test_missing_file_is_down(tmp_path: Path) -> None:
    with pytest.raises(BackendDown), serve(tmp_path / "none.gguf", 128):
        pass


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SOURCE}


def test_child_ends_when_its_standard_input_closes(twin: Any) -> None:
    command = [sys.executable, "-m", "so8t.ask.llamacpp_server", str(twin.gguf), "128", "1", "1"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    )
    assert process.stdout is not None and process.stdin is not None
    with process.stdout:
        address = process.stdout.readline().decode().strip()
        assert answers(address)
        process.stdin.close()
        assert process.wait(10) == 0
        assert process.stdout.read() == b""  # llama.cpp printed nothing there
    assert gone(address)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT")
def test_ctrl_c_in_the_terminal_leaves_it_to_its_parent(twin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole group of a terminal gets it; the parent still answers what is under way."""
    monkeypatch.setenv("PYTHONPATH", SOURCE)
    process = llamacpp(twin.gguf, 128)
    try:
        address = process.address()
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.3)
        assert answers(address) and process.ended is None
    finally:
        process.close()


PARENT = """
import sys, time
from pathlib import Path
from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
with serve(Path(sys.argv[1]), 128) as address:
    print(address, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_child_does_not_outlive_a_killed_parent(twin: Any) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(twin.gguf)], stdout=subprocess.PIPE, env=environment())
    assert parent.stdout is not None
    with parent.stdout:
        address = parent.stdout.readline().decode().strip()
        assert answers(address)
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    assert gone(address)


def test_with_a_key_it_answers_nobody_else(twin: Any) -> None:
    """A program on the same machine cannot go round the gateway (issue 6.10)."""
    prompt = "<|user|>x<|end|><|assistant|>"

    async def generated(address: str, key: str) -> str:
        backend = LlamaCpp(address, 20.0, key)
        try:
            assert await backend.alive()
            return (await backend.generate(prompt, 2)).text
        finally:
            await backend.close()

    with serve(twin.gguf, 128, key="the key of this start") as address:
        asyncio.run(generated(address, "the key of this start"))
        for wrong in ("", "another"):
            with pytest.raises(BackendProtocol, match="401"):
                asyncio.run(generated(address, wrong))


def test_vectors_of_texts(twin: Any) -> None:
    async def embedded(address: str) -> list[list[float]]:
        backend = LlamaCpp(address, 20.0, "k")
        try:
            return await backend.embed(["点検の記録", "点検の記録", "経費の精算"])
        finally:
            await backend.close()

    with serve(twin.gguf, 128, key="k", embeddings=True) as address:
        one, same, other = asyncio.run(embedded(address))
    assert one == same != other and len(one) == twin.reference.model.config.hidden_size
