"""What the gate asks of llama.cpp: answers of another shape are errors, and a connection that went stale is none."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from so8t.build.export.template.server import ChatServer
from so8t.core.errors import BackendProtocol

Answer = Callable[[dict[str, Any]], Any]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """A server that keeps connections alive for a moment only, as llama.cpp's does."""
    servers = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 0.05

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = json.dumps(answer({"path": self.path, **body})).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(address: str, question: Callable[[ChatServer], Any]) -> Any:
    async def run() -> Any:
        server = ChatServer(address)
        try:
            return await question(server)
        finally:
            await server.close()

    return asyncio.run(run())


def test_questions_as_llama_cpp_reads_them(serve: Callable[[Answer], str]) -> None:
    seen: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        seen.append(body)
        stopped = {"stop_type": "word", "stopping_word": "<|end|>", "tokens_predicted": 1}
        return {"prompt": "text", "tokens": [1, 2], **stopped}

    address, messages = serve(answer), [{"role": "user", "content": "u"}]
    assert ask(address, lambda s: s.chat_prompt(messages)) == "text"
    assert ask(address, lambda s: s.prompt_tokens("a")) == [1, 2]
    assert ask(address, lambda s: s.forced([3], 4, ["<|end|>"])) == ("word", "<|end|>", 1)
    assert [b["path"] for b in seen] == ["/apply-template", "/tokenize", "/completion"]
    assert seen[0]["messages"] == messages and seen[1]["add_special"] is True
    assert seen[2]["logit_bias"] == [[4, 1e4]] and seen[2]["preserved_tokens"] == seen[2]["stop"] == ["<|end|>"]


@pytest.mark.parametrize(
    "answer",
    [{}, {"prompt": 1, "tokens": "x", "stop_type": "eos"}, {"prompt": None, "tokens": [None]}, [], "text"],
)
def test_an_answer_of_another_shape_is_an_error(serve: Callable[[Answer], str], answer: Any) -> None:
    address = serve(lambda body: answer)
    questions: list[Callable[[ChatServer], Any]] = [
        lambda s: s.chat_prompt([]),
        lambda s: s.prompt_tokens("a"),
        lambda s: s.forced([1], 1, []),
    ]
    for question in questions:
        with pytest.raises(BackendProtocol):
            ask(address, question)


def test_a_long_computation_between_two_questions(serve: Callable[[Answer], str]) -> None:
    """The server has hung up by the second question, and the event loop had no time to see it."""

    async def question(server: ChatServer) -> list[list[int]]:
        first = await server.prompt_tokens("a")
        time.sleep(0.2)  # what torch does to the loop
        return [first, await server.prompt_tokens("b")]

    assert ask(serve(lambda body: {"tokens": [1]}), question) == [[1], [1]]
