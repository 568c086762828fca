"""Run llama.cpp's server on a GGUF in a child process on loopback, and stop it again.

    python -m so8t.ask.llamacpp_server MODEL.gguf CONTEXT SLOTS THREADS [PORT [embeddings]]

prints the address once it answers, and ends when its standard input closes, so that it never outlives its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from so8t.core.errors import BackendDown

START_SECONDS = 120.0
KEY = "SO8T_LLAMACPP_KEY"  # in the environment, which only the same user can read; arguments are for all to see


@contextlib.contextmanager
def serve(
    model: Path, context: int, *, slots: int = 1, threads: int = 1, port: int = 0, key: str = "",
    embeddings: bool = False,
) -> Iterator[str]:  # fmt: skip
    """The server's address for the time of the block. Raises BackendDown if it cannot start.

    `context` is per slot; port 0 = any free one; with a `key` it answers nobody who does not send it as bearer token.
    With `embeddings` it is one for vectors (the mean over a text's tokens).
    """
    numbers = map(str, (context, slots, threads, port))
    command = [sys.executable, "-m", "so8t.ask.llamacpp_server", str(model), *numbers]
    command += ["embeddings"] if embeddings else []
    words = tempfile.TemporaryFile()  # noqa: SIM115 (closed in the finally below, after the process that writes to it)
    environment = os.environ | {KEY: key}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode("utf-8", "replace").strip()
        if not line.startswith("http://127.0.0.1:"):
            words.seek(0)
            last = words.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            raise BackendDown(where=model, detail=f"llama.cpp: {''.join(last) or line}")
        yield line
    finally:
        words.close()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def main() -> None:
    import xllamacpp

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
