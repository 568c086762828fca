"""Run llama.cpp's server on a GGUF in a child process on loopback, and stop it again.

    python -m so8t.ask.llamacpp_server MODEL.gguf CONTEXT SLOTS THREADS [PORT [embeddings]]

prints the address once it answers, and ends when its standard input closes, so that it never outlives its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from so8t.core.errors import BackendDown

START_SECONDS = 120.0
KEY = "SO8T_LLAMACPP_KEY"  # in the environment, which only the same user can read; arguments are for all to see


class ServerProcess:
    """One child that serves: it comes up, may die at any time, and is ended by close(), from any thread.

    `where`: what it serves, for errors; `key`: goes to it in its environment.
    """

    def __init__(self, command: Sequence[str], where: object, key: str = "") -> None:
        self._where, self._up = where, False
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close(), after the process that writes to it)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, env=os.environ | {KEY: key}
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit status (below 0: the signal that killed it), or None while it runs."""
        return self._process.poll()

    def address(self) -> str:
        """Waits until it answers. Raises BackendDown if it never will; close() from elsewhere ends the wait."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode("utf-8", "replace").strip()
        if not line.startswith("http://127.0.0.1:"):
            raise BackendDown(where=self._where, detail=f"llama.cpp: {self._last_words() or line}")
        self._up = True
        return line

    def close(self) -> None:
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if not self._up:  # one that still loads its model does not look whether its parent has gone
            process.kill()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._words.close()

    def _last_words(self) -> str:
        self._words.seek(0)
        return "".join(self._words.read().decode("utf-8", "replace").strip().splitlines()[-1:])


def llamacpp(
    model: Path, context: int, *, slots: int = 1, threads: int = 1, port: int = 0, key: str = "",
    embeddings: bool = False,
) -> ServerProcess:  # fmt: skip
    """`context` is per slot; port 0 = any free one; with a `key` it answers nobody who does not send it as bearer
    token. With `embeddings` it is one for vectors (the mean over a text's tokens)."""
    command = [sys.executable, "-m", "so8t.ask.llamacpp_server", str(model)]
    command += [*map(str, (context, slots, threads, port)), *(["embeddings"] if embeddings else [])]
    return ServerProcess(command, model, key)


@contextlib.contextmanager
def serve(
    model: Path, context: int, *, slots: int = 1, threads: int = 1, port: int = 0, key: str = "",
    embeddings: bool = False,
) -> Iterator[str]:  # fmt: skip
    """llamacpp()'s address for the time of the block. Raises BackendDown if it cannot start."""
    process = llamacpp(model, context, slots=slots, threads=threads, port=port, key=key, embeddings=embeddings)
    try:
        yield process.address()
    finally:
        process.close()


def main() -> None:
    import xllamacpp

    # Ctrl-C reaches the whole terminal, and the parent still answers what is under way: it says when this ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    model, context, slots, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    address_out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # llama.cpp prints to stdout; the parent must read nothing but the address there
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = context * slots
    params.n_parallel = slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = False
    params.verbosity = -1
    params.hostnames = ["127.0.0.1"]
    params.port = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    if vectors := sys.argv[6:] == ["embeddings"]:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if key := os.environ.get(KEY, ""):
        params.api_keys = [key]
    server = xllamacpp.Server(params)
    _first_answer(server.listening_address, key, vectors)  # a server that never served hangs when it is dropped
    address_out.write(server.listening_address + "\n")
    address_out.flush()
    sys.stdin.buffer.read()
    os._exit(0)


def _first_answer(address: str, key: str, vectors: bool) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    path, asked = ("/v1/embeddings", {"input": "a"}) if vectors else ("/completion", {"prompt": "a", "n_predict": 1})
    body = json.dumps(asked).encode()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(address + path, body, headers)
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            opener.open(request, timeout=START_SECONDS).read()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    main()
