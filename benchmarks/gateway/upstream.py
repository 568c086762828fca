"""A dummy model server: OpenAI's chat and completions interfaces with canned words, as cheap as can be.

    python benchmarks/gateway/upstream.py PORT CHUNKS

/v1/completions with max_tokens 1 gives log-probabilities that always speak for ALLOW.
"""

from __future__ import annotations

import asyncio
import json
import sys

TEXT = "承知しました。ご依頼の会議議事録を要約します。"
MODELS = {"object": "list", "data": [{"id": "dummy", "object": "model", "created": 1, "owned_by": "x"}]}
USAGE = {"prompt_tokens": 9, "completion_tokens": 90, "total_tokens": 99}


def whole(body: object) -> bytes:
    content = json.dumps(body, ensure_ascii=False).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content) + content


def chunk(body: object) -> bytes:
    data = b"data: " + (body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()) + b"\n\n"
    return b"%x\r\n" % len(data) + data + b"\r\n"


def chat(delta: dict[str, str], finish: str | None) -> dict[str, object]:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "dummy", "choices": choices}


def text(piece: str, finish: str | None) -> dict[str, object]:
    choices = [{"index": 0, "text": piece, "finish_reason": finish, "logprobs": None}]
    return {"id": "c1", "object": "text_completion", "created": 1, "model": "dummy", "choices": choices}


def labels(tokens: dict[str, float]) -> dict[str, object]:
    logprobs = {"tokens": ["A"], "top_logprobs": [tokens]}
    made = text("A", "length") | {"usage": USAGE}
    made["choices"][0]["logprobs"] = logprobs  # type: ignore[index]
    return made


class Canned(asyncio.Protocol):
    """One connection; requests one after the other."""

    answers: dict[str, list[bytes]]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.read = b""

    def data_received(self, data: bytes) -> None:
        self.read += data
        while (end := self.read.find(b"\r\n\r\n")) >= 0:
            head = self.read[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.read) < end + 4 + size:
                return
            body, self.read = self.read[end + 4 : end + 4 + size], self.read[end + 4 + size :]
            self.answer(head.split(b" ", 2)[1].decode(), body)

    def answer(self, path: str, body: bytes) -> None:
        streamed = b'"stream":true' in body or b'"stream": true' in body
        kind = "labels" if b'"logprobs":20' in body or b'"logprobs": 20' in body else "stream" if streamed else "whole"
        pieces = self.answers[f"{path} {kind}" if path != "/v1/models" else path]
        if len(pieces) == 1:
            self.transport.write(pieces[0])
        else:
            self.streaming = asyncio.ensure_future(self.stream(pieces))

    async def stream(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            if self.transport.is_closing():
                return
            self.transport.write(piece)
            await asyncio.sleep(0)


def answers(chunks: int, tokens: dict[str, float]) -> dict[str, list[bytes]]:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    tail = chunk(b"[DONE]") + b"0\r\n\r\n"
    parts = [TEXT[i % len(TEXT)] for i in range(chunks)]
    message = [{"index": 0, "message": {"role": "assistant", "content": TEXT * 6}, "finish_reason": "stop"}]
    return {
        "/v1/models": [whole(MODELS)],
        "/v1/chat/completions whole": [
            whole({"id": "c1", "object": "chat.completion", "created": 1, "model": "dummy", "choices": message,
                   "usage": USAGE})
        ],
        "/v1/chat/completions stream": [
            head, *(chunk(chat({"role": "assistant", "content": p}, None)) for p in parts),
            chunk(chat({}, "stop")), tail,
        ],
        "/v1/completions whole": [whole(text(TEXT * 6, "stop") | {"usage": USAGE})],
        "/v1/completions labels": [whole(labels(tokens))],
        "/v1/completions stream": [
            head, *(chunk(text(p, None)) for p in parts), chunk(text("", "stop")),
            chunk(text("", None) | {"choices": [], "usage": USAGE}), tail,
        ],
    }  # fmt: skip


async def main() -> None:
    port, chunks, tokens = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    Canned.answers = answers(chunks, tokens)
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
